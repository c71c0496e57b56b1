"""Whether bars are those of a market that somebody named."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import MarketDataError
from tradewind.market.bars import Bars
from tradewind.market.recognition import recognise_market
from tradewind.market.sessions import DAY_NS, Market

__all__ = ["contradiction", "refuse_contradiction", "shows_sessions"]

# What is shorter may have no week-end in it, and would be taken for a market that never closes.
_SHOWN_DAYS: Final = 8
_SHOWN_DAYS_OF_DAILY: Final = 15
_JUDGED_BARS: Final = 5_000
_MOST_OUTSIDE: Final = 0.02
_FEWEST_THERE: Final = 0.5


def shows_sessions(starts_ns: NDArray[np.int64], interval_ns: int) -> bool:
    """Whether bars go over so many days that nights and week-ends would show."""
    days = _SHOWN_DAYS_OF_DAILY if interval_ns > DAY_NS // 2 else _SHOWN_DAYS
    return len(starts_ns) > 1 and int(starts_ns[-1] - starts_ns[0]) >= days * DAY_NS


def contradiction(market: Market, starts_ns: NDArray[np.int64], interval_ns: int) -> str:
    """What speaks against bars being of a market; "" where nothing does.

    That is bars in its closed hours, or half as many as it has. Of a long series the latest bars
    are judged; one that is too short to show sessions contradicts nothing, nor does one of weeks.

    Args:
        market: The market that they are said to be of.
        starts_ns: Starts of the bars, increasing. Shape [n].
        interval_ns: Length of a bar.

    Raises:
        MarketDataError: The market's calendar does not go as far.
    """
    starts_ns = starts_ns[-_JUDGED_BARS:]
    if interval_ns > DAY_NS or not shows_sessions(starts_ns, interval_ns):
        return ""
    outside = _count_outside(market, starts_ns, interval_ns)
    there = len(starts_ns) - outside
    expected = market.missing_bars(int(starts_ns[0]), int(starts_ns[-1]), interval_ns) + 2
    if outside > _MOST_OUTSIDE * len(starts_ns):
        return f"{outside} of {len(starts_ns)} begin while it is closed"
    if there < _FEWEST_THERE * expected or (
        market.sessions is None and _closes(starts_ns, interval_ns)
    ):
        return f"there are {there} where it has {expected}"
    return ""


def refuse_contradiction(bars: Bars) -> None:
    """Refuses bars that are not of the market that they are said to be of.

    Raises:
        MarketDataError: They are not, or its calendar does not go as far as they do.
    """
    if bars.given_market is None:
        return
    problem = contradiction(bars.given_market, bars.timestamps_ns, bars.interval_ns)
    if problem:
        raise MarketDataError(
            f"the bars of {bars.symbol} are not those of the market {bars.given_market.name} that "
            f"is named: {problem}; without a market it is recognised, or name the one they are of"
        )


def _closes(starts_ns: NDArray[np.int64], interval_ns: int) -> bool:
    """Whether bars tell of sessions."""
    try:
        return recognise_market(starts_ns, interval_ns).sessions is not None
    except MarketDataError:
        return True


def _count_outside(market: Market, starts_ns: NDArray[np.int64], interval_ns: int) -> int:
    if market.is_daily(interval_ns):
        return len(starts_ns) - len(np.unique(market.trading_days(starts_ns)))
    return sum(
        not (market.is_open(start) or market.is_open(start + interval_ns - 1))
        for start in starts_ns.tolist()
    )
