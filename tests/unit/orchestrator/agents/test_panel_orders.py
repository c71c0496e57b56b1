"""What becomes of the orders of a policy of several symbols when something is not as it should."""

import asyncio
import time
from typing import Any

import numpy as np
import pytest

from orchestrator.account.portfolio import Allocation, Portfolio
from orchestrator.account.risk_history import RiskHistory
from orchestrator.agents import ExecutionAgent
from orchestrator.agents.contract import TradingContract
from orchestrator.agents.contract_guard import ContractGuard, VerifiedPolicy
from orchestrator.agents.decision import TickDecision
from orchestrator.decision_log import BarRecord, FillRecord
from orchestrator.feeds import BarFlag, Tick
from orchestrator.settings import SafetySettings
from tradewind.bundle import BoxSpace
from tradewind.market import FeatureSpec, TradingTerms
from tradewind.risk import EnforcedPolicy, RiskInputs, RiskPolicy, RiskReport
from tradewind.risk.rules import Action
from tradewind.rpc.clients import AsyncInferenceClient, AsyncRiskClient, BatchPrediction, Evaluation

STEP = 1_800_000_000_000
START = 1_600_000_200_000_000_000
SYMBOLS = ("BTC", "ETH", "LTC")
SPEC = FeatureSpec(
    return_count=1, volatility_windows=(), rsi_period=None, ema_periods=(2,), ema_depth=1,
    vwap_window=None,
)  # fmt: skip
TERMS = TradingTerms(
    actions="continuous", allow_short=True, transaction_cost=0.0, slippage=0.0,
)  # fmt: skip
RISK = {
    "limits": {"max_drawdown": {"limit": 0.5}},
    "pre_trade": {"gross_leverage": 1.01},
    "rules": [
        {"name": "loss", "when": {"metric": "max_drawdown"}, "action": "HALT"},
        {"name": "gross", "when": {"metric": "pre_trade.gross_leverage"}, "action": "BLOCK"},
    ],
}
# Long BTC and ETH with 5,000 each, of 10,000: BTC and half of ETH go to LTC.
ROTATION = (0.0, 0.25, 0.75)


class Guard(ContractGuard):
    """Has compared everything."""

    def __init__(self) -> None:
        self._enforced = EnforcedPolicy(RiskPolicy.parse(RISK))
        self._risk_digest = self.risk_policy.digest()
        contract = TradingContract(SPEC, SYMBOLS, TERMS, None)
        space = BoxSpace.from_bounds((3,), -1.0, 1.0)
        self._verified = {"panel": VerifiedPolicy("panel", "1", "ab", contract, space)}
        self._accepted = {("panel", "1", "ab")}
        self._refused = {}


class Inference(AsyncInferenceClient):
    """Gives one action, of any shape."""

    def __init__(self, action: tuple[float, ...]) -> None:
        self._action = np.array([action], dtype=np.float32)
        self.observations: list[np.ndarray[Any, Any]] = []
        self.routing_key = ""

    async def predict_batch(self, observations: Any, **request: Any) -> BatchPrediction:
        self.observations.append(observations)
        self.routing_key = request["routing_key"]
        return BatchPrediction(
            self._action, "panel", "1", "ab", 1, True, request_id=request["request_id"]
        )


class Risk(AsyncRiskClient):
    """Demands one action."""

    def __init__(self, action: Action, digest: str) -> None:
        self._action, self._digest = action, digest

    async def evaluate(self, inputs: RiskInputs, **request: Any) -> Evaluation:
        report = RiskReport({"max_drawdown": 0.0}, {}, None, None, (), {}, self._digest)
        return Evaluation(self._action, (), None, report, None, "d", request["request_id"])


def bar(symbol: str, number: int, *flags: str) -> BarRecord:
    start = START + number * STEP
    return BarRecord(symbol, start, 100.0, 101.0, 99.0, 100.0, 5.0, start + STEP, flags)


