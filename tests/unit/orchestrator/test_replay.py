"""An account that is traded bar by bar is the training environment, to the last bit."""

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from orchestrator.agents.runner import build_agent
from orchestrator.analysis.decision_replay.account import AccountTrail, book_account
from orchestrator.analysis.decision_replay.fills import trade_again
from orchestrator.analysis.decision_replay.ticks import read_ticks
from orchestrator.decision_log import DecisionLog
from orchestrator.records import Outcome, TickRecord
from orchestrator.settings import OrchestratorSettings
from tests.unit.market.session_bars import session_bars
from tradewind.bundle import BoxSpace, BundleDraft, BundleMetadata, FeatureRecord, TrainingRecord
from tradewind.market import Bars, FeatureSpec, load_sample
from tradewind.market.instruments import Instrument
from tradewind.market.saving import save_bars
from tradewind.risk import RiskInputs, RiskReport
from tradewind.risk.policy import RiskPolicy
from tradewind.risk.rules import Action
from tradewind.rpc.clients import (
    AsyncInferenceClient,
    AsyncRiskClient,
    BatchPrediction,
    Evaluation,
    PolicyDescription,
    PolicyVersion,
    RiskPolicyStatus,
)
from tradewind.settings import parse_settings
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv

BAR_COUNT = 300
RISK_POLICY = RiskPolicy.parse({"monitor_only": True})


class Inference(AsyncInferenceClient):
    """Serves one policy, which acts as a test has drawn."""

    def __init__(self, metadata: BundleMetadata, actions: Sequence[Any]) -> None:
        assert metadata.features is not None
        self._version = PolicyVersion(
            metadata.name, metadata.version, metadata.sha256, metadata.algo, metadata.obs_space,
            metadata.action_space, (), "compiled", "", "", metadata.features.digest, 0.0,
        )  # fmt: skip
        self._metadata_json = metadata.to_json().decode()
        self._actions = iter([*actions, actions[-1]])  # the episode ends one close earlier

    async def close(self) -> None: ...

    async def wait_ready(self, timeout_s: float = 0.0) -> None: ...

    async def get_policy(self, *_: Any, **__: Any) -> PolicyDescription:
        return PolicyDescription(self._version, self._metadata_json)

    async def predict_batch(self, *_: Any, **request: Any) -> BatchPrediction:
        served = self._version
        actions = np.array([next(self._actions)])
        names = (served.policy, served.version, served.bundle_sha256)
        return BatchPrediction(actions, *names, 5_000, True, "", request["request_id"])


class Risk(AsyncRiskClient):
    """Allows everything, and keeps what it was told of the account."""

    def __init__(self) -> None:
        self.inputs: list[RiskInputs] = []

    async def close(self) -> None: ...

    async def wait_ready(self, timeout_s: float = 0.0) -> None: ...

    async def get_policy(self, **_: Any) -> RiskPolicyStatus:
        canonical = RISK_POLICY.canonical_json()
        return RiskPolicyStatus(RISK_POLICY.digest(), {}, (), (), canonical, "")

    async def evaluate(self, inputs: RiskInputs, **request: Any) -> Evaluation:
        volumes = dict(inputs.average_daily_volumes)  # which goes on
        self.inputs.append(dataclasses.replace(inputs, average_daily_volumes=volumes))
        report = RiskReport({}, {}, None, None, (), {}, RISK_POLICY.digest())
        return Evaluation(Action.ALLOW, (), None, report, None, "d", request["request_id"])


