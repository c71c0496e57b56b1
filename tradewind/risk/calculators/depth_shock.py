"""Depth shock: the worst fraction lost to the mid when a position is liquidated through its book.

    long:  1 − proceeds of selling into the bids / (quantity · mid)
    short: cost of buying from the asks / (quantity · mid) − 1

A book that holds less than the position cannot liquidate it: the metric is unavailable, not a
guess about what lies behind the last level. So it is where the best levels cross or a level is
unusable, but only if it is needed: a book of what is not held, or a level behind the last that is
taken from, changes nothing. A flat account loses nothing: 0. Source: the cost of
a round trip of R. Irvine, G. Benston, E. Kandel, "Liquidity beyond the Inside Spread" (2000), one
way.
"""

from math import isfinite
from typing import Final

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.base import CalculatorSettings, CompiledCalculator
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.result import put, refuse
from tradewind.risk.engine.snapshot import BOOK, QUANTITY
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import (
    ABSENT,
    ASK_PRICES,
    BID_PRICES,
    CROSSED,
    FIELD_SPAN,
    MISSING_FOR_POSITION,
    NEGATIVE,
    NOT_BEST_FIRST,
    NOT_FINITE,
    NOT_POSITIVE,
    ORDER_BOOKS,
    POSITION_QUANTITY,
    POSITIONS,
    TOO_THIN_FOR_POSITION,
)

__all__ = ["DEPTH_SHOCK", "DepthShockSettings"]

METRICS: Final = {
    "depth_shock": "fraction of the mid",
}


class DepthShockSettings(CalculatorSettings):
    """Depth shock has nothing to set."""


@compiled
def book_sides(
    books: FloatArray, levels: FloatArray, book: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Bid prices, bid sizes, ask prices and ask sizes of one of the packed books."""
    start = 0
    for before in range(book):
        start += 2 * int(books[before, 0] + books[before, 1])
    bids, asks = int(books[book, 0]), int(books[book, 1])
    middle = start + 2 * bids
    return (
        levels[start : start + bids],
        levels[start + bids : middle],
        levels[middle : middle + asks],
        levels[middle + asks : middle + 2 * asks],
    )


@compiled
def _find_bad_level(prices: FloatArray, sizes: FloatArray, sign: float, field: int, at: int) -> int:
    """Code of what makes a level unusable; 0 if nothing does. The field of its size follows."""
    if not isfinite(prices[at]):
        return NOT_FINITE * FIELD_SPAN + field
    if prices[at] <= 0.0:
        return NOT_POSITIVE * FIELD_SPAN + field
    if not isfinite(sizes[at]):
        return NOT_FINITE * FIELD_SPAN + field + 1
    if sizes[at] < 0.0:
        return NEGATIVE * FIELD_SPAN + field + 1
    if at > 0 and sign * prices[at] > sign * prices[at - 1]:
        return NOT_BEST_FIRST * FIELD_SPAN + field
    return 0


@compiled
def _find_bad_touch(
    bid_prices: FloatArray, bid_sizes: FloatArray, ask_prices: FloatArray, ask_sizes: FloatArray
) -> tuple[int, int]:
    """Code and level of what leaves a book of two sides without a mid; (0, −1) if nothing."""
    code = _find_bad_level(bid_prices, bid_sizes, 1.0, BID_PRICES, 0)
    if code == 0:
        code = _find_bad_level(ask_prices, ask_sizes, -1.0, ASK_PRICES, 0)
    if code != 0:
        return code, 0
    return (CROSSED * FIELD_SPAN + ORDER_BOOKS, -1) if bid_prices[0] > ask_prices[0] else (0, -1)


@compiled
def liquidation_cost(
    quantity: float, prices: FloatArray, sizes: FloatArray, mid: float
) -> tuple[int, int, float]:
    """Takes a quantity from a side of a book.

    Levels behind the last that is needed are not looked at.

    Returns:
        A code, a level and the fraction lost to the mid; the code is 0 if the side takes the whole
        quantity, TOO_THIN_FOR_POSITION if it does not, and else what makes the level unusable.
    """
    sign, field = (1.0, BID_PRICES) if quantity > 0.0 else (-1.0, ASK_PRICES)
    remaining = abs(quantity)
    paid = 0.0
    for level in range(prices.size):
        code = _find_bad_level(prices, sizes, sign, field, level)
        if code != 0:
            return code, level, 0.0
        filled = min(remaining, sizes[level])
        paid += filled * prices[level]
        remaining -= filled
        if remaining <= 0.0:
            break
    if remaining > 0.0:
        return TOO_THIN_FOR_POSITION * FIELD_SPAN + ORDER_BOOKS, -1, 0.0
    loss = 1.0 - paid / (abs(quantity) * mid)
    return 0, -1, loss if quantity > 0.0 else -loss


@compiled
def calculate_depth_shock(
    config: Record, positions: FloatArray, books: FloatArray, levels: FloatArray, out: FloatArray
) -> None:
    """Writes the metrics of METRICS."""
    first = config.depth_shock
    if positions.shape[0] == 0:
        refuse(out, first, 1, ABSENT * FIELD_SPAN + POSITIONS, -1, 0)
        return
    worst = 0.0
    for position in range(positions.shape[0]):
        quantity = positions[position, QUANTITY]
        book = int(positions[position, BOOK])
        if not isfinite(quantity):
            refuse(out, first, 1, NOT_FINITE * FIELD_SPAN + POSITION_QUANTITY, position, 0)
            return
        if quantity == 0.0:
            continue
        if book < 0:
            refuse(out, first, 1, MISSING_FOR_POSITION * FIELD_SPAN + ORDER_BOOKS, position, 0)
            return
        bid_prices, bid_sizes, ask_prices, ask_sizes = book_sides(books, levels, book)
        if bid_prices.size == 0 or ask_prices.size == 0:
            refuse(out, first, 1, TOO_THIN_FOR_POSITION * FIELD_SPAN + ORDER_BOOKS, position, 0)
            return
        code, level = _find_bad_touch(bid_prices, bid_sizes, ask_prices, ask_sizes)
        loss = 0.0
        if code == 0:
            mid = 0.5 * (bid_prices[0] + ask_prices[0])
            if quantity > 0.0:
                code, level, loss = liquidation_cost(quantity, bid_prices, bid_sizes, mid)
            else:
                code, level, loss = liquidation_cost(quantity, ask_prices, ask_sizes, mid)
        if code // FIELD_SPAN == TOO_THIN_FOR_POSITION:
            refuse(out, first, 1, code, position, 0)
            return
        if code != 0:
            refuse(out, first, 1, code, book, level)
            return
        worst = max(worst, loss)
    put(out, first, worst)


DEPTH_SHOCK: Final = CompiledCalculator(
    name="depth_shock",
    version=1,
    order=110,
    settings=DepthShockSettings,
    metrics=lambda _: METRICS,
    kernel=calculate_depth_shock,
    needs=("positions", "order_books"),
    after=("holdings",),
)
