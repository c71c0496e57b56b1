"""A disk that is full, and a volume that has become read-only, on real file systems."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.scenario import Scenario
from tests.faults.stack import Stack
from tests.waiting import wait_until
from tradewind.errors import StorageError
from tradewind.jobs import JobState, TrainingJob
from tradewind.rpc.clients import TrainerClient

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="mounting file systems needs root")


class Volume:
    """A small file system of its own in memory, as a volume of a container is."""

    def __init__(self, path: Path, size_mb: int) -> None:
        self.path = path
        path.mkdir()
        _mount("-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(path))

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Inside the block no byte is left on it."""
        ballast = self.path / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        try:
            yield
        finally:
            ballast.unlink()

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        """Inside the block nothing can be written on it."""
        _mount("-o", "remount,ro", str(self.path))
        try:
            yield
        finally:
            _mount("-o", "remount,rw", str(self.path))

    def close(self) -> None:
        """Takes it away, whatever is still open on it."""
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Callable[[str, int], Volume]]:
    """Mounts `volume(name, size_mb)` below the folder of the stack."""
    with contextlib.ExitStack() as owned:

        def mount(name: str, size_mb: int) -> Volume:
            made = Volume(tmp_path / name, size_mb)
            owned.callback(made.close)
            return made

        yield mount


def train(stack: Stack, policy: str, config: dict[str, Any]) -> TrainingJob:
    with TrainerClient(stack.addresses["trainer_service"], timeout_s=30.0) as trainer:
        *_, ended = trainer.watch(trainer.start_training(policy, config).job_id)
    return ended


def test_full_disk_of_the_audit_trail_stops_decisions_and_nothing_else(
    volume: Callable[[str, int], Volume],
    make_stack: Callable[..., Stack],
    begin: Callable[[Stack], Scenario],
) -> None:
    disk = volume("risk", 16)
    stack = make_stack()
    stack.start("inference_service")
    stack.start("risk_service")
    scenario = begin(stack)
    load = scenario.load
    with disk.full():
        refused = load.refused["evaluate"]
        wait_until(lambda: load.refused["evaluate"] > refused + 10, "decisions refused")
        answered = load.answered["calculate"], load.answered["predict"]
        wait_until(
            lambda: (
                load.answered["calculate"] > answered[0] + 10
                and load.answered["predict"] > answered[1] + 10
            ),
            "calculations and predictions while the disk is full",
        )
    with scenario.recovery("the audit trail's disk full", ["evaluate", "halt"]):
        pass
    scenario.check()


def test_full_and_read_only_stores_fail_the_job_with_the_cause_and_serve_on(
    volume: Callable[[str, int], Volume],
    make_stack: Callable[..., Stack],
    begin: Callable[[Stack], Scenario],
    tiny_config: dict[str, Any],
) -> None:
    disk = volume("store", 8)
    stack = make_stack()
    stack.start_all()
    scenario = begin(stack)
    with disk.full():
        ended = train(stack, "unlucky", tiny_config)
        assert ended.state == JobState.FAILED
        assert "the disk is full" in ended.error
    with disk.read_only():
        ended = train(stack, "unlucky", tiny_config)
        assert ended.state == JobState.FAILED
        assert "Read-only file system" in ended.error
        with pytest.raises(StorageError):
            stack.store.set_labels("tiny-dqn", {})
    with scenario.recovery("the store full, then read-only"):
        pass
    ended = train(stack, "unlucky", tiny_config)
    assert ended.state == JobState.SUCCEEDED, ended.error
    assert stack.store.versions("unlucky") == (ended.bundle_version,)
    scenario.check()
