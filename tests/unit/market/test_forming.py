"""A file whose last bar had not closed when it was written: that bar is no bar."""

import logging
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tradewind.market import load_bars
from tradewind.market.markets import market_named

HALF_HOUR, DAY = 1_800 * 10**9, 86_400 * 10**9


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def write(path: Path, market: str, first: str, count: int, interval_ns: int, hours: float) -> Path:
    """Bars of a market in a file that was written so long after the last of them began."""
    times = [ns(first)]
    while len(times) < count:
        times.append(market_named(market).next_bar_start_ns(times[-1], interval_ns))
    return write_at(path, times, hours)


def write_at(path: Path, times: list[int], hours: float) -> Path:
    rows = [f"{time // 10**9},1,1,1,1,1" for time in times]
    path.write_text("\n".join(["timestamp,open,high,low,close,volume", *rows, ""]))
    written_ns = times[-1] + round(hours * 3_600e9)
    os.utime(path, ns=(written_ns, written_ns))
    return path


@pytest.mark.parametrize(
    ("market", "count", "interval_ns", "hours", "is_left_out"),
    [
        ("always-open", 10, HALF_HOUR, 0.4, True),
        ("always-open", 10, HALF_HOUR, 0.0, True),
        ("always-open", 10, HALF_HOUR, 0.5, False),
        ("always-open", 10, HALF_HOUR, 9_999.0, False),
        # Before its begin there is nothing to tell: a clock or a time zone is wrong.
        ("always-open", 10, HALF_HOUR, -0.1, False),
        # New York closes at 20:00 or 21:00 UTC, long before the day of UTC ends.
        ("XNYS", 230, DAY, 19.5, True),
        ("XNYS", 230, DAY, 21.5, False),
        ("always-open", 230, DAY, 21.5, True),
    ],
)
def test_file_that_was_written_before_its_last_bar_closed_is_read_without_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, market: str, count: int, interval_ns: int,
    hours: float, is_left_out: bool,
) -> None:  # fmt: skip
    path = write(tmp_path / "acme.csv", market, "2019-01-02 00:00", count, interval_ns, hours)
    with caplog.at_level(logging.WARNING):
        bars = load_bars(path)
    assert len(bars) == count - is_left_out
    assert ("still forming" in caplog.text) == is_left_out


@pytest.mark.parametrize(
    ("first", "count", "interval_ns", "hours", "is_left_out"),
    [
        # Too few to recognise anything from: only who is told the market knows.
        ("2019-01-02 00:00", 5, DAY, 21.5, False),
        ("2019-01-02 00:00", 5, DAY, 20.5, True),
        # Hours that begin at 9:30: the seventh, at 15:30, is over at 16:00 in New York.
        ("2019-01-02 14:30", 7, 2 * HALF_HOUR, 0.6, False),
        ("2019-01-02 14:30", 7, 2 * HALF_HOUR, 0.4, True),
        ("2019-01-02 14:30", 6, 2 * HALF_HOUR, 0.6, True),
        # A week is not over with its first day.
        ("2019-01-07 00:00", 5, 7 * DAY, 30.0, True),
    ],
)
def test_file_whose_market_is_given_is_judged_by_that_market(
    tmp_path: Path, first: str, count: int, interval_ns: int, hours: float, is_left_out: bool
) -> None:
    times = [ns(first) + row * interval_ns for row in range(count)]
    if interval_ns == DAY:
        path = write(tmp_path / "acme.csv", "XNYS", first, count, interval_ns, hours)
    else:
        path = write_at(tmp_path / "acme.csv", times, hours)
    assert len(load_bars(path, market="XNYS")) == count - is_left_out


def test_file_of_two_bars_may_lose_the_second_and_no_more(tmp_path: Path) -> None:
    text = "timestamp,open,high,low,close,volume\n2019-01-01,1,1,1,1,1\n2019-01-02,1,1,1,1,1\n"
    path = tmp_path / "acme.csv"
    path.write_text(text)
    os.utime(path, ns=(ns("2019-01-02 12:00"),) * 2)
    assert len(load_bars(path)) == 1