@pytest.fixture
def trade(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    released_draft: Callable[..., BundleDraft],
) -> Callable[..., tuple[list[TickRecord], list[RiskInputs]]]:
    """Trades bars as an environment's terms say; gives the decided ticks and their accounts."""

    def run(
        env: IntradayTradingEnv, bars: Bars, actions: Sequence[Any]
    ) -> tuple[list[TickRecord], list[RiskInputs]]:
        config, spec = env.config, env.feature_spec
        environment = config.model_dump(mode="json")
        changes: dict[str, Any] = {
            "features": FeatureRecord(spec=spec.model_dump(mode="json"), digest=spec.digest),
            "training": TrainingRecord(timesteps=1, config={"environment": environment}),
            "obs_space": BoxSpace(shape=(spec.observation_size,)),
            "risk": None,
        }
        if config.actions == "continuous":
            low = -1.0 if config.allow_short else 0.0
            changes["action_space"] = BoxSpace(shape=(1,), low=low, high=1.0)
        draft = released_draft("tiny-dqn" if config.actions == "discrete" else "tiny-sac")
        at = datetime(2026, 11, 22, tzinfo=UTC)
        metadata = draft.metadata("2026-11-22.1", at, draft.contents()).model_copy(update=changes)
        risk = Risk()
        services = "orchestrator.agents.orchestrator"
        monkeypatch.setattr(f"{services}.open_risk", lambda *_, **__: risk)
        monkeypatch.setattr(
            f"{services}.open_inference", lambda *_, **__: Inference(metadata, actions)
        )
        save_bars(bars, tmp_path / "bars.parquet")
        settings = parse_settings(
            {
                "bar_seconds": bars.interval_ns / 1e9,
                "market": bars.market.name,
                "folder": tmp_path,
                "allocations": [
                    {"symbol": bars.symbol, "policy": metadata.name, "cash": config.initial_cash}
                ],
                "feed": {"kind": "files", "files": {bars.symbol: tmp_path / "bars.parquet"}},
                # What a fill costs in the environment: its slippage and fee, at the open.
                "broker": {
                    "market": {
                        "latency_ms": 0.0,
                        "fee": config.transaction_cost,
                        "half_spread": config.slippage,
                        "level_spacing": 0.0,
                        "level_variation": 0.0,
                        "level_share": 1.0,
                    }
                },
                "safety": {"budget_ms": 1e6},
                "log": {"folder": tmp_path / "log"},
            },
            OrchestratorSettings,
        )
        agent = build_agent(settings)
        asyncio.run(agent.run())
        ticks = agent.bus.snapshot().ticks
        assert len(ticks) == len(bars)
        decided = [tick for tick in ticks if tick.outcome is Outcome.DECIDED]
        assert len(decided) == len(actions) + 1, agent.bus.snapshot().counters
        return decided, risk.inputs

    return run


def opening_where_the_one_before_closed(bars: Bars) -> Bars:
    """An order is sized at the close that it was decided on, in the environment at the open."""
    opens = np.concatenate([bars.open[:1], bars.close[:-1]])
    high, low = np.maximum(bars.high, opens), np.minimum(bars.low, opens)
    return dataclasses.replace(bars, open=opens, high=high, low=low)


@pytest.mark.parametrize("allow_short", [False, True])
@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_account_with_the_actions_of_an_episode_has_its_bits(
    allow_short: bool, kind: Literal["discrete", "continuous"], trade: Callable[..., Any]
) -> None:
    bars = load_sample("ETH").slice(3_000, 3_000 + BAR_COUNT)
    check(
        opening_where_the_one_before_closed(bars),
        FeatureSpec(),
        trade,
        actions=kind,
        position_fraction=0.9,
        allow_short=allow_short,
    )


@pytest.mark.parametrize(
    ("market", "interval_s", "first"),
    [
        ("XNYS", 1_800, "2018-11-01T13:30"),
        ("XNYS", 86_400, "2018-01-02T00:00"),
        ("fx-week", 1_800, "2018-12-17T00:00"),
        ("XHKG", 1_800, "2018-11-01T01:30"),
    ],
)
def test_account_in_a_market_with_sessions_has_the_bits_of_an_episode(
    market: str, interval_s: int, first: str, trade: Callable[..., Any]
) -> None:
    bars = session_bars(market, interval_s, BAR_COUNT, first)
    assert bars.market.name == market
    last = check(bars, FeatureSpec(bar_seconds=float(interval_s)), trade)
    assert last.average_daily_volumes
    assert last.periods_per_year == bars.periods_per_year


