"""What becomes of a position when the risk service demands, doubts or does not answer."""

import asyncio
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from orchestrator.account.portfolio import Allocation, Portfolio
from orchestrator.account.risk_history import RiskHistory
from orchestrator.agents import ExecutionAgent
from orchestrator.agents.contract import TradingContract
from orchestrator.agents.contract_guard import ContractGuard, VerifiedPolicy
from orchestrator.decision_log import BarRecord, FillRecord
from orchestrator.feeds import Tick
from orchestrator.settings import SafetySettings
from tradewind.bundle import DiscreteSpace
from tradewind.errors import UnavailableError
from tradewind.market import FeatureSpec, Instrument, TradingTerms
from tradewind.risk import EnforcedPolicy, RiskInputs, RiskPolicy, RiskReport
from tradewind.risk.rules import Action
from tradewind.rpc.clients import AsyncInferenceClient, AsyncRiskClient, Evaluation

STEP = 1_800_000_000_000
START = 1_600_000_200_000_000_000
# Every order is too large by far; one that closes a position for safety's sake goes all the same.
RULES = {
    "pre_trade": {"order_notional": 1.0},
    "rules": [
        {"name": "loss", "when": {"metric": "max_drawdown", "over": 0.1}, "action": "HALT"},
        {
            "name": "too_large",
            "when": {"metric": "pre_trade.order_notional"},
            "action": "BLOCK",
        },
    ],
}


class Guard(ContractGuard):
    """Has compared everything."""

    def __init__(self) -> None:
        self._enforced = EnforcedPolicy(RiskPolicy.parse(RULES))
        self._risk_digest = self.risk_policy.digest()
        contract = TradingContract(FeatureSpec(), (), TradingTerms(), None)
        self._verified = {"p": VerifiedPolicy("p", "1", "ab", contract, DiscreteSpace(n=3))}


class Risk(AsyncRiskClient):
    """Demands one action, and changes its answer as a test asks."""

    def __init__(self, action: Action, digest: str, **changes: Any) -> None:
        self._action, self._digest, self._changes = action, digest, changes

    async def evaluate(self, inputs: RiskInputs, **request: Any) -> Evaluation:
        if self._changes.get("gone"):
            raise UnavailableError("gone")
        digest = self._changes.get("policy_digest", self._digest)
        report = RiskReport({"max_drawdown": 0.0}, {}, None, None, (), {}, digest)
        name = self._changes.get("request_id", request["request_id"])
        return Evaluation(self._action, (), None, report, None, "d", name)


def decide(
    action: Action,
    safety: SafetySettings,
    instruments: Mapping[str, Instrument] = MappingProxyType({}),
    **changes: Any,
) -> tuple[list[float], list[str]]:
    """Orders and reasons of a tick at which the account is long and its policy is not asked."""
    guard = Guard()
    portfolio = Portfolio([Allocation(("BTC",), "p", 10_000.0)])
    history = RiskHistory(["BTC"], 10_000.0, STEP, 10)
    agent = ExecutionAgent(
        AsyncInferenceClient.__new__(AsyncInferenceClient),
        Risk(action, guard.risk_digest, **changes),
        guard,
        portfolio=portfolio,
        history=history,
        safety=safety,
        account="default",
        instruments=instruments,
    )
    bar = BarRecord("BTC", START, 100.0, 101.0, 99.0, 100.0, 5.0, START + STEP)
    portfolio.close_bars([bar])
    portfolio.apply([FillRecord(1, "a", "BTC", 3.0, 100.0, 100.0, 0.0, START + STEP)])
    history.record(START + STEP, [bar], [], portfolio.equity, portfolio.positions())
    tick = Tick(START + STEP, [bar], now_ns=START + STEP, complete_ns=time.perf_counter_ns())
    decision = asyncio.run(agent.decide(tick, "r-1", frozenset(["BTC"])))
    return [item.quantity for item in decision.intents], [item.value for item in decision.reasons]


@pytest.mark.parametrize(
    ("action", "on_halt", "orders"),
    [
        (Action.BLOCK, "flatten", []),
        (Action.HALT, "hold", []),
        (Action.HALT, "flatten", [-3.0]),
        (Action.LIQUIDATE, "hold", [-3.0]),
    ],
)
@pytest.mark.parametrize(
    ("changes", "doubt"),
    [({}, None), ({"policy_digest": "of another"}, "RISK_POLICY_CHANGED")],
)
def test_demand_of_the_risk_service_is_met_whatever_its_policy(
    action: Action, on_halt: Any, orders: list[float], changes: dict[str, Any], doubt: str | None
) -> None:
    sent, reasons = decide(action, SafetySettings(on_halt=on_halt, budget_ms=1e6), **changes)
    assert sent == orders
    expected = [doubt] if doubt else []
    # A BLOCK of a policy that was not compared leaves nothing to say but that.
    if action >= Action.HALT or not doubt:
        expected.append(f"RISK_{action.name}")
    assert reasons == ["WARM_UP", *expected]


def test_demand_to_liquidate_is_met_although_a_required_metric_is_missing() -> None:
    safety = SafetySettings(required_metrics=("var_95",), budget_ms=1e6)
    assert decide(Action.ALLOW, safety) == ([], ["WARM_UP", "METRIC_UNAVAILABLE"])
    assert decide(Action.LIQUIDATE, safety) == (
        [-3.0],
        ["WARM_UP", "METRIC_UNAVAILABLE", "RISK_LIQUIDATE"],
    )


def test_halted_account_closes_its_positions_where_nothing_else_is_set() -> None:
    assert SafetySettings().on_halt == "flatten"
    assert decide(Action.HALT, SafetySettings(budget_ms=1e6)) == ([-3.0], ["WARM_UP", "RISK_HALT"])


def test_halted_account_closes_a_position_smaller_than_a_lot_and_the_least_notional() -> None:
    small = {"BTC": Instrument(lot=1_000.0, min_notional=1e6, tick=500.0)}
    safety = SafetySettings(budget_ms=1e6)
    assert decide(Action.HALT, safety, small) == ([-3.0], ["WARM_UP", "RISK_HALT"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"gone": True}, "RISK_UNAVAILABLE"), ({"request_id": "r-0"}, "ANSWER_UNVERIFIED")],
)
@pytest.mark.parametrize(("on_trouble", "orders"), [("hold", []), ("flatten", [-3.0])])
def test_answer_that_is_none_does_what_is_set_for_trouble_and_not_what_it_says(
    changes: dict[str, Any], reason: str, on_trouble: Any, orders: list[float]
) -> None:
    safety = SafetySettings(on_trouble=on_trouble, budget_ms=1e6)
    assert decide(Action.LIQUIDATE, safety, **changes) == (orders, ["WARM_UP", reason])


def test_answer_after_the_deadline_is_not_used() -> None:
    assert decide(Action.LIQUIDATE, SafetySettings(budget_ms=1e-6)) == (
        [],
        ["WARM_UP", "DEADLINE"],
    )
