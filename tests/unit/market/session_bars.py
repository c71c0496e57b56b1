"""Random bars on the calendar of a market."""

from datetime import UTC, datetime

import numpy as np

from tradewind.market import Bars, market_named

__all__ = ["session_bars"]


def session_bars(
    market: str, interval_s: int, count: int, first: str, *, seed: int = 5, name: bool = False
) -> Bars:
    """A random walk whose bars follow each other as the market says.

    Args:
        market: Its name.
        interval_s: Length of a bar in seconds.
        count: How many bars.
        first: Start of the first one, ISO 8601, UTC.
        seed: Of the walk.
        name: Whether the bars are told their market, or it is to be recognised.
    """
    calendar, interval_ns = market_named(market), interval_s * 10**9
    times = [int(datetime.fromisoformat(first).replace(tzinfo=UTC).timestamp()) * 10**9]
    while len(times) < count:
        times.append(calendar.next_bar_start_ns(times[-1], interval_ns))
    draws = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(draws.normal(0.0002, 0.004, count)))
    start = np.concatenate([[100.0], close[:-1]])
    return Bars(
        "ACME",
        np.array(times, dtype=np.int64),
        start,
        np.maximum(start, close),
        np.minimum(start, close),
        close,
        draws.uniform(1e5, 2e5, count),
        interval_ns,
        calendar if name else None,
    )