@pytest.mark.parametrize(
    ("kind", "sized_at"), [("discrete", "open"), ("continuous", "open"), ("continuous", "close")]
)
def test_account_of_an_instrument_that_rounds_has_the_bits_of_an_episode(
    kind: Literal["discrete", "continuous"],
    sized_at: Literal["open", "close"],
    trade: Callable[..., Any],
    tmp_path: Path,
) -> None:
    bars = load_sample("ETH").slice(3_000, 3_000 + BAR_COUNT)
    if sized_at == "open":
        bars = opening_where_the_one_before_closed(bars)
    instrument = Instrument(
        tick=0.25, lot=3.0, multiplier=0.1, min_notional=2_500.0, taker_fee=0.0007,
        funding=0.0003, funding_hours=4.0, borrow_cost=0.4,
    )  # fmt: skip
    terms: dict[str, Any] = {
        "actions": kind,
        "position_fraction": 0.9,
        "allow_short": True,
        "sized_at": sized_at,
    }
    last = check(bars, FeatureSpec(), trade, **terms, instruments=(instrument,), refuses=True)
    log = DecisionLog(tmp_path / "log")
    ticks, parts = read_ticks(log), log.parts
    assert trade_again(ticks, parts) == [list(tick.fills) for tick in ticks]
    trail = AccountTrail.empty((bars.symbol,), len(ticks))
    book_account(ticks, parts[0].facts, trail, lambda *_: None, np.zeros(len(ticks), np.bool_))
    assert trail.equity[-1] == last.portfolio_values[-1]
    assert trail.equity.tolist() == log.ticks["equity"].to_pylist()


def check(
    bars: Bars,
    spec: FeatureSpec,
    trade: Callable[..., Any],
    *,
    refuses: bool = False,
    **terms: Any,
) -> RiskInputs:
    config = EnvironmentConfig(
        episode_bars=None, random_start=False, min_equity_fraction=0.0, **terms
    )
    env = IntradayTradingEnv(bars, config, spec)
    env.action_space.seed(1)
    actions = [env.action_space.sample() for _ in range(len(bars) - spec.lookback)]
    ticks, accounts = trade(env, bars, actions)
    observation, info = env.reset()
    for step, (tick, account) in enumerate(zip(ticks, accounts, strict=True)):
        assert tick.decisions[0].observation == observation.tobytes()
        assert tick.equity == info["equity"]
        if step % 50 == 0 or step == len(actions):
            assert_same_account(account, env.risk_inputs())
        if step < len(actions):
            observation, _, terminated, _, info = env.step(actions[step])
            assert not terminated
    assert ticks[-1].fees_paid == env.account.fees_paid > 0.0
    assert ticks[-1].cash == env.account.cash
    refused = [item for tick in ticks[:-1] for item in tick.orders if not item.sent]
    assert {item.reason for item in refused} <= {"BELOW_MINIMUM"}
    assert len(refused) == env.holdings.refused_trades
    assert bool(refused) == refuses == bool(env.holdings.carry_paid)
    last: RiskInputs = accounts[-1]
    return last


def assert_same_account(ours: RiskInputs, theirs: RiskInputs) -> None:
    """An account is open while the features warm up; and of its trades, the last day's are told."""
    since = theirs.portfolio_values.size
    assert len(set(ours.portfolio_values[:-since].tolist())) <= 1
    for name in ("portfolio_values", "timestamps"):
        assert getattr(ours, name)[-since:].tobytes() == getattr(theirs, name).tobytes()
    traded = [
        [
            (seconds, notional)
            for seconds, notional in zip(
                of.trade_timestamps.tolist(), of.trade_notionals.tolist(), strict=True
            )
            if notional and seconds >= float(ours.now or 0.0) - 86_400.0
        ]
        for of in (ours, theirs)
    ]
    assert traded[0] == traded[1]
    told = {"portfolio_values", "timestamps", "trade_timestamps", "trade_notionals"}
    for name in set(RiskInputs.__dataclass_fields__) - told:
        left, right = getattr(ours, name), getattr(theirs, name)
        if isinstance(left, np.ndarray):
            assert left.tobytes() == right.tobytes(), name
        else:
            assert left == right, name
