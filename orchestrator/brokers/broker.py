"""What the orchestrator needs of a broker, and the door by which one comes in."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar, Final

from orchestrator.brokers.orders import Holdings, Order, OrderState
from orchestrator.brokers.terms import BrokerTerms
from orchestrator.mandate import Mandate
from orchestrator.records import BarRecord, FillRecord
from tradewind.components import Door, a_class, classes_in
from tradewind.settings import Settings

__all__ = ["BROKERS", "Broker"]

_POLL_S: Final = 0.25


class Broker(ABC):
    """One account at a broker.

    It is made with a `Mandate` and its options, and is asked on one event loop, one question at a
    time. Every method but `terms` may raise UnavailableError: the outcome is unknown. So it is of
    a call that is cancelled because it takes too long.

    Attributes:
        Options: What it can be set to, as the settings file has it under `broker.options`.
    """

    Options: ClassVar[type[Settings]] = Settings

    def __init__(self, mandate: Mandate, options: Any) -> None:
        self.mandate = mandate
        self.options = options

    @abstractmethod
    def terms(self) -> BrokerTerms:
        """What trading costs here, and which orders are taken; the same for as long as it runs."""

    @abstractmethod
    async def submit(self, orders: Sequence[Order]) -> Sequence[OrderState]:
        """Sends orders; one whose id is known is not sent again but answered as it stands.

        Raises:
            ConflictError: An id is known, but for another order.
        """

    @abstractmethod
    async def cancel(self, client_order_id: str) -> OrderState:
        """Cancels what is not filled of an order; a final order stays as it is.

        Raises:
            NotFoundError: The order is not known.
        """

    @abstractmethod
    async def order(self, client_order_id: str) -> OrderState | None:
        """How an order stands; None when it is not known."""

    @abstractmethod
    async def open_orders(self) -> Sequence[OrderState]:
        """Orders that are not final."""

    @abstractmethod
    async def fills(self, after_sequence: int) -> Sequence[FillRecord]:
        """Fills after a number, in their order; the first fill of an account has number 1."""

    @abstractmethod
    async def holdings(self) -> Holdings:
        """What the account holds."""

    async def observe(self, bars: Sequence[BarRecord]) -> None:  # noqa: B027 - most do nothing
        """Shows the bars of a tick: a simulated broker trades against them, others do nothing."""

    async def stream_fills(self, after_sequence: int = 0) -> AsyncIterator[FillRecord]:
        """Fills after a number as they come, without end.

        A broker that hears of its fills gives them at once; one that does not is asked again and
        again.
        """
        while True:
            for fill in await self.fills(after_sequence):
                after_sequence = fill.sequence
                yield fill
            await asyncio.sleep(_POLL_S)

    async def close(self) -> None:  # noqa: B027 - where there is nothing to let go of
        """Lets go of the connection."""


BROKERS: Final[Door[type[Broker]]] = Door(
    "broker",
    a_class(Broker, "orchestrator.Broker"),  # type: ignore[type-abstract]  # subclasses are made
    own=lambda: classes_in("orchestrator.brokers.built_in", Broker),
    group="tradewind.brokers",
)
