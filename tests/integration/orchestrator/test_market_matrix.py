"""Bars of every length in every kind of market: trained, served and traded to the same bits.

Calendars, bars in a year and figures are those of exchange-calendars, pandas and NumPy.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from orchestrator.analysis.tearsheet.sheet import read_sheet
from orchestrator.decision_log import DecisionLog
from tests.integration.orchestrator.conftest import Desk, open_desk
from tests.integration.orchestrator.market_bars import MARKETS, random_bars
from tests.integration.orchestrator.panels import FRICTIONLESS, run, settings_of
from tradewind.bundle import BundleDraft, read_bundle
from tradewind.errors import ConflictError
from tradewind.market import Bars, FeatureSpec, market_named
from tradewind.market.feature_groups.session import Session
from tradewind.policy import TorchScriptPolicy
from trainer_service import EnvironmentConfig, IntradayTradingEnv, create_trainer_agent

HELD_OUT = 0.4
# An order is filled whole in every bar, also in one without volume, as in an environment.
EVERY_FILL = {**FRICTIONLESS, "level_share": None}
ALGORITHMS: dict[str, dict[str, Any]] = {
    "PPO": {"n_steps": 64, "batch_size": 32, "n_epochs": 1, "learning_rate": 0.02},
    "SAC": {"learning_starts": 32, "batch_size": 16, "train_freq": 16, "gradient_steps": 4},
    "DQN": {"learning_starts": 32, "batch_size": 16, "train_freq": 8, "learning_rate": 1e-4},
}


@dataclass(frozen=True)
class Cell:
    """Bars of one length in one market; `closings` times it closes between two of them."""

    market: str
    interval_s: int
    first: str
    count: int
    closings: int
    algorithm: str

    @property
    def name(self) -> str:
        """Of its policy."""
        return f"{self.market.lower()}-{self.interval_s}"

    @property
    def bars(self) -> Bars:
        """A random walk with gaps over nights, named where too few days show the market."""
        walk = random_bars(self.market, self.interval_s, self.first, self.count, seed=17)
        return walk if self.market_setting == "auto" else named(walk, self.market)

    @property
    def market_setting(self) -> str:
        """Of the orchestrator: bars of a minute are too few to show their market."""
        return self.market if self.interval_s == 60 else "auto"


# The first bars are those before: the end of summer time in Europe; its end in Europe and in New
# York; Thanksgiving and the half day after it; the whole of Thanksgiving's and the change of the
# clocks; years of holidays, each day stamped when it opens; Christmas; the week-end at which New
# York, and so the week, leaves summer time.
CELLS = (
    Cell("always-open", 60, "2019-10-26T22:00", 400, 0, "PPO"),
    Cell("always-open", 1_800, "2019-10-27T00:00", 400, 0, "DQN"),
    Cell("always-open", 86_400, "2018-07-01T00:00", 300, 0, "SAC"),
    Cell("XNYS", 60, "2019-11-27T20:20", 500, 2, "DQN"),
    Cell("XNYS", 1_800, "2019-10-28T13:30", 400, 30, "SAC"),
    Cell("XNYS", 86_400, "2018-12-03T14:30", 300, 60, "PPO"),
    Cell("fx-week", 60, "2019-12-24T20:00", 400, 1, "SAC"),
    Cell("fx-week", 1_800, "2019-10-30T00:00", 440, 2, "PPO"),
    Cell("fx-week", 86_400, "2018-07-02T21:00", 300, 60, "DQN"),
)


@pytest.fixture(scope="module")
def desk(
    tmp_path_factory: pytest.TempPathFactory, released_draft: Callable[..., BundleDraft]
) -> Iterator[Desk]:
    """Both services, over a store that trainings publish to."""
    with open_desk(tmp_path_factory.mktemp("matrix"), released_draft) as desk:
        yield desk


def named(bars: Bars, market: str) -> Bars:
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    return Bars(bars.symbol, bars.timestamps_ns, *columns, bars.interval_ns, market_named(market))


def environment(bars: Bars, actions: str, **changes: Any) -> IntradayTradingEnv:
    spec = FeatureSpec(
        bar_seconds=bars.interval_ns / 1e9,
        return_count=4,
        volatility_windows=(8, 24),
        rsi_period=7,
        ema_periods=(4,),
        ema_depth=3,
        vwap_window=12,
        groups=(Session(),),
    )
    config = EnvironmentConfig(
        actions="discrete" if actions == "DQN" else "continuous",
        allow_short=True,
        position_fraction=0.9,
        rebalance_threshold=0.0,
        initial_cash=20_000.0,
        sized_at="close",
        **{"episode_bars": 60, **changes},
    )
    return IntradayTradingEnv(bars, config, spec)


def train(desk: Desk, cell: Cell) -> Path:
    """Trains in a few hundred steps, and publishes."""
    config = {
        "policy": cell.name,
        "store": str(desk.folder / "store"),
        "drafts": str(desk.folder / "drafts"),
        "algorithm": cell.algorithm,
        "algo_params": {**ALGORITHMS[cell.algorithm], "policy_kwargs": {"net_arch": [8]}},
        "training_params": {
            "total_timesteps": 256, "seed": 3, "n_envs": 1, "held_out_fraction": HELD_OUT,
        },
        "risk_config": {
            "enabled": True, "policy_yaml": str(desk.risk_policy), "early_stop_threshold": None,
        },
        "evaluation": {"resamples": 100},
        "tracking": {"tensorboard": None},
    }  # fmt: skip
    path = Path(create_trainer_agent(config).run(environment(cell.bars, cell.algorithm)))
    desk.wait_until_served(cell.name)
    return path


def episode(bars: Bars, cell: Cell, choose: Callable[[Any], Any]) -> NDArray[np.float64]:
    """Equity at each close of one pass over bars. Shape [steps + 1]."""
    whole = {"episode_bars": None, "random_start": False, "min_equity_fraction": 0.0}
    env = environment(bars, cell.algorithm, **whole)
    observation, info = env.reset()
    equity, ended = [info["equity"]], False
    while not ended:
        observation, _, terminated, ended, info = env.step(choose(observation))
        assert not terminated
        equity.append(info["equity"])
    return np.array(equity)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_policy_trained_on_bars_of_a_market_trades_them_to_the_last_bit(
    desk: Desk, cell: Cell
) -> None:
    bars = cell.bars
    assert np.count_nonzero(np.diff(bars.timestamps_ns) > bars.interval_ns) >= cell.closings
    path = train(desk, cell)
    metadata = read_bundle(path).metadata
    assert metadata.features is not None
    assert metadata.features.market == cell.market
    allocation = {"symbol": bars.symbol, "policy": cell.name, "cash": 20_000.0}
    settings = settings_of(
        desk, cell.name, [bars], allocations=[allocation], market=cell.market_setting,
        **{"bar_seconds": float(cell.interval_s), "broker.market": EVERY_FILL},
    )  # fmt: skip
    run(settings)
    log = DecisionLog(settings.log.folder)
    assert log.facts["markets"] == {bars.symbol: cell.market}
    ticks = log.ticks.to_pylist()
    assert len(ticks) == len(bars)
    decided = [tick for tick in ticks if tick["outcome"] == "DECIDED"]
    env = environment(
        bars, cell.algorithm, episode_bars=None, random_start=False, min_equity_fraction=0.0
    )
    assert len(decided) == len(bars) - env.feature_spec.lookback + 1  # all after the warm-up
    assert not [flag for tick in ticks for bar in tick["bars"] for flag in bar["flags"]]
    assert_bits(decided, env, TorchScriptPolicy.load_bundle(path))
    assert_figures(cell, path, log, np.array([tick["equity"] for tick in ticks]))
    # Nowhere else.
    other = "XNYS" if cell.market == "fx-week" else "fx-week"
    refusal = f"trained on the market {cell.market}, the settings say {other}"
    with pytest.raises(ConflictError, match=refusal):
        run(settings.model_copy(update={"market": other}))


def assert_bits(ticks: list[Any], env: IntradayTradingEnv, policy: TorchScriptPolicy) -> None:
    """Observations, actions, fills and equity are the environment's."""
    observation, info = env.reset()
    discrete = env.config.actions == "discrete"
    at_openings = fill_count = before_ns = 0
    for number, tick in enumerate(ticks):
        (decision,) = tick["decisions"]
        assert decision["observation"] == observation.tobytes()
        assert tick["equity"] == info["equity"]
        assert tick["fees_paid"] == env.account.fees_paid
        assert tick["positions"][0]["quantity"] == env.account.quantity
        if tick["fills"]:
            (fill,) = tick["fills"]
            assert fill["price"] == env.account.last_fill_price
            assert fill["quantity"] * fill["price"] == env.account.last_trade_notional
            # At the open of the next bar there is, across a night too.
            start_ns = tick["close_ns"].value - env.bars.interval_ns
            assert fill["filled_ns"].value == start_ns
            at_openings += start_ns - before_ns > env.bars.interval_ns
            fill_count += 1
        before_ns = tick["close_ns"].value - env.bars.interval_ns
        chosen, _ = policy.predict(observation)
        if discrete:
            assert decision["action"] == chosen
        else:
            assert decision["action_values"] == pytest.approx(chosen, abs=1e-5)
        if number < len(ticks) - 1:
            action = decision["action"] if discrete else decision["action_values"]
            action = action if discrete else np.array(action, dtype=np.float32)
            observation, _, terminated, _, info = env.step(action)
            assert not terminated
    assert fill_count >= 3
    assert fill_count == np.count_nonzero(env.risk_inputs().trade_notionals)
    if np.any(np.diff(env.bars.timestamps_ns) > env.bars.interval_ns) and not discrete:
        assert at_openings > 0


