"""The check of the contracts finds what it is there for."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROTO = "protos/tradewind/api/trainer/v1/trainer.proto"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("protos", "tools", "tradewind/api"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tools/protos.py", "check"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_check_with_the_committed_stubs_passes(copy: Path) -> None:
    result = check(copy)
    assert result.returncode == 0, result.stderr + result.stdout


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("string job_id = 1;", "string job_id = 1;\n  string added = 90;", "stale stubs"),
        ("string policy = 2;", "int64 policy = 2;", "buf breaking"),
        ("string policy = 2;", "string Policy = 2;", "buf lint"),
    ],
)
def test_check_with_a_changed_contract_says_what_is_wrong(
    copy: Path, before: str, after: str, message: str
) -> None:
    proto = copy / PROTO
    proto.write_text(proto.read_text().replace(before, after, 1))
    result = check(copy)
    assert result.returncode != 0
    assert message in result.stderr


def test_every_contract_lies_beside_its_stub_for_the_wheel() -> None:
    sources = sorted((ROOT / "protos").rglob("*.proto"))
    assert sources
    for source in sources:
        beside = ROOT / source.relative_to(ROOT / "protos")
        assert beside.is_symlink()
        assert beside.resolve() == source
