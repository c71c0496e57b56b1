from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tradewind.constants import ACTION_BUY, ACTION_HOLD, ACTION_SELL
from tradewind.market import Bars, series_of
from tradewind.risk import Position, RiskAgentV2
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv
from trainer_service.environment.config import unfed_metrics

MakeEnv = Callable[..., IntradayTradingEnv]


def test_risk_inputs_at_the_start_are_one_value_and_no_trade(make_env: MakeEnv) -> None:
    env = make_env()
    env.reset(options={"start": 500})
    inputs = env.risk_inputs()
    assert inputs.portfolio_values.tolist() == [100_000.0]
    assert inputs.timestamps.tolist() == [series_of(env.bars)[0].bar(500).timestamp_ns / 1e9 + 1800]
    assert inputs.start_of_day_value == 100_000.0
    assert inputs.capital_base == 100_000.0
    assert inputs.positions == (Position("BTC", 0.0, series_of(env.bars)[0].bar(500).close),)
    assert inputs.trade_timestamps.tolist() == [series_of(env.bars)[0].bar(500).timestamp_ns / 1e9]
    assert inputs.trade_notionals.tolist() == [0.0]


def test_risk_inputs_along_an_episode_are_its_history(make_env: MakeEnv) -> None:
    env = make_env(allow_short=True)
    env.reset(options={"start": 500})
    rng = np.random.default_rng(11)
    equities, trades = [100_000.0], [(series_of(env.bars)[0].bar(500).timestamp_ns / 1e9, 0.0)]
    for step in range(1, 150):
        info = env.step(int(rng.integers(3)))[4]
        equities.append(info["equity"])
        bar = series_of(env.bars)[0].bar(500 + step)
        if info["quantity_traded"]:
            notional = info["quantity_traded"] * info["fill_price"]
            trades.append((bar.timestamp_ns / 1e9, notional))
        inputs = env.risk_inputs()
        assert inputs.portfolio_values.tolist() == equities
        assert inputs.now == inputs.timestamps[-1] == bar.timestamp_ns / 1e9 + 1800
        assert inputs.feed_timestamps == {"BTC": inputs.now}
        assert len(inputs.timestamps) == len(equities)
        times, notionals = inputs.trade_timestamps.tolist(), inputs.trade_notionals.tolist()
        assert list(zip(times, notionals, strict=True)) == trades
        assert inputs.positions == (Position("BTC", info["quantity"], bar.close),)
    assert len(trades) > 20
    assert (np.diff(inputs.timestamps) > 0).all()
    # Relating price changes to order flow needs flows, and the bars have none.
    assert inputs.price_changes.size == inputs.order_flows.size == 0


def test_start_of_day_value_is_the_first_of_the_utc_day(make_env: MakeEnv) -> None:
    env = make_env()
    env.reset(options={"start": 500})
    by_day: dict[int, float] = {}
    days = 0
    for step in range(200):
        inputs = env.risk_inputs()
        day = int(inputs.timestamps[-1] // 86_400)
        days += day not in by_day
        by_day.setdefault(day, float(inputs.portfolio_values[-1]))
        assert inputs.start_of_day_value == by_day[day]
        env.step(ACTION_BUY if step % 7 else ACTION_SELL)
    assert days == 5


def test_start_of_day_value_at_midnight_is_that_of_midnight(make_env: MakeEnv) -> None:
    env = make_env()
    before_midnight = int(np.flatnonzero(env.bars.close_times_ns % (86_400 * 10**9) == 0)[10]) - 1
    env.reset(options={"start": before_midnight})
    equity = env.step(ACTION_BUY)[4]["equity"]
    inputs = env.risk_inputs()
    assert inputs.timestamps[-1] % 86_400 == 0
    assert inputs.start_of_day_value == equity != 100_000.0


def test_average_daily_volume_is_that_of_the_seven_days_before(
    make_env: MakeEnv, btc: Bars
) -> None:
    env = make_env(random_start=False)
    env.reset()
    day_ns = 86_400 * 10**9
    absent = 0
    for _ in range(400):
        inputs = env.risk_inputs()
        now_ns = round(inputs.timestamps[-1]) * 10**9
        if now_ns - 7 * day_ns < btc.timestamps_ns[0]:
            absent += 1
            assert inputs.average_daily_volumes == {}
        else:
            week = (btc.close_times_ns <= now_ns) & (btc.timestamps_ns >= now_ns - 7 * day_ns)
            expected = btc.volume[week].sum() / 7.0
            assert inputs.average_daily_volumes == {"BTC": pytest.approx(expected, rel=1e-9)}
        env.step(ACTION_HOLD)
    assert absent == 7 * 48 - env.feature_spec.lookback


def test_risk_inputs_copy_nothing(make_env: MakeEnv) -> None:
    env = make_env()
    env.reset(seed=1)
    env.step(ACTION_BUY)
    first = env.risk_inputs()
    env.step(ACTION_SELL)
    second = env.risk_inputs()
    for name in ("portfolio_values", "timestamps", "trade_timestamps", "trade_notionals"):
        assert np.shares_memory(getattr(first, name), getattr(second, name))


def test_risk_inputs_kept_through_more_steps_and_a_reset_stay_the_same(make_env: MakeEnv) -> None:
    env = make_env(episode_bars=20)
    env.reset(seed=1)
    env.step(ACTION_BUY)
    kept = env.risk_inputs()
    values, notionals = kept.portfolio_values.tolist(), kept.trade_notionals.tolist()
    env.step(ACTION_SELL)
    env.reset(seed=2)
    for _ in range(20):
        env.step(ACTION_BUY)
    assert kept.portfolio_values.tolist() == values
    assert kept.trade_notionals.tolist() == notionals


def test_last_step_puts_the_risk_inputs_of_the_episode_into_info(make_env: MakeEnv) -> None:
    env = make_env(episode_bars=30)
    env.reset(seed=4)
    infos = [env.step(ACTION_BUY)[4] for _ in range(30)]
    assert all("final_risk_inputs" not in info for info in infos[:-1])
    final = infos[-1]["final_risk_inputs"]
    assert final.portfolio_values.tolist()[1:] == [info["equity"] for info in infos]
    env.reset(seed=5)
    assert final.portfolio_values.tolist()[1:] == [info["equity"] for info in infos]
    assert env.risk_inputs().portfolio_values.size == 1


def test_unfed_metrics_are_those_that_no_episode_makes_available(
    btc: Bars, risk_policy: Path
) -> None:
    env = IntradayTradingEnv(btc.slice(0, 3_000), EnvironmentConfig(episode_bars=1_500))
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(1_499):
        env.step(env.action_space.sample())
    env.step(ACTION_BUY)
    agent = RiskAgentV2.from_yaml(risk_policy)
    report = agent.calculate_only(env.risk_inputs())
    assert set(report.unavailable) == set(unfed_metrics(agent.policy))
