"""Each service in a network namespace of its own, and the cables between them and their callers."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faults.load import KINDS
from tests.faults.namespaces import Network
from tests.faults.scenario import Scenario
from tests.faults.stack import SERVICES, Stack
from tests.faults.test_kill import AFFECTED
from tradewind.jobs import JobState
from tradewind.rpc.clients import TrainerClient

MISSING = Network.missing()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

# Long enough for a connection to be given up (CLIENT_PING_TIMEOUT_MS): a new one has to be made.
CUT_S = 12.0


@pytest.fixture
def network() -> Iterator[Network]:
    with Network(SERVICES) as network:
        yield network


@pytest.fixture
def scenario(
    network: Network,
    make_stack: Callable[..., Stack],
    begin: Callable[[Stack], Scenario],
) -> Scenario:
    """All three services, each in its namespace, under load from here."""
    stack = make_stack(links=network.links)
    stack.start_all()
    return begin(stack)


def hold(scenario: Scenario, cut: tuple[str, ...]) -> None:
    """Leaves a network cut; what is cut off fails, and everything else goes on."""
    load = scenario.load
    affected = {kind for name in cut for kind in AFFECTED[name]}
    refused, answered = load.refused.copy(), load.answered.copy()
    time.sleep(CUT_S)
    for kind in KINDS:
        if kind in affected:
            assert load.refused[kind] > refused[kind] + 3, kind
        else:
            assert load.answered[kind] > answered[kind] + 100, kind


def test_cables_pulled_and_plugged_under_load_cost_no_record_no_job_and_no_wrong_answer(
    scenario: Scenario, network: Network, job_config: dict[str, Any]
) -> None:
    stack = scenario.stack
    address = stack.addresses["trainer_service"]
    with TrainerClient(address, timeout_s=2.0) as trainer:
        job = trainer.start_training("survivor", job_config, request_id="once", timeout_s=30.0)
        for name in SERVICES:
            network.links[name].unplug()
            hold(scenario, (name,))
            with scenario.recovery(f"the cable of {name} pulled", AFFECTED[name]):
                network.links[name].plug()
                trainer.wait_ready(60.0)
        for link in network.links.values():
            link.swallow()
        hold(scenario, SERVICES)
        with scenario.recovery("every packet between callers and services swallowed"):
            for link in network.links.values():
                link.deliver()
            trainer.wait_ready(60.0)
        again = trainer.start_training("survivor", job_config, request_id="once", timeout_s=30.0)
        assert again.job_id == job.job_id
        *_, ended = trainer.watch(job.job_id)
    assert ended.state == JobState.SUCCEEDED, ended.error
    assert len(stack.store.versions("survivor")) == 1
    scenario.check()
