"""Turnover, Kyle's lambda, feed staleness and latency drift."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tradewind.risk import RiskAgentV2, RiskPolicy, RiskReport

Report = Callable[..., RiskReport]
PLAIN = RiskAgentV2(RiskPolicy())
DAY_S = 86_400.0


@settings(max_examples=40)
@given(
    seconds=st.lists(st.floats(0.0, 3 * DAY_S), min_size=1, max_size=60),
    seed=st.integers(0, 2**32 - 1),
    wait=st.floats(0.0, DAY_S),
)
def test_turnover_with_any_trades_is_the_absolute_notional_of_the_window(
    seconds: list[float], seed: int, wait: float
) -> None:
    times = np.sort(seconds)
    notionals = np.random.default_rng(seed).normal(0.0, 1e4, times.size)
    now = times[-1] + wait
    found = PLAIN.calculate_only(
        {
            "trade_timestamps": times,
            "trade_notionals": notionals,
            "capital_base": 5e4,
            "now": now,
        }
    ).metric_values
    for metric, horizon in (("hourly_turnover", 3_600.0), ("daily_turnover", DAY_S)):
        window = (times > now - horizon) & (times <= now)
        expected = np.abs(notionals[window]).sum() / 5e4
        assert found[metric] == pytest.approx(expected, rel=1e-12)


def test_turnover_without_now_ends_at_the_last_bar(report_of: Report) -> None:
    report = report_of(
        portfolio_values=[1.0, 1.0],
        timestamps=[0.0, 5_000.0],
        trade_timestamps=[1_000.0, 2_000.0],
        trade_notionals=[-3.0, 4.0],
        capital_base=10.0,
    )
    assert report.metric_values["hourly_turnover"] == pytest.approx(0.4)
    assert report.metric_values["daily_turnover"] == pytest.approx(0.7)


def test_turnover_without_trades_says_how_to_say_that_there_were_none(report_of: Report) -> None:
    assert "notional 0" in report_of(capital_base=10.0).unavailable["hourly_turnover"]
    none = report_of(trade_timestamps=[0.0], trade_notionals=[0.0], capital_base=10.0)
    assert none.metric_values["hourly_turnover"] == 0.0


def test_turnover_with_a_bad_notional_recovers_when_it_leaves_the_window(
    report_of: Report,
) -> None:
    trades: dict[str, Any] = {
        "trade_timestamps": [0.0, 10_000.0],
        "trade_notionals": [np.nan, 5.0],
        "capital_base": 10.0,
    }
    report = report_of(now=10_000.0, **trades)
    assert report.metric_values["hourly_turnover"] == 0.5
    assert report.unavailable["daily_turnover"] == "trades[0].notional is not finite"
    assert "daily_turnover" in report_of(now=DAY_S + 1.0, **trades).metric_values


@pytest.mark.parametrize(("capital", "reason"), [(0.0, "positive"), (np.inf, "finite")])
def test_turnover_with_unusable_capital_is_unavailable(
    report_of: Report, capital: float, reason: str
) -> None:
    report = report_of(trade_timestamps=[0.0], trade_notionals=[1.0], capital_base=capital)
    assert report.unavailable["daily_turnover"] == f"capital_base is not {reason}"


@settings(max_examples=30)
@given(size=st.integers(30, 400), seed=st.integers(0, 2**32 - 1), sign=st.sampled_from([-1, 1]))
def test_kyle_lambda_with_any_flows_equals_the_regression_of_scipy(
    size: int, seed: int, sign: int
) -> None:
    rng = np.random.default_rng(seed)
    flows = rng.normal(3.0, 10.0, size)
    changes = sign * 0.02 * flows + rng.normal(0.0, 0.3, size)
    found = PLAIN.calculate_only({"price_changes": changes, "order_flows": flows}).metric_values
    fit = stats.linregress(flows[-256:], changes[-256:])
    assert found["kyle_lambda"] == pytest.approx(abs(fit.slope), rel=1e-9)
    assert found["kyle_lambda_r2"] == pytest.approx(fit.rvalue**2, rel=1e-9)


def test_kyle_lambda_with_constant_flows_is_unavailable(report_of: Report) -> None:
    changes = np.random.default_rng(1).normal(size=40)
    report = report_of(price_changes=changes, order_flows=np.full(40, 0.1))
    assert "order_flows: they do not vary" in report.unavailable["kyle_lambda"]


def test_kyle_lambda_with_constant_prices_is_zero_and_explains_nothing(report_of: Report) -> None:
    flows = np.random.default_rng(1).normal(size=40)
    report = report_of(price_changes=np.full(40, 0.1), order_flows=flows)
    assert report.metric_values["kyle_lambda"] == pytest.approx(0.0, abs=1e-15)
    assert "price_changes: they do not vary" in report.unavailable["kyle_lambda_r2"]


def test_kyle_lambda_with_a_bad_flow_names_it_while_it_is_in_the_window(
    agent_of: Callable[..., RiskAgentV2],
) -> None:
    rng = np.random.default_rng(2)
    changes, flows = rng.normal(size=50), rng.normal(size=50)
    flows[10] = np.inf
    inputs = {"price_changes": changes, "order_flows": flows}
    assert PLAIN.calculate_only(inputs).unavailable["kyle_lambda"] == (
        "order_flows[10] is not finite"
    )
    short = agent_of(kyle_lambda={"window_intervals": 39})
    assert "kyle_lambda" in short.calculate_only(inputs).metric_values


def test_feed_staleness_with_several_feeds_is_the_age_of_the_oldest(report_of: Report) -> None:
    report = report_of(feed_timestamps={"a": 99.5, "b": 98.25, "c": 99.9}, now=100.0)
    assert report.metric_values["max_feed_staleness_ms"] == 1_750.0


@pytest.mark.parametrize(
    ("feeds", "now", "reason"),
    [
        ({"a": 99.0, "b": 101.5}, 100.0, "feed_timestamps['b'] is later than now"),
        ({"a": 99.0, "b": np.nan}, 100.0, "feed_timestamps['b'] is not finite"),
        ({"a": 99.0}, None, "now: not given"),
        ({"a": 99.0}, np.inf, "now is not finite"),
        ({}, 100.0, "feed_timestamps: not given"),
    ],
)
def test_feed_staleness_with_unusable_times_is_unavailable(
    report_of: Report, feeds: dict[str, float], now: float | None, reason: str
) -> None:
    report = report_of(feed_timestamps=feeds, now=now)
    assert report.unavailable["max_feed_staleness_ms"].startswith(reason)


@pytest.mark.parametrize("orders", [2_000, 3_333, 5_000, 7_000])
def test_latency_drift_with_enough_orders_compares_tails_of_numpy(
    report_of: Report, orders: int
) -> None:
    latencies = np.random.default_rng(orders).lognormal(5.0, 1.0, orders)
    baseline, recent = latencies[-5_000:-1_000], latencies[-1_000:]
    expected = np.quantile(recent, 0.999) / np.quantile(baseline, 0.999) - 1.0
    found = report_of(order_latencies_us=latencies).metric_values["latency_drift"]
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({0: np.nan}, "order_latencies_us[0] is not finite"),
        ({1_999: -1.0}, "order_latencies_us[1999] is negative"),
        (dict.fromkeys(range(1_000), 0.0), "order_latencies_us: a drift from a baseline"),
    ],
)
def test_latency_drift_with_unusable_latencies_is_unavailable(
    report_of: Report, change: dict[int, float], reason: str
) -> None:
    latencies = np.full(2_000, 80.0)
    for index, value in change.items():
        latencies[index] = value
    report = report_of(order_latencies_us=latencies)
    assert report.unavailable["latency_drift"].startswith(reason)


def test_latency_drift_with_latencies_of_minus_zero_takes_them_for_zero(report_of: Report) -> None:
    latencies = np.full(2_000, 80.0)
    latencies[::7] = -0.0
    assert report_of(order_latencies_us=latencies).metric_values["latency_drift"] == 0.0


def test_latency_drift_with_too_few_orders_says_how_many_it_needs(report_of: Report) -> None:
    report = report_of(order_latencies_us=np.full(1_999, 80.0))
    assert report.unavailable["latency_drift"] == (
        "order_latencies_us: 2000 needed, 1999 in the window"
    )
