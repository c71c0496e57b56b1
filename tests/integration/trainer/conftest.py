"""A real trainer service, and the smallest trainings on real bars."""

import contextlib
import json
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tradewind.jobs import TrainingJob
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import TrainerClient

RISK_POLICY = "config/risk_limits.yaml"


class TrainerUnderTest:
    """A trainer service with its client, its bundle store and its worker processes."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.bundles = folder / "bundles"
        self.checkpoints = folder / "checkpoints"
        self.tensorboard = folder / "tensorboard"
        values = {
            **yaml.safe_load(Path("config/trainer.yaml").read_text()),
            "store": str(self.bundles),
            "jobs": f"sqlite:///{folder / 'jobs.sqlite'}",
            "checkpoints": {
                "folder": str(self.checkpoints),
                "interval_s": None,
                "interval_timesteps": 1000,
            },
            "tracking": {"tensorboard": str(self.tensorboard)},
            "lease_s": 2.0,
            "grace_s": 1.0,
            **settings,
        }
        name = f"trainer-{uuid.uuid4().hex[:8]}"
        config = folder / f"{name}.yaml"
        config.write_text(yaml.safe_dump(values))
        arguments = [
            *("--config", str(config)),
            *("--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"),
        ]
        self._log = folder / f"{name}.log"
        self.service = ServiceProcess("trainer_service", arguments, log=self._log)
        self.client = TrainerClient(self.service.address, timeout_s=200.0)

    def close(self) -> None:
        self.client.close()
        self.service.stop()

    def workers(self) -> list[psutil.Process]:
        """The processes of the jobs that run."""
        return psutil.Process(self.service.popen.pid).children(recursive=True)

    def log_lines(self) -> list[dict[str, Any]]:
        """What a service that logs as JSON has written."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def metrics(self) -> dict[str, float]:
        """What Prometheus would read: samples by name and labels."""
        with urllib.request.urlopen(f"http://{self.service.metrics_address}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def wait_until(self, job_id: str, reached: Callable[[TrainingJob], bool]) -> TrainingJob:
        """Watches a job until it is as wanted, or until it has ended."""
        updates: Any = self.client.watch(job_id)
        with contextlib.closing(updates):
            for job in updates:
                if reached(job):
                    found: TrainingJob = job
                    return found
        raise AssertionError(f"the job ended first: {job}")

    def wait_for_end(self, job_id: str) -> TrainingJob:
        """Watches a job until it has ended."""
        *_, job = self.client.watch(job_id)
        return job


MakeTrainer = Callable[..., TrainerUnderTest]


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainerUnderTest]:
    """One service for all tests of a module."""
    trainer = TrainerUnderTest(tmp_path_factory.mktemp("trainer"))
    yield trainer
    trainer.close()


@pytest.fixture
def make_trainer(tmp_path: Path) -> Iterator[MakeTrainer]:
    """Starts services that share one folder: job store, checkpoints and bundles."""
    with contextlib.ExitStack() as stack:

        def make(**settings: Any) -> TrainerUnderTest:
            trainer = TrainerUnderTest(tmp_path, **settings)
            stack.callback(trainer.close)
            return trainer

        yield make


def make_tiny_config() -> dict[str, Any]:
    """A training of one second on real bars."""
    return {
        "algorithm": "DQN",
        "algo_params": {"learning_starts": 100, "batch_size": 16},
        "training_params": {"total_timesteps": 500, "seed": 3, "held_out_fraction": 0.02},
        "risk_config": {"enabled": True, "policy_yaml": RISK_POLICY},
        "data": {"symbol": "BTC"},
        "environment": {"episode_bars": 100},
        "evaluation": {"resamples": 100, "report": False},
    }


@pytest.fixture
def tiny_config() -> dict[str, Any]:
    """A training of one second on real bars."""
    return make_tiny_config()


@pytest.fixture
def endless_config(tiny_config: dict[str, Any]) -> dict[str, Any]:
    """A training that only a cancel or a kill ends within a test."""
    return {**tiny_config, "training_params": {"total_timesteps": 100_000_000}}


@pytest.fixture(autouse=True)
def in_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services read config/ below the folder they start in."""
    monkeypatch.chdir(Path(__file__).parents[3])
    assert Path(RISK_POLICY).exists()
