"""What the orchestrator needs of a broker: the interface that a real adapter implements."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Protocol

from orchestrator.records import BarRecord, FillRecord
from tradewind.errors import ConflictError, InvalidInputError

__all__ = ["Broker", "Holdings", "Order", "OrderState", "OrderStatus"]


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


@dataclass(frozen=True, slots=True)
class Order:
    """An order at market.

    Attributes:
        client_order_id: Names the order for ever: whoever sends it twice has one order.
        symbol: What to trade.
        quantity: Signed, in units of the asset; buys are positive.
        reference_price: Price that it was decided on.
        submitted_ns: Market time of the decision, nanoseconds since the epoch.
        valid_until_ns: What is not filled by then is cancelled.

    Raises:
        InvalidInputError: Quantity or price is not finite.
    """

    client_order_id: str
    symbol: str
    quantity: float
    reference_price: float
    submitted_ns: int
    valid_until_ns: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.quantity) and math.isfinite(self.reference_price)):
            raise InvalidInputError(f"quantity and price of an order must be finite: {self}")


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


class Broker(Protocol):
    """One account at a broker.

    Every method may raise UnavailableError: the outcome is unknown. So it is of a call that is
    cancelled because it takes too long.
    """

    async def observe(self, bars: Sequence[BarRecord]) -> None:
        """Shows the bars of a tick: a simulated broker trades against them, others do nothing."""
        ...

    async def submit(self, orders: Sequence[Order]) -> Sequence[OrderState]:
        """Sends orders; one whose id is known is not sent again but answered as it stands.

        Raises:
            ConflictError: An id is known, but for another order.
        """
        ...

    async def cancel(self, client_order_id: str) -> OrderState:
        """Cancels what is not filled of an order; a final order stays as it is.

        Raises:
            NotFoundError: The order is not known.
        """
        ...

    async def order(self, client_order_id: str) -> OrderState | None:
        """How an order stands; None when it is not known."""
        ...

    async def open_orders(self) -> Sequence[OrderState]:
        """Orders that are not final."""
        ...

    async def fills(self, after_sequence: int) -> Sequence[FillRecord]:
        """Fills after a number, in their order; the first fill of an account has number 1."""
        ...

    async def holdings(self) -> Holdings:
        """What the account holds."""
        ...

    async def close(self) -> None:
        """Lets go of the connection."""
        ...
