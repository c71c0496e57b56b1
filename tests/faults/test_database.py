"""A database server that crashes, hangs and comes back, under decisions and jobs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.scenario import Scenario
from tests.faults.stack import Stack
from tests.waiting import wait_until
from tradewind.errors import StorageError, UnavailableError
from tradewind.rpc.clients import TrainerClient


@pytest.fixture
def on_postgres(
    make_stack: Callable[..., Stack],
    begin: Callable[[Stack], Scenario],
    postgres: Any,
    tmp_path: Path,
) -> Scenario:
    """A stack under load whose audit trail and jobs are in PostgreSQL."""
    stack = make_stack(
        settings={
            "risk_service": {
                "database": postgres.create_database(),
                "journal": str(tmp_path / "audit.journal"),
            },
            "trainer_service": {"jobs": postgres.create_database()},
        }
    )
    stack.start_all()
    return begin(stack)


def test_database_that_crashes_loses_no_decision_and_no_job(
    on_postgres: Scenario, postgres: Any, endless_config: dict[str, Any]
) -> None:
    stack, load = on_postgres.stack, on_postgres.load
    with TrainerClient(stack.addresses["trainer_service"], timeout_s=20.0) as trainer:
        job = trainer.start_training("endless", endless_config)
        postgres.stop()
        try:
            refused = load.refused["evaluate"]
            wait_until(lambda: load.refused["evaluate"] > refused + 5, "decisions refused")
            with pytest.raises((StorageError, UnavailableError)):
                trainer.get_job(job.job_id)
        finally:
            postgres.start()
        with on_postgres.recovery("the database killed and started again"):
            wait_until(lambda: reached(trainer, job.job_id), "the job store")
        trainer.cancel(job.job_id, timeout_s=60.0)
    on_postgres.check()


def test_database_that_hangs_loses_no_decision(on_postgres: Scenario, postgres: Any) -> None:
    load = on_postgres.load
    refused = load.refused["evaluate"]
    with postgres.frozen():
        wait_until(lambda: load.refused["evaluate"] > refused + 5, "decisions refused")
    with on_postgres.recovery("the database hanging"):
        pass
    on_postgres.check()


def reached(trainer: TrainerClient, job_id: str) -> bool:
    try:
        return trainer.get_job(job_id).job_id == job_id
    except (StorageError, UnavailableError):
        return False
