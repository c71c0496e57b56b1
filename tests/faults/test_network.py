"""A network that swallows every packet to and from a service, and then works again."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.faults.scenario import Scenario
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("iptables") is None,
    reason="cutting a network needs root and iptables",
)

AFFECTED = {
    "inference_service": ["predict"],
    "risk_service": ["calculate", "evaluate", "halt"],
}


@contextlib.contextmanager
def cut(address: str) -> Iterator[None]:
    """Inside the block packets to and from a port vanish: nothing is refused, nothing answers."""
    port = address.rpartition(":")[2]
    ends = ("--dport", "--sport")
    rules = [["INPUT", "-p", "tcp", end, port, "-j", "DROP"] for end in ends]
    with contextlib.ExitStack() as undo:
        for rule in rules:
            subprocess.run(["iptables", "-w", "-I", *rule], check=True)
            undo.callback(subprocess.run, ["iptables", "-w", "-D", *rule], check=True)
        yield


@pytest.mark.parametrize("name", AFFECTED)
def test_network_cut_and_mended_costs_no_record_and_no_wrong_answer(
    scenario: Scenario, name: str
) -> None:
    load, kinds = scenario.load, AFFECTED[name]
    before = dict(load.refused)
    with cut(scenario.stack.addresses[name]):
        wait_until(
            lambda: all(load.refused[kind] > before.get(kind, 0) + 3 for kind in kinds),
            "calls that time out",
        )
    with scenario.recovery(f"the network of {name} cut", kinds):
        pass
    scenario.check()
