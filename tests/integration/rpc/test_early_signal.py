"""A service that is told to end before it is ready ends, and says that all is well."""

import subprocess
import sys
from pathlib import Path

import pytest

# What each does while it starts is where the signal comes, however long it takes.
PROGRAM = """
import importlib, os, signal, sys
module, owner, method = sys.argv[1].split(":")
owner = getattr(importlib.import_module(module), owner)
start = getattr(owner, method)
def signalled(*arguments, **options):
    os.kill(os.getpid(), signal.SIGTERM)
    return start(*arguments, **options)
setattr(owner, method, signalled)
command = importlib.import_module(sys.argv[2] + ".command")
sys.exit(command.main(sys.argv[3:]))
"""


@pytest.mark.parametrize(
    ("service", "start", "flags"),
    [
        (
            "inference_service",
            "inference_service.watching.watcher:StoreWatcher:scan_served",
            ["--store", "store"],
        ),
        (
            "risk_service",
            "risk_service.policy_source:LoadedPolicy:__init__",
            ["--database", "sqlite:///audit.sqlite", "--policy", "limits.yaml"],
        ),
        (
            "trainer_service",
            "trainer_service.jobs.store:JobStore:__init__",
            ["--store", "store", "--jobs", "sqlite:///jobs.sqlite"],
        ),
    ],
)
def test_sigterm_before_the_service_is_ready_ends_it_with_exit_code_0(
    tmp_path: Path, service: str, start: str, flags: list[str]
) -> None:
    (tmp_path / "limits.yaml").write_text("limits: {}\nmonitor_only: true\n...\n")
    flags = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", *flags]
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, start, service, *flags],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
