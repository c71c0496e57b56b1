"""Sharpe ratio and volatility of every kind of bars, against NumPy with the market's own factor."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.unit.market.session_bars import session_bars
from tradewind.errors import RiskPolicyError
from tradewind.market import Bars, load_sample
from tradewind.risk import RiskAgentV2, RiskPolicy
from trainer_service import create_trainer_agent
from trainer_service.environment import (
    EnvironmentConfig,
    IntradayTradingEnv,
    VectorizedTradingEnv,
)
from trainer_service.evaluation.episode import Episode, play_to
from trainer_service.evaluation.performance import measure_performance

SHIPPED = Path(__file__).parents[4] / "config" / "risk_limits.yaml"
DAY_NS = 86_400 * 10**9
WHOLE = EnvironmentConfig(episode_bars=None, random_start=False, min_equity_fraction=0.0)

# Market, length of a bar, first bar, and the bars in a year that anybody counts: days, or days
# times bars a day.
CASES = [
    ("always-open", 86_400, "2019-01-01T00:00", 365.0),
    ("always-open", 1_800, "2019-01-01T00:00", 365.0 * 48),
    ("always-open", 60, "2019-01-01T00:00", 365.0 * 1_440),
    ("XNYS", 86_400, "2019-01-02T00:00", 252.0),
    ("XNYS", 1_800, "2019-01-02T14:30", 252.0 * 13),
    ("XNYS", 60, "2019-01-02T14:30", 252.0 * 390),
    ("fx-week", 86_400, "2019-01-02T00:00", 260.0),
    ("fx-week", 1_800, "2019-01-02T00:00", 260.0 * 48),
    ("fx-week", 60, "2019-01-02T00:00", 260.0 * 1_440),
]


def hold(env: IntradayTradingEnv) -> Episode:
    targets = iter([np.array([0.9])])
    return play_to(env, lambda: next(targets, np.array([np.nan])))


@pytest.mark.parametrize(("market", "interval_s", "first", "periods"), CASES)
def test_figures_of_bars_are_annualised_with_the_bars_in_a_year_of_their_market(
    market: str, interval_s: int, first: str, periods: float
) -> None:
    bars = session_bars(market, interval_s, 700, first, name=True)
    policy = RiskPolicy.from_yaml(SHIPPED)
    env = IntradayTradingEnv(bars, WHOLE)
    episode = hold(env)
    returns = episode.equity[1:] / episode.equity[:-1] - 1.0
    mean, deviation = returns.mean(), returns.std(ddof=1)
    downside = np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2))

    found = measure_performance(episode, policy)
    assert found["volatility"] == pytest.approx(deviation * periods**0.5, rel=1e-9)
    assert found["sharpe"] == pytest.approx(mean / deviation * periods**0.5, rel=1e-9)
    assert found["sortino"] == pytest.approx(mean / downside * periods**0.5, rel=1e-9)

    days = returns.size / periods * {"always-open": 365, "XNYS": 252, "fx-week": 260}[market]
    expected_turnover = episode.traded_notional / episode.equity[0] / days
    assert found["turnover_per_day"] == pytest.approx(expected_turnover, rel=1e-9)

    # What shapes the reward and what production is told are of the same year.
    inputs = env.risk_inputs()
    assert inputs.periods_per_year == periods
    metrics = RiskAgentV2(policy).calculate_only(inputs).metric_values
    expected = returns[-256:].std(ddof=1) * periods**0.5
    assert metrics["volatility"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("market", "interval_s", "first", "periods"), CASES[3:5])
def test_step_risk_of_many_copies_is_annualised_as_that_of_one(
    market: str, interval_s: int, first: str, periods: float
) -> None:
    bars = session_bars(market, interval_s, 200, first, name=True)
    agent = RiskAgentV2(RiskPolicy.from_yaml(SHIPPED))
    copies = VectorizedTradingEnv(bars, WHOLE, n_envs=2, risk=agent)
    single = IntradayTradingEnv(bars, WHOLE)
    copies.reset()
    single.reset()
    for _ in range(60):
        copies.step(np.array([2, 1]))
        single.step(2)
    assert copies.step_risk is not None
    whole = agent.calculate_only(single.risk_inputs()).metric_values
    assert copies.step_risk.metric("volatility")[0] == whole["volatility"]


def test_recognised_bars_over_a_year_with_half_days_have_252_of_them() -> None:
    bars = session_bars("XNYS", 86_400, 252, "2018-01-02T00:00")
    assert bars.market.name == "XNYS"
    assert bars.periods_per_year == 252.0
    # 2018 had 251 sessions, three of them half days: 248 · 13 + 3 · 7 half hours.
    half_hours = session_bars("XNYS", 1_800, 3_245, "2018-01-02T14:30")
    assert half_hours.market.name == "XNYS"
    last = np.datetime64(int(half_hours.timestamps_ns[-1]), "ns").astype("datetime64[m]")
    assert str(last) == "2018-12-31T20:30"


@pytest.fixture
def stated(tmp_path: Path) -> Path:
    policy = tmp_path / "stated.yaml"
    policy.write_text(
        SHIPPED.read_text().replace("periods_per_year: auto", "periods_per_year: 17520")
    )
    return policy


@pytest.mark.parametrize("bars", [session_bars("XNYS", 86_400, 400, "2018-01-02T00:00")])
def test_policy_that_states_another_year_is_refused_by_evaluation_and_training(
    stated: Path, bars: Bars
) -> None:
    match = "states 17520 bars a year .* these bars are 252 a year of the market XNYS: set it to"
    env = IntradayTradingEnv(bars, WHOLE)
    with pytest.raises(RiskPolicyError, match=match):
        measure_performance(hold(env), RiskPolicy.from_yaml(stated))
    config = {
        "policy": "daily",
        "algorithm": "PPO",
        "training_params": {"total_timesteps": 10_000, "held_out_fraction": None},
        "risk_config": {"policy_yaml": str(stated)},
    }
    with pytest.raises(RiskPolicyError, match=match):
        create_trainer_agent(config).run(env)


def test_policy_that_states_the_year_of_the_bars_gives_the_figures_of_auto(stated: Path) -> None:
    env = IntradayTradingEnv(load_sample("BTC").slice(0, 600), WHOLE)
    episode = hold(env)
    found, expected = (
        measure_performance(episode, RiskPolicy.from_yaml(path)) for path in (stated, SHIPPED)
    )
    assert found == expected


def test_start_of_day_with_sessions_is_the_value_at_the_close_before() -> None:
    bars = session_bars("XNYS", 1_800, 400, "2019-01-02T14:30", name=True)
    env = IntradayTradingEnv(bars, WHOLE)
    env.reset()
    previous_close = None
    for _ in range(200):
        env.step(2)
        inputs = env.risk_inputs()
        at = np.datetime64(int(inputs.timestamps[-1]), "s").astype("datetime64[m]").item()
        if at.hour == 21:  # four in the afternoon in New York, in winter
            previous_close = inputs.portfolio_values[-1]
        if previous_close is not None:
            assert inputs.start_of_day_value == previous_close
    assert previous_close is not None


def test_start_of_day_with_the_last_bar_of_days_missing_is_the_value_before_the_night() -> None:
    whole = session_bars("XNYS", 1_800, 400, "2019-01-02T14:30", name=True)
    # Every other day without its last half hour, as of a share that was not traded then.
    kept = np.array([row % 26 != 12 for row in range(len(whole))])
    names = ("timestamps_ns", "open", "high", "low", "close", "volume")
    bars = dataclasses.replace(whole, **{name: getattr(whole, name)[kept] for name in names})
    single = IntradayTradingEnv(bars, WHOLE)
    agent = RiskAgentV2(RiskPolicy.from_yaml(SHIPPED))
    copies = VectorizedTradingEnv(bars, WHOLE, n_envs=2, risk=agent)
    single.reset()
    copies.reset()
    openings = np.flatnonzero(np.diff(bars.timestamps_ns) > 8 * 3_600 * 10**9) + 1
    first = single.feature_spec.lookback - 1
    for _ in range(200):
        single.step(2)
        copies.step(np.array([2, 1]))
        inputs = single.risk_inputs()
        at = first + inputs.portfolio_values.size - 1
        before = openings[openings <= at].max() - 1  # the last close before today
        # At the last close of a day that has it, the next day begins.
        if bars.close_times_ns[at] % DAY_NS == 21 * 3_600 * 10**9:
            before = at
        assert inputs.start_of_day_value == inputs.portfolio_values[max(before - first, 0)]
        assert copies.step_risk is not None
        found = agent.calculate_only(inputs).metric_values["daily_drawdown"]
        assert copies.step_risk.metric("daily_drawdown")[0] == found
