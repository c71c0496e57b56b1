"""When the next tick is overdue: a closed market is not silent, and nobody is alarmed."""

from datetime import UTC, datetime

import pytest

from orchestrator.agents.expectation import Expectation
from orchestrator.feeds import Tick
from orchestrator.markets import Markets
from tradewind.market.markets import market_named

HALF_HOUR, HOUR, DAY = 1_800 * 10**9, 3_600 * 10**9, 86_400 * 10**9
SLACK = 5 * 10**9


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def expectation(market: str, interval_ns: int) -> Expectation:
    return Expectation(Markets({"ACME": market_named(market)}, interval_ns), SLACK)


@pytest.mark.parametrize(
    ("market", "interval_ns", "closed", "due"),
    [
        # The half day after Thanksgiving, and the week-end at which New York leaves summer time.
        ("XNYS", HALF_HOUR, "2019-11-29 18:00", "2019-12-02 15:00"),
        ("XNYS", HALF_HOUR, "2019-11-01 20:00", "2019-11-04 15:00"),
        ("XNYS", HOUR, "2019-11-26 21:30", "2019-11-27 15:30"),
        ("XNYS", DAY, "2019-11-23 00:00", "2019-11-26 00:00"),
        ("fx-week", HOUR, "2019-12-06 22:00", "2019-12-08 23:00"),
        ("always-open", HOUR, "2019-12-06 22:00", "2019-12-06 23:00"),
    ],
)
def test_tick_after_the_last_one_of_a_session_is_due_with_the_next_bar_of_the_market(
    market: str, interval_ns: int, closed: str, due: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ns = ns(closed)
    monkeypatch.setattr("orchestrator.agents.expectation.time.time_ns", lambda: now_ns)
    tick = Tick(ns(closed), now_ns=now_ns)
    assert expectation(market, interval_ns).after(tick) == ns(due) + SLACK


@pytest.mark.parametrize(
    ("market", "interval_ns", "now", "due"),
    [
        ("XNYS", HALF_HOUR, "2019-11-28 12:00", "2019-11-29 15:00"),  # Thanksgiving
        ("XNYS", HOUR, "2019-11-26 03:12", "2019-11-26 15:30"),  # hours begin at half past
        ("XNYS", HOUR, "2019-11-26 15:12", "2019-11-26 16:30"),
        ("XBOM", HALF_HOUR, "2019-11-26 03:30", "2019-11-26 04:15"),  # it opens at a quarter to
        ("fx-week", HOUR, "2019-12-07 12:00", "2019-12-08 23:00"),
        ("always-open", HOUR, "2019-12-07 12:10", "2019-12-07 14:00"),
    ],
)
def test_first_tick_while_the_market_is_closed_is_due_with_its_first_bar(
    market: str, interval_ns: int, now: str, due: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.agents.expectation.time.time_ns", lambda: ns(now))
    assert expectation(market, interval_ns).first() == ns(due) + SLACK
