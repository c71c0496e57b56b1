"""RiskTracker: what it remembers, and that a refused increment leaves no trace."""

from typing import Any

import numpy as np
import pytest

from tradewind.errors import RiskInputError
from tradewind.risk import (
    FloatArray,
    OrderBook,
    Position,
    RiskAgentV2,
    RiskInputs,
    RiskPolicy,
    RiskTracker,
)

DAY_S = 86_400.0


@pytest.fixture
def tracker() -> RiskTracker:
    return RiskAgentV2(RiskPolicy()).tracker()


def test_tracker_without_anything_new_repeats_what_does_not_depend_on_the_time(
    tracker: RiskTracker, full_inputs: RiskInputs
) -> None:
    first = dict(tracker.update(full_inputs).metric_values)
    again = tracker.update({})
    assert again.unavailable == {"max_feed_staleness_ms": "now: not given"}
    del first["max_feed_staleness_ms"]
    assert again.metric_values == first


def test_tracker_reset_forgets_everything(tracker: RiskTracker, full_inputs: RiskInputs) -> None:
    fresh = tracker.update({})
    tracker.update(full_inputs)
    tracker.reset()
    assert tracker.update({}) == fresh


BOOK = OrderBook(np.array([9.0]), np.array([5.0]), np.array([11.0]), np.array([5.0]))
GOOD: dict[str, Any] = {
    "portfolio_values": [100.0, 90.0],
    "timestamps": [10.0, 20.0],
    "trade_timestamps": [15.0],
    "trade_notionals": [50.0],
    "capital_base": 100.0,
    "positions": [Position("A", 1.0, 10.0)],
    "order_books": {"A": BOOK},
    "now": 20.0,
}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"portfolio_values": [1.0], "timestamps": [20.0]}, "timestamps[0]"),
        ({"portfolio_values": [1.0, 2.0], "timestamps": [30.0, 29.0]}, "timestamps[1]"),
        ({"portfolio_values": [1.0]}, "timestamps"),
        ({"now": "noon"}, "now"),
        (
            {"positions": [Position("B", 1.0, 1.0), Position("B", 2.0, 1.0)]},
            "positions[1]",
        ),
    ],
)
def test_tracker_with_a_contradiction_refuses_it_and_takes_nothing(
    tracker: RiskTracker, wrong: dict[str, Any], field: str
) -> None:
    before = tracker.update(GOOD)
    with pytest.raises(RiskInputError) as caught:
        tracker.update({"portfolio_values": [], **wrong})
    assert [violation.field for violation in caught.value.violations] == [field]
    assert tracker.update({"now": 20.0}) == before


@pytest.mark.parametrize(("time", "what"), [(14.0, "is earlier"), (np.nan, "is not finite")])
def test_tracker_with_a_trade_out_of_order_loses_turnover_and_nothing_else(
    tracker: RiskTracker, time: float, what: str
) -> None:
    tracker.update({**GOOD, "capital_base": 1.0})
    count = len(GOOD["trade_timestamps"])
    for step in range(100):
        times = [time, *(100.0 + step + np.arange(0.0, 1.0, 0.01))]
        report = tracker.update({"trade_timestamps": times, "trade_notionals": np.ones(101)})
        assert report.unavailable["daily_turnover"].startswith(f"trades[{count}].timestamp {what}")
    # Nothing is kept of trades that nothing is calculated from.
    assert tracker._storage.trade_timestamps.shape[1] < 500
    report = tracker.update({"portfolio_values": [1e-9], "timestamps": [1e6]})
    assert report.metric_values["max_drawdown"] == pytest.approx(1.0)
    tracker.reset()
    report = tracker.update({**GOOD, "capital_base": 1.0})
    assert "daily_turnover" in report.metric_values


def test_tracker_with_positions_by_symbol_replaces_each_and_keeps_the_others(
    tracker: RiskTracker,
) -> None:
    tracker.update(
        {
            "capital_base": 100.0,
            "positions": [Position("A", 1.0, 10.0), Position("B", 1.0, 30.0)],
        }
    )
    report = tracker.update({"positions": [Position("B", 0.0, 30.0)]})
    assert report.metric_values["gross_leverage"] == pytest.approx(0.1)


def test_tracker_with_trades_of_days_keeps_those_of_the_horizons(tracker: RiskTracker) -> None:
    times: FloatArray = np.arange(0.0, 12 * DAY_S, 60.0)
    for start in range(0, times.size, 700):
        new = times[start : start + 700]
        report = tracker.update(
            {
                "trade_timestamps": new,
                "trade_notionals": np.ones(new.size),
                "capital_base": 1.0,
            }
        )
        if start > 1_440:
            assert report.metric_values["daily_turnover"] == 1_440.0
            assert report.metric_values["hourly_turnover"] == 60.0
    # Bounded by the horizons, not by the history: two days of one trade a minute.
    assert tracker._storage.trade_timestamps.shape[1] < 5_000


def test_tracker_with_a_clock_that_goes_back_by_less_than_a_day_takes_it(
    tracker: RiskTracker,
) -> None:
    trades = {"trade_timestamps": [DAY_S], "trade_notionals": [5.0], "capital_base": 1.0}
    tracker.update({**trades, "now": 2 * DAY_S + 10.0})
    report = tracker.update({"now": 2 * DAY_S - 10.0})
    assert report.metric_values["daily_turnover"] == 5.0


def test_tracker_with_a_clock_that_goes_back_by_more_than_a_day_refuses_it(
    tracker: RiskTracker,
) -> None:
    tracker.update({"now": 10 * DAY_S})
    with pytest.raises(RiskInputError, match="now: the latest time known goes back"):
        tracker.update({"now": 8.9 * DAY_S})


def test_tracker_memory_with_a_long_history_does_not_grow(tracker: RiskTracker) -> None:
    sizes = set()
    for start in range(0, 40_000, 5_000):
        tracker.update({"portfolio_values": np.arange(start + 1.0, start + 5_001.0)})
        sizes.add(sum(array.nbytes for array in tracker._storage))
    assert len(sizes) == 1


def test_trackers_of_one_agent_are_independent() -> None:
    agent = RiskAgentV2(RiskPolicy())
    first, second = agent.tracker(), agent.tracker()
    first.update({"portfolio_values": [2.0, 1.0]})
    assert second.update({"portfolio_values": [1.0]}).metric_values["max_drawdown"] == 0.0
    assert first.update({}).metric_values["max_drawdown"] == 0.5
