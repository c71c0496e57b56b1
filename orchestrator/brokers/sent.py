"""Orders that were sent, and whether what a broker says it filled can be of them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

from orchestrator.brokers.terms import BrokerTerms
from orchestrator.records import FillRecord

__all__ = ["Doubt", "SentOrders"]

_MOST: Final = 100_000
_ROUNDING: Final = 1e-9
"""Of sums, as a fraction of what is summed up."""


class _Order(Protocol):
    @property
    def client_order_id(self) -> str: ...
    @property
    def symbol(self) -> str: ...
    @property
    def quantity(self) -> float: ...
    @property
    def limit_price(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Doubt:
    """What about a fill cannot be.

    Attributes:
        field: Of the fill.
        expected: What its order or the broker's terms say; None where there is no such order.
        found: What the fill says.
        breaks_books: The fill is of none of the orders; else it is, but not on the broker's terms.
    """

    field: str
    expected: str | float | None
    found: str | float
    breaks_books: bool = True

    def __str__(self) -> str:
        if self.expected is None:
            return f"{self.field} {self.found} is of no order that was sent and is not filled"
        return f"{self.field} is {self.found}, expected: {self.expected}"


@dataclass(slots=True)
class _Sent:
    symbol: str
    quantity: float
    limit_price: float | None
    filled: float = 0.0
    notional: float = 0.0
    fees: float = 0.0
    fill_count: int = 0


class SentOrders:
    """Follows orders from when they are sent until they are filled.

    Args:
        terms: What the broker says that trading costs; None where it is not known.

    Attributes:
        terms: The same.
    """

    def __init__(self, terms: BrokerTerms | None = None) -> None:
        self.terms = terms
        self._sent: dict[str, _Sent] = {}

    def add(self, orders: Iterable[_Order]) -> None:
        """Takes in orders that may be filled from now on."""
        for order in orders:
            sent = _Sent(order.symbol, order.quantity, order.limit_price)
            self._sent.setdefault(order.client_order_id, sent)
        if len(self._sent) > _MOST:  # those that were never filled, from the oldest on
            for name in list(islice(self._sent, _MOST // 2)):
                del self._sent[name]

    def book(self, fill: FillRecord) -> list[Doubt]:
        """Takes in a fill; gives what about it cannot be, the first of which says most."""
        numbers = (fill.quantity, fill.price, fill.fee, fill.reference_price)
        if not (all(map(math.isfinite, numbers)) and fill.quantity and fill.price > 0.0):
            return [Doubt("fill", "finite numbers, a price and a quantity", str(numbers))]
        sent = self._sent.get(fill.client_order_id)
        if sent is None:
            return [Doubt("client_order_id", None, fill.client_order_id)]
        if sent.symbol != fill.symbol:
            return [Doubt("symbol", sent.symbol, fill.symbol)]
        ordered, filled = abs(sent.quantity), sent.filled + fill.quantity
        left, slack = ordered - abs(filled), _ROUNDING * ordered
        if fill.quantity * sent.quantity < 0.0 or left < -slack:
            return [Doubt("quantity", sent.quantity, filled)]
        doubts = self._off_terms(sent, fill)
        if left <= slack:
            del self._sent[fill.client_order_id]  # nothing more can be filled of it
        return doubts

    def _off_terms(self, sent: _Sent, fill: FillRecord) -> list[Doubt]:
        doubts: list[Doubt] = []
        limit, quantity = sent.limit_price, abs(fill.quantity)
        if limit is not None:
            beyond = (fill.price - limit) * math.copysign(1.0, fill.quantity)
            if beyond > _ROUNDING * limit:
                doubts.append(Doubt("price", limit, fill.price, breaks_books=False))
        before = sent.fees
        sent.filled += fill.quantity
        sent.notional += quantity * fill.price
        sent.fees += fill.fee
        sent.fill_count += 1
        terms = self.terms
        said = None if terms is None else terms.fees_of(abs(sent.filled), sent.notional)
        if terms is not None and said is not None:
            slack = terms.fee_rounding * sent.fill_count + _ROUNDING * abs(said)
            if not abs(sent.fees - said) <= slack:
                doubts.append(Doubt("fee", said - before, fill.fee, breaks_books=False))
                sent.fees = said  # the next fill of the order is judged by itself
        return doubts
