"""`tradewind jobs` and `tradewind serve` with a real trainer service."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tradewind.rpc import ServiceProcess

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("trainer")
    flags = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
    flags += ["--store", str(folder / "bundles"), "--jobs", f"sqlite:///{folder / 'jobs.sqlite'}"]
    with ServiceProcess("trainer_service", flags, log=folder / "trainer.log") as service:
        yield service.address


def test_jobs_with_a_training_start_follow_list_and_show_it(
    run: Run, trainer: str, tiny_config: Path
) -> None:
    start = ("jobs", "start", tiny_config, "--policy", "tiny", "--address", trainer)
    started = run(*start, "--watch", "--request-id", "one", "--json")
    assert started.code == 0
    assert started.document["state"] == "SUCCEEDED"
    job_id = started.document["job_id"]
    assert run(*start, "--request-id", "one", "--json").document["job_id"] == job_id
    listed = run("jobs", "list", "--address", trainer, "--json").document["jobs"]
    assert [job["job_id"] for job in listed] == [job_id]
    assert job_id in run("jobs", "list", "--address", trainer).out
    shown = run("jobs", "show", job_id, "--address", trainer, "--json").document
    assert shown["bundle_version"] == started.document["bundle_version"]
    assert run("jobs", "watch", job_id, "--address", trainer).code == 0
    cancelled = run("jobs", "cancel", job_id, "--address", trainer)
    assert cancelled.code == 1
    assert "has ended" in cancelled.err


def test_jobs_with_a_failing_training_exit_with_1(
    run: Run, trainer: str, tiny_config: Path
) -> None:
    start = ("jobs", "start", tiny_config, "--policy", "tiny", "--address", trainer, "--watch")
    outcome = run(*start, "--set", "environment.episode_bars=1000000", "--json")
    assert outcome.code == 1
    assert outcome.document["state"] == "FAILED"
    assert "too few" in outcome.document["error"]


def test_jobs_with_an_unknown_job_are_not_found(run: Run, trainer: str) -> None:
    assert run("jobs", "show", "nothing", "--address", trainer).code == 3


def test_jobs_with_a_refused_configuration_name_the_key(
    run: Run, trainer: str, tiny_config: Path
) -> None:
    start = ("jobs", "start", tiny_config, "--policy", "tiny", "--address", trainer)
    outcome = run(*start, "--set", "algorithm=PPOO")
    assert outcome.code == 2
    assert "algorithm" in outcome.err


def test_jobs_without_a_service_are_unavailable(run: Run) -> None:
    assert run("jobs", "list", "--address", "127.0.0.1:9").code == 4


def test_serve_with_a_service_becomes_that_service(tmp_path: Path) -> None:
    flags = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
    flags += ["--policy", "config/risk_limits.yaml", "--database", f"sqlite:///{tmp_path}/a.sqlite"]
    command = [sys.executable, "-m", "tradewind_cli", "serve", "risk", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("risk_service ready on ")
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
