"""What a sealed process can no longer do, tried in one; nothing checks its operations here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tradewind.errors import SettingsError
from tradewind.policy.sealed import process as process_module
from tradewind.policy.sealed.process import ALLOW_UNSEALED, may_go_unsealed
from tradewind.sealing import SealError, missing_protections, seal_process
from tradewind.sealing import seal as seal_module

pytestmark = pytest.mark.skipif(
    bool(missing_protections()), reason="the kernel cannot seal a process"
)


def test_sealed_process_calculates_and_can_do_nothing_else(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    victim.chmod(0o666)
    tmp_path.chmod(0o777)
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.tries", str(victim)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    found = json.loads(done.stdout)
    assert [name for name, did in found["did"].items() if did] == []
    assert len(found["did"]) >= 18
    assert found["calculates"] == 64**3
    assert victim.read_bytes() == b"untouched"
    assert [path.name for path in tmp_path.iterdir()] == ["victim"]


@pytest.mark.parametrize("missing", [("seccomp",), ("Landlock",), ("seccomp", "Landlock")])
def test_seal_without_a_protection_of_the_kernel_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]
) -> None:
    monkeypatch.setattr(seal_module, "missing_protections", lambda: missing)
    with pytest.raises(SealError, match=f"this kernel lacks {' and '.join(missing)}"):
        seal_process([], memory_mb=1)
    assert np.frombuffer(b"still here", np.uint8).size == 10


def test_tool_on_a_machine_that_cannot_seal_refuses_unless_it_is_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(ALLOW_UNSEALED, raising=False)
    monkeypatch.setattr(process_module, "missing_protections", lambda: ())
    assert not may_go_unsealed()
    monkeypatch.setattr(process_module, "missing_protections", lambda: ("Landlock",))
    with pytest.raises(SettingsError, match="this machine has no Landlock"):
        may_go_unsealed()
    monkeypatch.setenv(ALLOW_UNSEALED, "1")
    assert may_go_unsealed()
    assert "executed although this machine has no Landlock" in caplog.text
