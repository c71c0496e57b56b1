"""`tradewind risk` against a real risk service: who is halted, and the end of it."""

import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from orchestrator.agents.services import resume_command
from orchestrator.settings import ServiceAddresses
from tests.integration.cli.conftest import Run
from tradewind.risk import RiskInputs
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import RiskClient

CALM = RiskInputs(portfolio_values=np.array([100.0, 101.0]))
LOST = RiskInputs(portfolio_values=np.array([100.0, 50.0]))


@pytest.fixture
def address(start_service: Callable[..., ServiceProcess], tmp_path: Path) -> str:
    """A risk service that has halted one of two accounts."""
    service = start_service(
        "risk_service",
        *("--policy", "config/risk_limits.yaml"),
        *("--database", f"sqlite:///{tmp_path}/audit.sqlite"),
    )
    with RiskClient(service.address, timeout_s=20.0) as client:
        for name, inputs in (("calm", CALM), ("lost", CALM), ("lost", LOST), ("lost", LOST)):
            client.evaluate(inputs, account=name)
    return service.address


def test_halt_is_shown_and_ended_by_the_command_that_a_halt_says(run: Run, address: str) -> None:
    where = ("--address", address)
    shown = run("risk", "status", *where, "--json")
    assert shown.code == 1
    accounts = {row["account"]: row for row in shown.document["accounts"]}
    assert {name: row["action"] for name, row in accounts.items()} == {
        "calm": "BLOCK",  # it lacks what some rules need
        "lost": "LIQUIDATE",
    }
    assert accounts["calm"]["halt"] is None
    assert accounts["lost"]["halt"]["rule"] == "ruin"
    policy = run("risk", "policy", *where, "--json").document
    file = run("risk", "policy", "config/risk_limits.yaml", "--json").document
    assert (policy["digest"], policy["overlay"], policy["refused"]) == (file["digest"], "", "")
    assert policy["limits"]["max_drawdown"] == 0.25
    assert "ruin: max_drawdown > 0.4" in run("risk", "policy", *where).out
    table = run("risk", "status", *where)
    assert (table.code, "ruin" in table.out) == (1, True)
    assert run("risk", "status", "calm", *where).code == 0

    command = shlex.split(resume_command(ServiceAddresses(risk=address), "lost"))
    assert command[0] == "tradewind"
    resumed = run(*command[1:])
    assert (resumed.code, "lost" in resumed.out) == (0, True)
    assert run("risk", "status", *where).code == 0
    again = run(*command[1:])
    assert (again.code, "is not halted" in again.err) == (1, True)


def test_account_of_which_nothing_is_known_and_a_role_that_may_not_are_said(
    run: Run, address: str
) -> None:
    where = ("--address", address)
    nobody = run("risk", "status", "nobody", *where)
    assert (nobody.code, "nothing about account nobody" in nobody.err) == (3, True)
    refused = run(
        "risk", "resume", "lost", "--name", "A", "--role", "cook", "--reason", "r", *where
    )
    assert (refused.code, "may not resume" in refused.err) == (2, True)
    missing = run("risk", "resume", "lost", "--reason", "r", *where)
    assert (missing.code, "name" in missing.err) == (2, True)
    assert run("risk", "status", "--address", "127.0.0.1:1").code == 4


def test_command_of_a_halt_with_certificates_and_a_token_names_those_of_the_person(
    tmp_path: Path,
) -> None:
    services = ServiceAddresses.model_validate(
        {"risk": "risk.example:50053", "tls": {"ca": "my ca.crt"}, "token_file": "own.token"}
    )
    assert resume_command(services, "main") == (
        "tradewind --ca 'my ca.crt' --token-file YOUR_TOKEN risk resume main "
        "--address risk.example:50053 --name NAME --role risk_officer --reason REASON"
    )
