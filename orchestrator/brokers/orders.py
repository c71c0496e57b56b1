"""Orders, how they stand, and what an account holds: what every broker speaks of."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from tradewind.errors import ConflictError, InvalidInputError

__all__ = ["Holdings", "Order", "OrderKind", "OrderState", "OrderStatus", "TimeInForce"]


class OrderKind(StrEnum):
    """At what price an order is traded."""

    MARKET = "MARKET"  # at whatever there is
    LIMIT = "LIMIT"  # at `limit_price` or better
    STOP = "STOP"  # at whatever there is, once the market has come to `stop_price`
    STOP_LIMIT = "STOP_LIMIT"  # at `limit_price` or better, once it has come to `stop_price`


class TimeInForce(StrEnum):
    """For how long an order works."""

    GTD = "GTD"  # until `valid_until_ns`
    IOC = "IOC"  # what is not filled at once is cancelled
    FOK = "FOK"  # filled at once and whole, or cancelled


class OrderStatus(StrEnum):
    """Where an order stands; the last three are final."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"

    @property
    def is_final(self) -> bool:
        """Nothing will become of the order any more."""
        return not _NEXT[self]


_NEXT: Final[Mapping[OrderStatus, frozenset[OrderStatus]]] = {
    OrderStatus.NEW: frozenset(OrderStatus) - {OrderStatus.NEW},
    OrderStatus.PARTIALLY_FILLED: frozenset(
        {OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED, OrderStatus.CANCELLED}
    ),
    OrderStatus.FILLED: frozenset(),
    OrderStatus.CANCELLED: frozenset(),
    OrderStatus.REJECTED: frozenset(),
}
_WITH_LIMIT: Final = (OrderKind.LIMIT, OrderKind.STOP_LIMIT)
_WITH_STOP: Final = (OrderKind.STOP, OrderKind.STOP_LIMIT)


@dataclass(frozen=True, slots=True)
class Order:
    """An order, at market unless it says otherwise.

    Attributes:
        client_order_id: Names the order for ever: whoever sends it twice has one order.
        symbol: What to trade.
        quantity: Signed, in units of the asset; buys are positive.
        reference_price: Price that it was decided on.
        submitted_ns: Market time of the decision, nanoseconds since the epoch.
        valid_until_ns: What is not filled by then is cancelled.
        kind: At what price it is traded.
        limit_price: Worst price of a LIMIT and of a STOP_LIMIT; None for the others.
        stop_price: Price from which on a STOP and a STOP_LIMIT work; None for the others.
        time_in_force: For how long it works, at most until `valid_until_ns`.

    Raises:
        InvalidInputError: A number is not finite, or a price goes with another kind.
    """

    client_order_id: str
    symbol: str
    quantity: float
    reference_price: float
    submitted_ns: int
    valid_until_ns: int
    kind: OrderKind = OrderKind.MARKET
    limit_price: float | None = None
    stop_price: float | None = None
    time_in_force: TimeInForce = TimeInForce.GTD

    def __post_init__(self) -> None:
        if not (math.isfinite(self.quantity) and math.isfinite(self.reference_price)):
            raise InvalidInputError(f"quantity and price of an order must be finite: {self}")
        if self.kind is OrderKind.MARKET and self.limit_price is None and self.stop_price is None:
            return
        for name, kinds in (("limit_price", _WITH_LIMIT), ("stop_price", _WITH_STOP)):
            price: float | None = getattr(self, name)
            if (price is None) == (self.kind in kinds):
                raise InvalidInputError(f"{name} goes with {' and '.join(kinds)} alone: {self}")
            if price is not None and not (math.isfinite(price) and price > 0.0):
                raise InvalidInputError(f"{name} must be a finite price above 0: {self}")


@dataclass(frozen=True, slots=True)
class OrderState:
    """An order, how far it has come, and why not further."""

    order: Order
    status: OrderStatus = OrderStatus.NEW
    filled_quantity: float = 0.0
    reason: str = ""

    def advance(
        self, status: OrderStatus, *, filled_quantity: float | None = None, reason: str = ""
    ) -> "OrderState":
        """The state after an event.

        Raises:
            ConflictError: No order goes from this status to that one.
        """
        if status not in _NEXT[self.status]:
            order = self.order.client_order_id
            raise ConflictError(f"order {order} is {self.status} and cannot become {status}")
        filled = self.filled_quantity if filled_quantity is None else filled_quantity
        return replace(self, status=status, filled_quantity=filled, reason=reason)


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the broker says the account holds; a symbol that is left out is flat."""

    cash: float
    positions: Mapping[str, float]
