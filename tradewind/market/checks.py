"""What makes a bar unusable, in one place for tables of bars and for single bars."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradewind.constants import CLOSE, HIGH, LOW, OPEN_PRICE, TIMESTAMP, VOLUME
from tradewind.errors import FieldViolation, MarketDataError
from tradewind.kernels.compiled import compiled

__all__ = [
    "MAX_PRICE",
    "MAX_REPORTED_VIOLATIONS",
    "MAX_TIMESTAMP_NS",
    "MAX_VOLUME",
    "MIN_PRICE",
    "TIME_RULE",
    "Defect",
    "bar_violations",
    "price_defects",
    "refusal",
    "series_defects",
]

MAX_REPORTED_VIOLATIONS: Final = 20

# Far outside any market, and narrow enough for every feature and every account to stay finite.
MIN_PRICE: Final = 1e-18
MAX_PRICE: Final = 1e18
MAX_VOLUME: Final = 1e30

# The difference of two such times, added to a third, still fits into 64 bits.
MAX_TIMESTAMP_NS: Final = 3 * 10**18

Column = NDArray[np.float64]
Defect = tuple[int, str, str]
"""Index of the bar (from 0), column, what is wrong with it."""

TIME_RULE: Final = "is not from 1875 to 2064"
_PRICE_RULE: Final = f"must be a finite price from {MIN_PRICE:g} to {MAX_PRICE:g}"
_RULES: Final = (
    (OPEN_PRICE, _PRICE_RULE),
    (HIGH, _PRICE_RULE),
    (LOW, _PRICE_RULE),
    (CLOSE, _PRICE_RULE),
    (VOLUME, f"must be a finite number from 0 to {MAX_VOLUME:g}"),
    (HIGH, "is below the open, low or close of its bar"),
    (LOW, "is above the open or close of its bar"),
)
"""Rule k is broken where bit k of `price_defects` is set."""


@compiled
def price_defects(open_price: float, high: float, low: float, close: float, volume: float) -> int:
    """Says which of the rules for one bar are broken: bit k stands for the k-th rule.

    The comparisons are written so that NaN breaks them. High and low are compared with the other
    prices only when all four are prices, so that one bad cell is reported once.
    """
    defects = 0
    prices = (open_price, high, low, close)
    for position in range(4):
        if not MIN_PRICE <= prices[position] <= MAX_PRICE:
            defects |= 1 << position
    if defects == 0:
        if high < open_price or high < low or high < close:
            defects |= 1 << 5
        elif low > open_price or low > close:
            defects |= 1 << 6
    if not 0.0 <= volume <= MAX_VOLUME:
        defects |= 1 << 4
    return defects


@compiled(allocates=True)
def _defect_flags(
    open_price: Column, high: Column, low: Column, close: Column, volume: Column
) -> NDArray[np.uint8]:
    defects = np.empty(close.shape[0], dtype=np.uint8)
    for i in range(close.shape[0]):
        defects[i] = price_defects(open_price[i], high[i], low[i], close[i], volume[i])
    return defects


def bar_violations(
    open_price: float, high: float, low: float, close: float, volume: float
) -> list[FieldViolation]:
    """Checks one bar without its time."""
    defects = price_defects(open_price, high, low, close, volume)
    if not defects:
        return []
    values = {OPEN_PRICE: open_price, HIGH: high, LOW: low, CLOSE: close, VOLUME: volume}
    return [
        FieldViolation(column, f"{values[column]!r} {rule}")
        for bit, (column, rule) in enumerate(_RULES)
        if defects >> bit & 1
    ]


def series_defects(
    timestamps_ns: NDArray[np.int64], columns: dict[str, Column]
) -> tuple[list[Defect], int]:
    """Checks a table of bars.

    Args:
        timestamps_ns: Start of each bar in nanoseconds since the epoch. Shape [n].
        columns: Open, high, low, close and volume by their names. Shape [n] each.

    Returns:
        The first MAX_REPORTED_VIOLATIONS defects of each kind, and how many there are in all.
    """
    earlier, later = timestamps_ns[:-1], timestamps_ns[1:]
    found: list[Defect] = []
    count = 0
    unusable = (timestamps_ns < -MAX_TIMESTAMP_NS) | (timestamps_ns > MAX_TIMESTAMP_NS)
    for rows, fault in (
        (np.flatnonzero(unusable), TIME_RULE),
        (np.flatnonzero(later == earlier) + 1, "repeats the time of the row before it"),
        (np.flatnonzero(later < earlier) + 1, "is earlier than the row before it"),
    ):
        count += len(rows)
        found += [(int(row), TIMESTAMP, fault) for row in rows[:MAX_REPORTED_VIOLATIONS]]

    flags = _defect_flags(*(columns[name] for name in (OPEN_PRICE, HIGH, LOW, CLOSE, VOLUME)))
    for bit, (column, rule) in enumerate(_RULES):
        rows = np.flatnonzero(flags >> bit & 1)
        count += len(rows)
        found += [
            (int(row), column, f"{float(columns[column][row])!r} {rule}")
            for row in rows[:MAX_REPORTED_VIOLATIONS]
        ]
    return found, count


def refusal(
    subject: str,
    found: list[Defect],
    count: int,
    place: Callable[[int], str] = lambda index: f"row {index + 1}",
) -> MarketDataError:
    """The error for a table with defects: the first of them by row, and how many there are.

    Args:
        subject: The table.
        found: Some of its defects.
        count: How many there are.
        place: Where its user finds a bar: by default row 1 is the first one.
    """
    violations = [
        FieldViolation(f"{place(index)}, {column}", description)
        for index, column, description in sorted(found)[:MAX_REPORTED_VIOLATIONS]
    ]
    more = f" (the first {len(violations)} of {count})" if count > len(violations) else ""
    return MarketDataError(f"{subject} has bars that cannot be used{more}", violations)
