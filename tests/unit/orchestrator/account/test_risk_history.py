"""The short history that Evaluate is sent gives the metrics of the whole one."""

import numpy as np
import pytest

from orchestrator.account.risk_history import RiskHistory, history_length
from orchestrator.markets import Markets
from tradewind.market import ALWAYS_OPEN, market_named
from tradewind.risk import RiskAgentV2, RiskInputs
from tradewind.risk.policy import RiskPolicy

STEP_NS = 1_800_000_000_000
CALCULATORS = {
    "ulcer_index": {"window_bars": 60},
    "volatility": {"window_bars": 50},
    "var": {"window_bars": 100},
    "expected_shortfall": {"window_bars": 100},
}


@pytest.mark.parametrize("lost", [{}, {100: 0.0, 333: -4e4, 334: -5e4}])
def test_history_with_older_values_left_out_gives_the_metrics_of_all_of_them(
    lost: dict[int, float],
) -> None:
    policy = RiskPolicy.parse({"calculators": CALCULATORS})
    length = history_length(policy)
    assert length == 101
    values = 1e5 * np.exp(np.cumsum(np.random.default_rng(3).normal(0.0, 0.01, 600)))
    for at, value in lost.items():
        values[at] = value
    markets = Markets({"BTC": ALWAYS_OPEN}, STEP_NS)
    history = RiskHistory((), 1e5, STEP_NS, length, markets)
    agent = RiskAgentV2(policy)
    for index, value in enumerate(values):
        history.record((index + 1) * STEP_NS, (), (), float(value), ())
        if index % 37 == 0 or index in (length - 1, length, length + 1):
            short = history.inputs()
            assert short.portfolio_values.size <= length + 3
            seen = values[: index + 1]
            whole = RiskInputs(
                portfolio_values=seen,
                timestamps=np.arange(1.0, index + 2.0) * 1800.0,
                start_of_day_value=short.start_of_day_value,
                trade_timestamps=short.trade_timestamps,
                trade_notionals=short.trade_notionals,
                capital_base=1e5,
                now=short.now,
                periods_per_year=17_520.0,
            )
            if lost and index > 333:
                assert agent.calculate_only(short).metric_values["max_drawdown"] > 1.0
            ours = dict(agent.calculate_only(short).metric_values)
            theirs = dict(agent.calculate_only(whole).metric_values)
            for name in ("drawdown_duration_bars", "max_drawdown_duration_bars"):
                assert ours.pop(name) <= theirs.pop(name)
            assert ours == theirs
            assert "volatility" in ours or index < 20 or lost


def test_periods_of_an_account_are_those_of_the_market_with_the_most_bars() -> None:
    shares, coins = market_named("XNYS"), ALWAYS_OPEN
    assert Markets({"A": shares}, STEP_NS).periods_per_year == 252.0 * 13
    both = Markets({"A": shares, "BTC": coins}, STEP_NS)
    assert both.periods_per_year == 17_520.0
    assert both.account_market == coins
    assert Markets({"A": shares, "B": None}, STEP_NS).periods_per_year is None
    assert Markets.unknown(["A"], STEP_NS).periods_per_year is None


def test_log_of_a_release_without_markets_is_replayed_without_periods() -> None:
    facts = {"interval_ns": STEP_NS}
    assert Markets.of_log(["A"], facts).periods_per_year is None
    named = {**facts, "markets": {"A": "XNYS"}}
    assert Markets.of_log(["A"], named).periods_per_year == 252.0 * 13


def test_start_of_day_beyond_the_end_of_a_calendar_is_that_of_utc() -> None:
    markets = Markets({"A": market_named("XNYS")}, STEP_NS)
    close_ns = 86_400 * 10**9 * 35_000  # in 2065
    assert markets.trading_day(close_ns) == 35_000


@pytest.mark.parametrize(
    ("market", "closes", "starts"),
    [
        # The bar that ends New York's day is there, and missing: the night is the new day's.
        ("XNYS", ["2019-11-25 20:30", "2019-11-25 21:00", "2019-11-26 15:00"], [1.0, 2.0, 2.0]),
        ("XNYS", ["2019-11-25 20:00", "2019-11-25 20:30", "2019-11-26 15:00"], [1.0, 1.0, 2.0]),
        (
            "always-open",
            ["2019-11-25 23:30", "2019-11-26 00:00", "2019-11-26 00:30"],
            [1.0, 2.0, 2.0],
        ),
        (
            "always-open",
            ["2019-11-25 23:30", "2019-11-26 00:30", "2019-11-26 01:00"],
            [1.0, 1.0, 1.0],
        ),
        ("fx-week", ["2019-11-29 21:30", "2019-12-01 22:30", "2019-12-01 23:00"], [1.0, 1.0, 1.0]),
    ],
)
def test_day_starts_with_the_last_close_before_it(
    market: str, closes: list[str], starts: list[float]
) -> None:
    history = RiskHistory((), 1e5, STEP_NS, 10, Markets({"A": market_named(market)}, STEP_NS))
    for value, (text, start) in enumerate(zip(closes, starts, strict=True), start=1):
        history.record(int(np.datetime64(text, "ns").astype(np.int64)), (), (), float(value), ())
        assert history.start_of_day_value == start


def test_day_of_a_log_of_an_earlier_release_starts_with_its_first_close() -> None:
    close_ns = int(np.datetime64("2019-11-26 15:00", "ns").astype(np.int64))
    facts = {"interval_ns": STEP_NS, "markets": {"A": "XNYS"}}
    assert Markets.of_log(["A"], facts).ends_day(close_ns)
    assert not Markets.of_log(["A"], {**facts, "start_of_day": "last_close"}).ends_day(close_ns)
