"""The account, from whichever entrance it comes, as a calculator from outside is to see it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from math import isfinite
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np

from tradewind.risk.engine.account import Record
from tradewind.risk.engine.clock import (
    find_bar_clock_problem,
    find_trade_clock_problem,
    latest_time,
)
from tradewind.risk.engine.result import (
    lacks_flows,
    lacks_latencies,
    lacks_options,
    lacks_positions,
    lacks_returns,
    lacks_scalar,
    lacks_timestamps,
    lacks_values,
    refuse,
)
from tradewind.risk.engine.snapshot import (
    FEED_COUNT,
    HAS_NOW,
    HEADER_SIZE,
    OPTION_COUNT,
    OPTION_WIDTH,
    POSITION_COUNT,
    POSITION_WIDTH,
    has,
)
from tradewind.risk.inputs import (
    SCALARS,
    FloatArray,
    OptionPosition,
    OrderBook,
    Position,
    RiskInputs,
)
from tradewind.risk.outside.declaration import TRADES, AccountView
from tradewind.risk.outside.trial import Declared
from tradewind.risk.reasons import (
    ABSENT,
    AVERAGE_DAILY_VOLUMES,
    FEED_TIMESTAMPS,
    FIELD_SPAN,
    NOT_FINITE,
    NOW,
    ORDER_BOOKS,
    TIMESTAMPS,
    TOO_FEW,
    TRADE_NOTIONALS,
    TRADE_TIMESTAMPS,
    field_of,
)

__all__ = ["Account", "lacks_needs", "view_of"]


class Account(NamedTuple):
    """An account at one moment, as its entrance has it.

    Attributes:
        config: Settings of the plan.
        record: Folds of the whole history.
        packed: What is not a series (engine.snapshot).
        series: The windows of engine.state.SERIES and the trades, or more, by their names in
            engine.state.Series.
        snapshot: Gives what is not a series, as objects.
    """

    config: Record
    record: Record
    packed: FloatArray
    series: Mapping[str, FloatArray]
    snapshot: Callable[[], RiskInputs]


class _Asked(NamedTuple):
    """What is asked for of an account, and where it is answered that it is unusable.

    Attributes:
        account: The account.
        needed: The fewest elements.
        window: How much of the series is looked back over.
        place: Result, first metric and number of metrics: what `refuse` takes.
    """

    account: Account
    needed: int
    window: int
    place: tuple[FloatArray, int, int]

    @property
    def header(self) -> FloatArray:
        return self.account.packed[:HEADER_SIZE]

    def refuse(self, code: int, at: int, other: int = 0) -> bool:
        """Answers why, unless the code is 0; says whether it did."""
        if code:
            refuse(*self.place, code, at, other)
        return code != 0


def lacks_needs(account: Account, declared: Declared, out: FloatArray, first: int) -> bool:
    """Whether something that a calculator needs is unusable; if so, answers why, as kernels do."""
    place = out, first, len(declared.metrics)
    return any(
        _LACKS[name](_Asked(account, needed, declared.windows.get(name, 0), place))
        for name, needed in declared.needs.items()
        if needed
    )


def _lacks_clock(asked: _Asked) -> bool:
    account = asked.account
    return asked.refuse(*find_bar_clock_problem(account.config, account.record, asked.header))


def _lacks_times(asked: _Asked) -> bool:
    record = asked.account.record
    known = int(record["timestamp_count"])
    if lacks_timestamps(record, *asked.place, min(known, asked.window)):
        return True
    if known < asked.needed:
        return asked.refuse(TOO_FEW * FIELD_SPAN + TIMESTAMPS, known, asked.needed)
    return _lacks_clock(asked)


def _lacks_now(asked: _Asked) -> bool:
    if asked.header[HAS_NOW] == 0.0:
        return asked.refuse(ABSENT * FIELD_SPAN + NOW, -1)
    return _lacks_clock(asked)


def _lacks_trades(asked: _Asked) -> bool:
    account = asked.account
    record, series = account.record, account.series
    if record["trade_count"] == 0:
        return asked.refuse(ABSENT * FIELD_SPAN + TRADE_TIMESTAMPS, -1)
    times = series["timestamps"]
    if asked.refuse(*find_trade_clock_problem(account.config, record, asked.header, times)):
        return True
    start = _first_trade(account, asked.window)
    notionals = series["trade_notionals"]
    bad = np.flatnonzero(~np.isfinite(notionals[start:]))
    if bad.size:
        at = int(record["trade_count"]) - notionals.size + start + int(bad[0])
        return asked.refuse(NOT_FINITE * FIELD_SPAN + TRADE_NOTIONALS, at)
    known = notionals.size - start
    few = known < asked.needed
    return few and asked.refuse(TOO_FEW * FIELD_SPAN + TRADE_TIMESTAMPS, known, asked.needed)


def _first_trade(account: Account, seconds: int) -> int:
    """Index of the first trade that is later than so many seconds before the latest time known.

    One out of order leaves none, as a tracker then keeps none.
    """
    if account.record["bad_trade"] >= 0:
        return account.series["trade_timestamps"].size
    start = latest_time(account.record, account.packed[:HEADER_SIZE]) - seconds
    return int(np.searchsorted(account.series["trade_timestamps"], start, side="right"))


def _lacks_positions(asked: _Asked) -> bool:
    packed = asked.account.packed
    end = HEADER_SIZE + int(packed[POSITION_COUNT]) * POSITION_WIDTH
    return lacks_positions(packed[HEADER_SIZE:end].reshape(-1, POSITION_WIDTH), *asked.place)


def _lacks_options(asked: _Asked) -> bool:
    packed = asked.account.packed
    start = HEADER_SIZE + int(packed[POSITION_COUNT]) * POSITION_WIDTH
    end = start + int(packed[OPTION_COUNT]) * OPTION_WIDTH
    return lacks_options(packed[start:end].reshape(-1, OPTION_WIDTH), *asked.place)


def _lacks_feeds(asked: _Asked) -> bool:
    if not asked.account.packed[FEED_COUNT]:
        return asked.refuse(ABSENT * FIELD_SPAN + FEED_TIMESTAMPS, -1)
    times = asked.account.snapshot().feed_timestamps.values()
    bad = next((at for at, time in enumerate(times) if not isfinite(time)), -1)
    return bad >= 0 and asked.refuse(NOT_FINITE * FIELD_SPAN + FEED_TIMESTAMPS, bad)


def _lacks_mapping(name: str, field: int) -> Callable[[_Asked], bool]:
    def lacks(asked: _Asked) -> bool:
        given = bool(getattr(asked.account.snapshot(), name))
        return not given and asked.refuse(ABSENT * FIELD_SPAN + field, -1)

    return lacks


def _lacks_stated(at: int, field: int) -> Callable[[_Asked], bool]:
    return lambda asked: lacks_scalar(asked.header, *asked.place, at, field)


def _lacks_flows(asked: _Asked) -> bool:
    return lacks_flows(asked.account.record, *asked.place, asked.needed, asked.window)


_LACKS: Final[Mapping[str, Callable[[_Asked], bool]]] = {
    "timestamps": _lacks_times,
    "drawdowns": lambda asked: lacks_values(asked.account.record, *asked.place, asked.needed),
    "returns": lambda asked: lacks_returns(
        asked.account.record, *asked.place, asked.needed, asked.window
    ),
    "price_changes": _lacks_flows,
    "order_flows": _lacks_flows,
    "order_latencies_us": lambda asked: lacks_latencies(
        asked.account.record, *asked.place, asked.needed, asked.window
    ),
    TRADES: _lacks_trades,
    **{name: _lacks_stated(has(name), field_of(name)) for name in SCALARS},
    "now": _lacks_now,
    "positions": _lacks_positions,
    "options": _lacks_options,
    "order_books": _lacks_mapping("order_books", ORDER_BOOKS),
    "feed_timestamps": _lacks_feeds,
    "average_daily_volumes": _lacks_mapping("average_daily_volumes", AVERAGE_DAILY_VOLUMES),
}
"""By input: answers why it is unusable."""


def view_of(account: Account, declared: Declared) -> AccountView:
    """What a calculator is given: copies, in an order that does not depend on the entrance."""
    given: dict[str, Any] = {}
    for name, length in declared.windows.items():
        if name == TRADES:
            start = _first_trade(account, length)
            for series in ("trade_timestamps", "trade_notionals"):
                given[series] = _copy(account.series[series][start:])
        else:
            given[name] = _copy(account.series[name][-length:])
    for name in declared.needs:
        if name in SCALARS:
            at = has(name)
            given[name] = float(account.packed[at + 1]) if account.packed[at] else None
        elif name not in given and name != TRADES:
            given[name] = _SEEN[name](getattr(account.snapshot(), name))
    return AccountView(given)


def _copy(series: FloatArray) -> FloatArray:
    copy = series.copy()
    copy.flags.writeable = False
    return copy


def _seen_positions(positions: Iterable[Position]) -> tuple[Position, ...]:
    return tuple(Position(at.symbol, float(at.quantity), float(at.price)) for at in positions)


def _seen_options(options: Iterable[OptionPosition]) -> tuple[OptionPosition, ...]:
    names = [field.name for field in fields(OptionPosition)][2:]
    return tuple(
        OptionPosition(at.symbol, at.kind, *(float(getattr(at, name)) for name in names))
        for at in options
    )


def _seen_numbers(numbers: Mapping[str, float]) -> Mapping[str, float]:
    return MappingProxyType({name: float(numbers[name]) for name in sorted(numbers)})


def _seen_books(books: Mapping[str, OrderBook]) -> Mapping[str, OrderBook]:
    return MappingProxyType({name: _seen_book(books[name]) for name in sorted(books)})


def _seen_book(book: OrderBook) -> OrderBook:
    sides = (book.bid_prices, book.bid_sizes, book.ask_prices, book.ask_sizes)
    return OrderBook(*(side.copy() for side in sides))


_SEEN: Final[Mapping[str, Callable[[Any], Any]]] = {
    "positions": _seen_positions,
    "options": _seen_options,
    "order_books": _seen_books,
    "feed_timestamps": _seen_numbers,
    "average_daily_volumes": _seen_numbers,
}
"""By what is not a series: makes of it what a calculator may have."""
