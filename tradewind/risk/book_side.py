"""What an order does to the side of a book that it takes from."""

import math
from dataclasses import dataclass
from typing import Final

from tradewind.risk.inputs import OrderBook

__all__ = ["BOOK_DEPTH", "BOOK_IMPACT", "BookSide", "book_problem", "mid_of"]

BOOK_IMPACT: Final = "pre_trade.book_impact"
BOOK_DEPTH: Final = "book_depth"
"""What binds when every limit would allow more than the book holds."""


def mid_of(book: OrderBook) -> float:
    """The middle between the best prices of a book without a problem."""
    return (float(book.bid_prices[0]) + float(book.ask_prices[0])) / 2.0


def book_problem(name: str, book: OrderBook | None) -> str:
    """Why a book cannot be taken from; empty when it can. `name` is what it is called there."""
    if book is None:
        return f"{name}: not given"
    sides = (
        ("bids", book.bid_prices.tolist(), book.bid_sizes.tolist(), -1.0),
        ("asks", book.ask_prices.tolist(), book.ask_sizes.tolist(), 1.0),
    )
    for side, prices, sizes, direction in sides:
        if not prices:
            return f"{name} has no {side}"
        for index, (price, size) in enumerate(zip(prices, sizes, strict=True)):
            if not (0.0 < price < math.inf and 0.0 < size < math.inf):
                return f"{name}.{side}[{index}]: price and size must be finite and positive"
            if index and (price - prices[index - 1]) * direction < 0.0:
                return f"{name}.{side}[{index}] is better than the level before it"
    if book.bid_prices[0] >= book.ask_prices[0]:
        return f"{name} is crossed"
    return ""


@dataclass(frozen=True, slots=True)
class BookSide:
    """The side of a book that an order would take from, best level first."""

    mid: float
    sign: float
    levels: tuple[tuple[float, float], ...]
    depth: float

    @classmethod
    def of(cls, book: OrderBook, buys: bool) -> "BookSide":
        """The asks for who buys, the bids for who sells."""
        prices, sizes = (
            (book.ask_prices, book.ask_sizes) if buys else (book.bid_prices, book.bid_sizes)
        )
        mid = mid_of(book)
        levels = tuple(zip(prices.tolist(), sizes.tolist(), strict=True))
        depth = 0.0
        for _, size in levels:
            depth += size
        return cls(mid, 1.0 if buys else -1.0, levels, depth)

    def impact(self, size: float) -> float:
        """Average price of `size`, at most `depth`, against the mid, as a fraction of it."""
        taken = cost = 0.0
        for price, available in self.levels:
            part = min(available, size - taken)
            cost += part * (price - self.mid)
            taken += part
            if taken >= size:
                break
        return self.sign * cost / size / self.mid

    def largest_size(self, limit: float) -> tuple[float, str]:
        """The largest size whose impact is at most `limit`, and what it stops at."""
        # Within a level the cost beyond the limit grows linearly with the size taken.
        taken = excess = 0.0
        for price, available in self.levels:
            rate = self.sign * (price - self.mid) - limit * self.mid
            if rate > 0.0 and excess + rate * available > 0.0:
                return max(taken - excess / rate, 0.0), "pre_trade.book_impact"
            excess += rate * available
            taken += available
        return self.depth, BOOK_DEPTH
