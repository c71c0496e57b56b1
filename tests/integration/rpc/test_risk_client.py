"""Both risk clients against a real server."""

from typing import Any

import numpy as np
import pytest

from tests.integration.rpc.conftest import RISK_POLICY, Connect
from tradewind import errors
from tradewind.risk import Position, RiskAgentV2, RiskInputs, RiskPolicy
from tradewind.risk.decision import DecisionKind
from tradewind.risk.pretrade import IntendedOrder, check_order
from tradewind.risk.rules import Action, Severity
from tradewind.rpc.clients import AsyncRiskClient, RiskClient

CALM = RiskInputs(portfolio_values=np.array([100.0, 101.0, 100.5]), now=1_000.0)
CRASHED = RiskInputs(portfolio_values=np.array([100.0, 70.0]))
CONTRADICTORY = RiskInputs(portfolio_values=np.array([1.0, 2.0]), timestamps=np.array([2.0, 1.0]))
HOLDING = RiskInputs(
    portfolio_values=np.array([100.0, 101.0]), positions=(Position("BTC", 10.0, 100.0),)
)


@pytest.fixture
def client(connect: Connect, risk_address: str) -> Any:
    return connect(RiskClient, AsyncRiskClient, risk_address, timeout_s=20)


@pytest.fixture
def account(request: pytest.FixtureRequest) -> str:
    """An account of this test alone."""
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[-60:]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> RiskPolicy:
    path = tmp_path_factory.mktemp("policy") / "policy.yaml"
    path.write_text(RISK_POLICY)
    return RiskPolicy.from_yaml(path)


def test_get_policy_gives_all_of_the_policy_in_force(client: Any, policy: RiskPolicy) -> None:
    status = client.get_policy()
    assert status.policy_digest == policy.digest()
    assert status.limits == policy.rule_limits()
    assert status.canonical_json == policy.canonical_json()
    assert "drawdown" in status.calculators
    assert [each.name for each in status.declared] == list(status.calculators)
    assert status.declared[0].version == 1
    assert status.declared[0].use == ""
    assert status.declared[0].metrics["max_drawdown"] == "fraction of the peak"
    assert status.rules[1] == "drawdown_halt: max_drawdown > 0.2"
    assert status.refusal == ""


def test_calculate_only_gives_the_bits_of_the_agent_here(client: Any, policy: RiskPolicy) -> None:
    assert client.calculate_only(CALM) == RiskAgentV2(policy).calculate_only(CALM)
    with pytest.raises(errors.RiskInputError) as refused:
        client.calculate_only(CONTRADICTORY)
    assert refused.value.violations[0].field == "inputs.timestamps[1]"


def test_calculate_stream_with_increments_gives_the_bits_of_a_tracker_here(
    client: Any, policy: RiskPolicy
) -> None:
    tracker = RiskAgentV2(policy).tracker()
    with client.calculate_stream() as stream:
        for value in (100.0, 98.0, 99.0, 60.0):
            increment = RiskInputs(portfolio_values=np.array([value]))
            assert stream.update(increment) == tracker.update(increment)
        with pytest.raises(errors.RiskInputError, match="timestamps"):
            stream.update(CONTRADICTORY)


def test_evaluate_with_a_crash_halts_until_a_person_resumes(client: Any, account: str) -> None:
    calm = client.evaluate(CALM, account=account, request_id="first")
    assert (calm.action, calm.breaches, calm.halt, calm.pre_trade) == (Action.ALLOW, (), None, None)
    assert calm.report == client.calculate_only(CALM)

    crashed = client.evaluate(CRASHED, account=account)
    assert crashed.action is Action.HALT
    assert [breach.rule for breach in crashed.breaches] == ["drawdown_warning", "drawdown_halt"]
    assert crashed.breaches[1].severity is Severity.CRITICAL
    assert crashed.breaches[1].headroom == pytest.approx(-0.1)
    assert crashed.halt.decision_id == crashed.decision_id
    assert client.evaluate(CALM, account=account).halt == crashed.halt

    with pytest.raises(errors.InvalidInputError) as refused:
        client.resume(account, name="", role="passer-by", reason="because")
    assert [violation.field for violation in refused.value.violations] == ["name", "role"]
    resumed = client.resume(account, name="A. Person", role="risk_officer", reason="data error")
    assert client.evaluate(CALM, account=account).halt is None
    with pytest.raises(errors.ConflictError, match="is not halted"):
        client.resume(account, name="A. Person", role="risk_officer", reason="data error")

    rows = list(client.list_decisions(account=account, page_size=2))
    assert [row.sequence for row in rows] == sorted((row.sequence for row in rows), reverse=True)
    assert [row.kind for row in rows].count(DecisionKind.RESUME) == 1
    assert [row.action.name for row in rows] == ["ALLOW", "ALLOW", "HALT", "HALT", "ALLOW"]
    assert rows[1].decision_id == resumed
    assert (rows[1].actor_name, rows[1].reason) == ("A. Person", "data error")
    assert rows[3].breaches == crashed.breaches
    assert rows[3].halt == crashed.halt
    assert (rows[4].request_id, rows[4].now) == ("first", 1_000.0)
    assert rows[4].metric_values == calm.report.metric_values


def test_evaluate_with_an_order_gives_the_check_of_the_library(
    client: Any, account: str, policy: RiskPolicy
) -> None:
    order = IntendedOrder("BTC", 60.0, 100.0)
    evaluation = client.evaluate(HOLDING, account=account, order=order)
    assert evaluation.action is Action.BLOCK
    assert evaluation.pre_trade == check_order(order, HOLDING, policy.pre_trade)
    assert evaluation.pre_trade.allowed_quantity == 50.0
    (row,) = client.list_decisions(account=account)
    assert row.pre_trade == evaluation.pre_trade
    refused = client.evaluate(HOLDING, account=account, order=IntendedOrder("BTC", 0.0, 100.0))
    assert refused.action is Action.BLOCK
    assert "intended_order.quantity" in refused.pre_trade.unavailable["pre_trade.order_notional"]


def test_list_decisions_with_an_error_raises_it(client: Any) -> None:
    with pytest.raises(errors.InvalidInputError, match="page_size"):
        next(client.list_decisions(page_size=-1))