def assert_figures(cell: Cell, path: Path, log: DecisionLog, equity: NDArray[np.float64]) -> None:
    """Sharpe ratio and volatility are annualised as anybody would who knows the market."""
    per_year = MARKETS[cell.market].periods_per_year(cell.interval_s)
    returns = equity[1:] / equity[:-1] - 1.0
    volatility = returns.std(ddof=1) * np.sqrt(per_year)
    summary = read_sheet(log).summary
    assert summary.volatility == pytest.approx(volatility, rel=1e-9)
    risk = log.ticks.slice(len(log.ticks) - 1).to_pylist()[0]["risk"]
    recent = returns[-256:].std(ddof=1) * np.sqrt(per_year)
    assert dict(risk["metrics"])["volatility"] == pytest.approx(recent, rel=1e-9)

    # What the bundle says of the bars that its training never saw.
    bars = cell.bars
    held_out = bars.slice(len(bars) - int(np.ceil(len(bars) * HELD_OUT)), len(bars))
    policy = TorchScriptPolicy.load_bundle(path)
    earned = episode(held_out, cell, lambda seen: policy.predict(seen)[0])
    earned_returns = earned[1:] / earned[:-1] - 1.0
    deviation = earned_returns.std(ddof=1)
    said = read_bundle(path).metadata.evaluation
    assert said["periods_per_year"] == per_year
    # The compiled network and TorchScript agree in float32: exactly in discrete actions alone.
    within = 1e-9 if cell.algorithm == "DQN" else 1e-5
    assert said["volatility"] == pytest.approx(deviation * np.sqrt(per_year), rel=within)
    if deviation == 0.0:  # it did not trade there
        assert "sharpe" not in said
    else:
        sharpe = earned_returns.mean() / deviation * np.sqrt(per_year)
        assert said["sharpe"] == pytest.approx(sharpe, rel=within)
