"""kill -9 of each service under load, at random moments, and of all of them at once."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.faults.scenario import Scenario
from tests.faults.stack import SERVICES
from tests.waiting import wait_until
from tradewind.jobs import JobState
from tradewind.rpc.clients import TrainerClient

KILLS = 6
PATIENCE_S = 30.0
AFFECTED = {
    "inference_service": ("predict",),
    "risk_service": ("calculate", "evaluate", "halt"),
    "trainer_service": (),
}


def test_kills_at_random_under_load_cost_no_answer_no_record_and_no_job(
    scenario: Scenario, job_config: dict[str, Any]
) -> None:
    stack, chance = scenario.stack, random.Random(20261124)
    order = [*SERVICES, *chance.choices(SERVICES, k=KILLS - len(SERVICES))]
    with TrainerClient(stack.addresses["trainer_service"], timeout_s=5.0) as trainer:
        job = trainer.start_training("survivor", job_config, request_id="once")
        for name in order:
            time.sleep(chance.uniform(0.2, 1.5))  # the moment of the kill is what is random
            stack.kill(name)
            with scenario.recovery(f"kill -9 {name}", AFFECTED[name]):
                stack.start(name)
                trainer.wait_ready(PATIENCE_S)
                assert trainer.get_job(job.job_id).job_id == job.job_id
            again = trainer.start_training(
                "survivor", job_config, request_id="once", timeout_s=PATIENCE_S
            )
            assert again.job_id == job.job_id
        *_, ended = trainer.watch(job.job_id)
        jobs = list(trainer.list_jobs())
    assert ended.state == JobState.SUCCEEDED, ended.error
    assert [item.job_id for item in jobs] == [job.job_id]
    assert len(stack.store.versions("survivor")) == 1
    scenario.check()


def test_kill_of_all_services_at_once_comes_back_as_it_was(scenario: Scenario) -> None:
    stack, load = scenario.stack, scenario.load
    for name in SERVICES:
        stack.kill(name)
    answered = load.answered["halt"]
    with scenario.recovery("kill -9 of all three at once"), ThreadPoolExecutor() as pool:
        list(pool.map(stack.start, SERVICES))
    wait_until(
        lambda: load.answered["halt"] > answered + len(load.halted),
        "answers to every halted account",
    )
    scenario.check()
