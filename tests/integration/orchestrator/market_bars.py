"""Random bars on calendars made by exchange-calendars and pandas, not by Tradewind."""

import warnings
from dataclasses import dataclass
from typing import Any, Final

import exchange_calendars
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tradewind.market import Bars

__all__ = ["MARKETS", "MarketDays", "random_bars"]

_NEW_YORK: Final = "America/New_York"
_REFERENCE: Final = ("2005-01-01", "2024-12-31")


@dataclass(frozen=True)
class MarketDays:
    """A market by its name, as somebody else's calendar knows it.

    Attributes:
        name: As Tradewind calls it.
        days_per_year: Sessions of a usual year.
        minutes_per_day: Of a regular session.
    """

    name: str
    days_per_year: float
    minutes_per_day: int

    def periods_per_year(self, interval_s: int) -> float:
        """Bars in a year."""
        per_day = 1.0 if interval_s == 86_400 else self.minutes_per_day * 60.0 / interval_s
        return self.days_per_year * per_day

    def starts_ns(self, interval_s: int, first: str, count: int) -> NDArray[np.int64]:
        """Starts of so many bars from a time (UTC) on. Shape [count]."""
        start = pd.Timestamp(first, tz="UTC")
        days = pd.date_range(start.normalize() - pd.Timedelta(days=1), periods=800, freq="D")
        if self.name == "always-open":
            times = pd.date_range(start, periods=count, freq=f"{interval_s}s")
        elif interval_s == 86_400:
            times = _of_days(self.name, days)
        else:
            times = _within_days(self.name, days, interval_s)
        kept = times[times >= start][:count]
        assert len(kept) == count
        starts: NDArray[np.int64] = kept.as_unit("ns").asi8
        return starts


def _openings(name: str, days: pd.DatetimeIndex) -> tuple[pd.DatetimeIndex, pd.DatetimeIndex]:
    """When each session opens and closes, UTC."""
    if name == "XNYS":
        calendar = _calendar("XNYS", str(days[0].date()), str(days[-1].date()))
        return pd.DatetimeIndex(calendar.opens), pd.DatetimeIndex(calendar.closes)
    dates = days.tz_localize(None)
    closed = (dates.day_of_week > 4) | dates.strftime("%m-%d").isin(["12-25", "01-01"])
    turn = dates[~closed] + pd.Timedelta(hours=17)
    opens = (turn - pd.Timedelta(days=1)).tz_localize(_NEW_YORK).tz_convert("UTC")
    return opens, turn.tz_localize(_NEW_YORK).tz_convert("UTC")


def _of_days(name: str, days: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """A bar a session, which starts when it opens: at another time (UTC) in summer."""
    opens, _ = _openings(name, days)
    return opens


def _within_days(name: str, days: pd.DatetimeIndex, interval_s: int) -> pd.DatetimeIndex:
    parts = [
        pd.date_range(opens, closes, freq=f"{interval_s}s", inclusive="left")
        for opens, closes in zip(*_openings(name, days[:90]), strict=True)
    ]
    return pd.DatetimeIndex(np.concatenate([part.as_unit("ns").asi8 for part in parts]), tz="UTC")


def _calendar(name: str, first: str, last: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what pandas will remove one day
        return exchange_calendars.get_calendar(name, start=first, end=last)


def _exchange(name: str) -> MarketDays:
    calendar = _calendar(name, *_REFERENCE)
    years = 20
    minutes = (calendar.closes - calendar.opens).dt.total_seconds().mode()[0] / 60.0
    return MarketDays(name, float(round(len(calendar.sessions) / years)), int(minutes))


MARKETS: Final = {
    market.name: market
    for market in (
        MarketDays("always-open", 365.0, 1_440),
        _exchange("XNYS"),
        MarketDays("fx-week", 52.0 * 5.0, 1_440),
    )
}


def random_bars(market: str, interval_s: int, first: str, count: int, seed: int) -> Bars:
    """A random walk on the calendar of a market, that jumps while it is closed.

    Args:
        market: Its name.
        interval_s: Length of a bar in seconds.
        first: From when on, UTC.
        count: How many bars.
        seed: Of the walk.
    """
    starts = MARKETS[market].starts_ns(interval_s, first, count)
    draws = np.random.default_rng(seed)
    closings = np.r_[False, np.diff(starts) > interval_s * 10**9]
    overnight = draws.normal(0.0, np.where(closings, 0.02, 0.0005))
    within = draws.normal(0.0, 0.004, count)
    close = 100.0 * np.exp(np.cumsum(overnight + within))
    opens = close * np.exp(-within)
    spread = np.exp(np.abs(draws.normal(0.0, 0.001, (2, count))))
    return Bars(
        "ACME",
        starts,
        opens,
        np.maximum(opens, close) * spread[0],
        np.minimum(opens, close) / spread[1],
        close,
        draws.uniform(1e5, 2e5, count) * (draws.random(count) > 0.03),
        interval_s * 10**9,
    )