def decide(
    action: tuple[float, ...] = ROTATION,
    demand: Action = Action.ALLOW,
    busy: frozenset[str] = frozenset(),
    late: frozenset[str] = frozenset(),
    **safety: Any,
) -> tuple[TickDecision, Inference]:
    """A tick at which the account is long BTC and ETH."""
    guard, inference = Guard(), Inference(action)
    portfolio = Portfolio([Allocation(SYMBOLS, "panel", 10_000.0)])
    history = RiskHistory(SYMBOLS, 10_000.0, STEP, 10)
    agent = ExecutionAgent(
        inference,
        Risk(demand, guard.risk_digest),
        guard,
        portfolio=portfolio,
        history=history,
        safety=SafetySettings(budget_ms=1e6, **safety),
        account="default",
        routing_key="symbol",
    )
    fills = [
        FillRecord(number, "a", symbol, 50.0, 100.0, 100.0, 0.0, START + STEP)
        for number, symbol in enumerate(("BTC", "ETH"), 1)
    ]
    bars: list[BarRecord] = []
    for number in range(SPEC.lookback):
        last = number == SPEC.lookback - 1
        flags = {symbol: (BarFlag.LATE,) if last and symbol in late else () for symbol in SYMBOLS}
        bars = [bar(symbol, number, *flags[symbol]) for symbol in SYMBOLS]
        portfolio.close_bars(bars)
        portfolio.apply(fills if number == 0 else [])
        agent.learn(bars)
        history.record(
            START + (number + 1) * STEP, bars, fills if number == 0 else [], portfolio.equity,
            portfolio.positions(),
        )  # fmt: skip
    close_ns = bars[0].start_ns + STEP
    tick = Tick(close_ns, bars, now_ns=close_ns, complete_ns=time.perf_counter_ns())
    return asyncio.run(agent.decide(tick, "r-1", busy)), inference


def sent(decision: TickDecision) -> dict[str, float]:
    return {item.symbol: item.quantity for item in decision.intents if not item.refusal}


def test_panel_that_rotates_sells_before_it_buys_and_stays_within_the_pre_trade_limit() -> None:
    decision, inference = decide()
    assert list(sent(decision).items()) == [("BTC", -50.0), ("ETH", -25.0), ("LTC", 75.0)]
    assert decision.reasons == []
    (record,) = decision.decisions
    assert (record.symbols, record.targets) == (SYMBOLS, ROTATION)
    assert record.exposures == (0.5, 0.5, 0.0)
    assert inference.observations[0].shape == (1, 3 * SPEC.observation_size)
    assert inference.routing_key == "BTC,ETH,LTC"


def test_panel_with_targets_beyond_the_gross_limit_is_scaled_down_to_it() -> None:
    decision, _ = decide((1.0, 1.0, 0.0))
    assert sent(decision) == {}  # half of each is what it holds
    decision, _ = decide((0.0, -1.0, -1.0))
    assert sent(decision) == {"BTC": -50.0, "ETH": -100.0, "LTC": -50.0}


@pytest.mark.parametrize(
    ("demand", "orders", "reason"),
    [
        (Action.THROTTLE, {"BTC": -25.0, "ETH": -12.5, "LTC": 37.5}, "RISK_THROTTLE"),
        (Action.REDUCE_POSITION, {"BTC": -50.0, "ETH": -25.0}, "RISK_REDUCE_POSITION"),
        (Action.BLOCK, {}, "RISK_BLOCK"),
        (Action.LIQUIDATE, {"BTC": -50.0, "ETH": -50.0}, "RISK_LIQUIDATE"),
    ],
)
def test_demand_of_the_risk_service_holds_for_every_order_of_a_panel(
    demand: Action, orders: dict[str, float], reason: str
) -> None:
    decision, _ = decide(demand=demand)
    assert sent(decision) == orders
    assert decision.reasons[0] == reason


@pytest.mark.parametrize("action", [(0.5, 0.5), (0.0, np.nan, 0.0), (0.0, 1.5, 0.0)])
@pytest.mark.parametrize(
    ("on_trouble", "orders"), [("hold", {}), ("flatten", {"BTC": -50.0, "ETH": -50.0})]
)
def test_answer_that_is_no_action_of_a_panel_is_not_traded_on_in_any_symbol(
    action: tuple[float, ...], on_trouble: str, orders: dict[str, float]
) -> None:
    decision, _ = decide(action, on_trouble=on_trouble)
    assert decision.reasons == ["ANSWER_UNVERIFIED"]
    assert decision.decisions[0].targets == (None, None, None)
    assert sent(decision) == orders


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"busy": frozenset(["LTC"])}, "ORDER_OPEN"), ({"late": frozenset(["ETH"])}, "LATE_BAR")],
)
def test_panel_of_which_one_symbol_cannot_be_traded_is_not_asked(
    changes: dict[str, Any], reason: str
) -> None:
    decision, inference = decide(**changes)
    assert decision.reasons == [reason]
    assert decision.decisions == []
    assert inference.observations == []
    assert sent(decision) == {}
