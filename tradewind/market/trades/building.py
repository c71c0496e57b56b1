"""From trades to bars, some at a time: what is held is one unfinished bar and those that ended."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradewind.kernels.compiled import compiled
from tradewind.market.trades.rules import DOLLAR, TICK, TIME, VOLUME, BarRule

__all__ = ["BarBuilder", "BuiltColumns", "Events"]

Integers = NDArray[np.int64]
Numbers = NDArray[np.float64]

# Columns of what is built; turnover and spread are sums.
_OPEN, _HIGH, _LOW, _CLOSE, _VOLUME, _TURNOVER, _SPREAD = range(7)
_START, _LAST, _COUNT, _PREVIOUS = range(4)
_NEVER: Final = np.iinfo(np.int64).min


@dataclass(frozen=True, eq=False)
class Events:
    """Trades, or middles of quotes. Shape [n] each.

    Attributes:
        times_ns: When, nanoseconds since the epoch; do not fall.
        prices: At which price.
        sizes: How much; 0 for quotes.
        spreads: Ask minus bid; 0 for trades.
    """

    times_ns: Integers
    prices: Numbers
    sizes: Numbers
    spreads: Numbers


@dataclass(frozen=True, eq=False)
class BuiltColumns:
    """Bars. Shape [n] each.

    Attributes:
        timestamps_ns: Starts: of the interval, or when the first trade was. They rise: a bar that
            begins in the instant of the one before is labelled a nanosecond after that.
        last_ns: When the last trade was.
        counts: Trades, or quotes.
        prices: Open, high, low and close. Shape [4, n].
        volumes: Units traded.
        spreads: Mean of ask minus bid, each quote counted once.
    """

    timestamps_ns: Integers
    last_ns: Integers
    counts: Integers
    prices: Numbers
    volumes: Numbers
    spreads: Numbers


@dataclass(eq=False)
class BarBuilder:
    """Takes trades in order and gives bars.

    Attributes:
        rule: When a bar ends.
        left_over: Trades after the last bar that a count, a volume or a turnover ended.
    """

    rule: BarRule
    left_over: int = 0
    _integers: Integers = field(default_factory=lambda: np.array([0, 0, 0, _NEVER]))
    _numbers: Numbers = field(default_factory=lambda: np.zeros(7))
    _built: list[tuple[Integers, Numbers]] = field(default_factory=list)

    def add(self, events: Events) -> None:
        """Takes the next trades in."""
        size = len(events.times_ns)
        integers = np.empty((size, 3), np.int64)
        numbers = np.empty((size, 7))
        count = _build(
            self.rule.kind,
            self.rule.size,
            events.times_ns,
            events.prices,
            events.sizes,
            events.spreads,
            self._integers,
            self._numbers,
            integers,
            numbers,
        )
        if count:
            self._built.append((integers[:count].copy(), numbers[:count].copy()))

    def finish(self) -> BuiltColumns:
        """All bars: the last one of equal time as the trades left it, another one left over."""
        integers = [part for part, _ in self._built]
        numbers = [part for _, part in self._built]
        if self._integers[_COUNT] and self.rule.kind == TIME:
            integers.append(self._integers[None, :_PREVIOUS].copy())
            numbers.append(self._numbers[None].copy())
        else:
            self.left_over = int(self._integers[_COUNT])
        whole = np.concatenate(integers) if integers else np.empty((0, 3), np.int64)
        values = np.concatenate(numbers) if numbers else np.empty((0, 7))
        counts = whole[:, _COUNT].copy()
        return BuiltColumns(
            whole[:, _START].copy(),
            whole[:, _LAST].copy(),
            counts,
            values[:, _OPEN : _CLOSE + 1].T.copy(),
            values[:, _VOLUME].copy(),
            values[:, _SPREAD] / counts,
        )


@compiled
def _build(
    kind: int,
    size: float,
    times: Integers,
    prices: Numbers,
    sizes: Numbers,
    spreads: Numbers,
    now: Integers,
    values: Numbers,
    out_now: Integers,
    out_values: Numbers,
) -> int:
    """Writes the bars that end, and leaves the unfinished one in `now` and `values`."""
    written = 0
    length = np.int64(size)
    for i in range(times.shape[0]):
        time, price = times[i], prices[i]
        if kind == TIME and now[_COUNT] > 0 and time - now[_START] >= length:
            _write(now, values, out_now[written], out_values[written])
            written += 1
        if now[_COUNT] == 0:
            start = time - time % length if kind == TIME else max(time, now[_PREVIOUS] + 1)
            now[_START], now[_PREVIOUS] = start, start
            values[:] = 0.0
            values[_OPEN] = values[_HIGH] = values[_LOW] = price
        now[_LAST] = time
        now[_COUNT] += 1
        values[_HIGH] = max(values[_HIGH], price)
        values[_LOW] = min(values[_LOW], price)
        values[_CLOSE] = price
        values[_VOLUME] += sizes[i]
        values[_TURNOVER] += sizes[i] * price
        values[_SPREAD] += spreads[i]
        if (
            (kind == TICK and now[_COUNT] >= size)
            or (kind == VOLUME and values[_VOLUME] >= size)
            or (kind == DOLLAR and values[_TURNOVER] >= size)
        ):
            _write(now, values, out_now[written], out_values[written])
            written += 1
    return written


@compiled
def _write(now: Integers, values: Numbers, out_now: Integers, out_values: Numbers) -> None:
    for column in range(out_now.shape[0]):
        out_now[column] = now[column]
    for column in range(values.shape[0]):
        out_values[column] = values[column]
    now[_COUNT] = 0
