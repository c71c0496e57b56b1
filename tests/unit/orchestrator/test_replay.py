"""A replay bar by bar is the training environment, to the last bit."""

from typing import Any, Literal

import numpy as np
import pytest

from orchestrator.baselines import BuyAndHold, RandomPolicy
from orchestrator.ledger import Ledger
from orchestrator.replay import replay
from tests.unit.market.session_bars import session_bars
from tradewind.errors import MarketDataError
from tradewind.market import Account, Bar, FeaturePipeline, FeatureSpec, TradingTerms, load_sample
from tradewind.risk import RiskInputs
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv

BAR_COUNT = 1_000


class Recorder:
    """Draws actions like RandomPolicy and keeps what it saw."""

    def __init__(
        self, terms: TradingTerms, actions: list[Any], spec: FeatureSpec | None = None
    ) -> None:
        self._terms = terms
        self._actions = iter(actions)
        self._pipeline = FeaturePipeline(spec or FeatureSpec())
        self.observations: list[np.ndarray] = []
        self.inputs: list[RiskInputs] = []

    def update(self, bar: Bar) -> None:
        self._pipeline.update(bar)

    def decide(self, account: Account, ledger: Ledger) -> float | None:
        self.observations.append(self._pipeline.observation(account.position))
        self.inputs.append(ledger.risk_inputs(account))
        return self._terms.target(next(self._actions))


@pytest.mark.parametrize("allow_short", [False, True])
@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_replay_with_the_actions_of_an_episode_gives_its_bits(
    allow_short: bool, kind: Literal["discrete", "continuous"]
) -> None:
    bars = load_sample("ETH").slice(3_000, 3_000 + BAR_COUNT)
    config = EnvironmentConfig(
        actions=kind,
        position_fraction=0.9,
        episode_bars=None,
        random_start=False,
        allow_short=allow_short,
        min_equity_fraction=0.0,
    )
    env = IntradayTradingEnv(bars, config)
    env.action_space.seed(1)
    step_count = BAR_COUNT - env.feature_spec.lookback
    actions = [env.action_space.sample() for _ in range(step_count)]

    recorder = Recorder(config, actions)
    result = replay(bars, config, recorder, warm_up_bars=env.feature_spec.lookback)

    observation, info = env.reset()
    equity = [info["equity"]]
    for step, action in enumerate(actions):
        assert recorder.observations[step].tobytes() == observation.tobytes()
        if step % 50 == 0:
            assert_same_inputs(recorder.inputs[step], env.risk_inputs())
        observation, _, terminated, truncated, info = env.step(action)
        assert not terminated
        equity.append(info["equity"])
    assert truncated
    assert result.equity.tobytes() == np.array(equity).tobytes()
    assert result.trade_count == np.count_nonzero(env.risk_inputs().trade_notionals)
    assert result.fees_paid == env.account.fees_paid


@pytest.mark.parametrize(
    ("market", "interval_s", "first"),
    [
        ("XNYS", 1_800, "2018-11-01T13:30"),
        ("XNYS", 86_400, "2018-01-02T00:00"),
        ("fx-week", 1_800, "2018-12-17T00:00"),
        ("XHKG", 1_800, "2018-11-01T01:30"),
    ],
)
def test_replay_in_a_market_with_sessions_tells_the_risk_calculators_what_the_environment_does(
    market: str, interval_s: int, first: str
) -> None:
    bars = session_bars(market, interval_s, 500, first)
    assert bars.market.name == market
    config = EnvironmentConfig(episode_bars=None, random_start=False, min_equity_fraction=0.0)
    spec = FeatureSpec(bar_seconds=float(interval_s))
    env = IntradayTradingEnv(bars, config, spec)
    env.action_space.seed(2)
    actions = [env.action_space.sample() for _ in range(len(bars) - spec.lookback)]
    recorder = Recorder(config, actions, spec)
    replay(bars, config, recorder, warm_up_bars=spec.lookback)
    env.reset()
    for step, action in enumerate(actions):
        assert_same_inputs(recorder.inputs[step], env.risk_inputs())
        env.step(action)
    assert recorder.inputs[-1].average_daily_volumes
    assert recorder.inputs[-1].periods_per_year == bars.periods_per_year


def assert_same_inputs(ours: RiskInputs, theirs: RiskInputs) -> None:
    for name in RiskInputs.__dataclass_fields__:
        left, right = getattr(ours, name), getattr(theirs, name)
        if isinstance(left, np.ndarray):
            assert left.tobytes() == right.tobytes(), name
        else:
            assert left == right, name


def test_replay_with_buy_and_hold_follows_the_price_less_its_costs() -> None:
    bars = load_sample("BTC").slice(0, 400)
    terms = TradingTerms()
    result = replay(bars, terms, BuyAndHold(terms), warm_up_bars=10)
    paid = bars.open[10] * (1.0 + terms.slippage) * (1.0 + terms.transaction_cost)
    assert result.total_return == pytest.approx(bars.close[-1] / paid - 1.0, rel=1e-12)
    assert result.trade_count == 1


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_replay_with_the_same_seed_repeats_itself(
    kind: Literal["discrete", "continuous"],
) -> None:
    bars = load_sample("BTC").slice(0, 400)
    terms = TradingTerms(actions=kind)
    runs = [replay(bars, terms, RandomPolicy(terms, seed), warm_up_bars=10) for seed in (1, 1, 2)]
    assert runs[0].equity.tobytes() == runs[1].equity.tobytes()
    assert runs[0].equity.tobytes() != runs[2].equity.tobytes()


def test_replay_with_fewer_bars_than_the_warm_up_says_so() -> None:
    terms = TradingTerms()
    with pytest.raises(MarketDataError, match="5 bars are too few: the warm-up takes 6"):
        replay(load_sample("BTC").slice(0, 5), terms, BuyAndHold(terms), warm_up_bars=6)
