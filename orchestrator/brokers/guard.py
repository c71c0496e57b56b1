"""Stands between the account and a broker of anyone's own: what comes through can be believed."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from typing import Any, Final, TypeVar

from orchestrator.brokers.broker import Broker
from orchestrator.brokers.orders import Holdings, Order, OrderKind, OrderState, TimeInForce
from orchestrator.brokers.sent import SentOrders
from orchestrator.brokers.style import OrderSettings
from orchestrator.brokers.terms import BrokerTerms
from orchestrator.records import BarRecord, FillRecord
from tradewind.errors import (
    ComponentError,
    ConflictError,
    FieldViolation,
    NotFoundError,
    TradewindError,
    UnavailableError,
)
from tradewind.part_options import told

__all__ = ["BrokerGuard"]

_logger = logging.getLogger(__name__)

_CLOSE_S: Final = 5.0
_ROWS: Final = (list, tuple)  # looking for any sequence would cost each tick some twenty calls
_Answer = TypeVar("_Answer")


class BrokerGuard(Broker):
    """A broker whose answers were checked.

    Whatever it raises that is no error of Tradewind's, and an answer of another type, is
    UnavailableError: the outcome is unknown. Fills that cannot be of the orders that were sent are
    ConflictError: nothing more may be traded. Those that are not on the broker's own terms are
    booked and make a doubt.

    Args:
        broker: The broker.
        style: What orders it will be sent.

    Attributes:
        doubt: Why it cannot be taken at its word any more; empty while it can.

    Raises:
        ComponentError: It does not say its terms, or does not take such orders.
    """

    def __init__(self, broker: Broker, style: OrderSettings | None = None) -> None:
        self._broker = broker
        self._said = _terms_of(broker)
        _check_orders(self._said, style or OrderSettings())
        self._sent = SentOrders(self._said)
        self._unbooked: dict[int, FillRecord] = {}
        self._booked = 0
        self.doubt = ""

    def terms(self) -> BrokerTerms:
        """What it said at the start."""
        return self._said

    def look_at_terms(self) -> None:
        """Makes a doubt of it where the broker says other terms than at the start."""
        try:
            said = self._broker.terms()
            if said is self._said or said == self._said:
                return
            problem = f"it said {self._said} at the start and says {said} now"
        except Exception as raised:  # it is someone's own code
            problem = f"terms raised {told(raised)}"
        self._doubt(f"its terms have changed: {problem}")

    def recover(self, orders: Iterable[Order], fills: Iterable[FillRecord]) -> None:
        """Takes in what an earlier run has sent and booked."""
        self._sent.add(orders)
        for fill in fills:
            self._sent.book(fill)
            self._booked = fill.sequence

    async def observe(self, bars: Sequence[BarRecord]) -> None:
        """Shows it the bars of a tick."""
        await self._ask(self._broker.observe, bars)

    async def submit(self, orders: Sequence[Order]) -> Sequence[OrderState]:
        """Sends orders.

        Raises:
            ConflictError: The broker has taken other ones.
        """
        self._sent.add(orders)
        states = self._all(await self._ask(self._broker.submit, orders), OrderState, "submit")
        if len(states) != len(orders):
            raise UnavailableError(
                f"the broker's submit gave {len(states)} of {len(orders)} orders"
            )
        for state, order in zip(states, orders, strict=True):
            if state.order != order:
                raise ConflictError(f"the broker took {state.order} for {order}")
        return states

    async def cancel(self, client_order_id: str) -> OrderState:
        """Cancels what is not filled of an order, which the broker said that it knows."""
        try:
            state = await self._ask(self._broker.cancel, client_order_id)
        except NotFoundError as problem:
            raise UnavailableError(
                f"the broker knows no order that was open: {problem}"
            ) from problem
        return self._all((state,), OrderState, "cancel")[0]

    async def order(self, client_order_id: str) -> OrderState | None:
        """How an order stands; None when it is not known."""
        state = await self._ask(self._broker.order, client_order_id)
        return None if state is None else self._all((state,), OrderState, "order")[0]

    async def open_orders(self) -> Sequence[OrderState]:
        """Orders that are not final."""
        states = await self._ask(self._broker.open_orders)
        return self._all(states, OrderState, "open_orders")

    async def fills(self, after_sequence: int) -> Sequence[FillRecord]:
        """Fills after a number.

        Raises:
            ConflictError: They cannot be of the orders that were sent, or are other ones than the
                broker said before.
        """
        found = await self._ask(self._broker.fills, after_sequence)
        fills = self._all(found, FillRecord, "fills")
        if fills:
            self._look_at_fills(fills, after_sequence)
        return fills

    async def stream_fills(self, after_sequence: int = 0) -> AsyncIterator[FillRecord]:
        """Fills after a number as they come."""
        async for fill in self._broker.stream_fills(after_sequence):
            yield fill

    async def holdings(self) -> Holdings:
        """What the account holds."""
        held = self._all((await self._ask(self._broker.holdings),), Holdings, "holdings")[0]
        if not all(map(math.isfinite, (held.cash, *held.positions.values()))):
            raise ConflictError(f"the broker holds what is no number: {held}")
        return held

    async def close(self) -> None:
        """Lets go of it, whatever it does then."""
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._ask(self._broker.close)
        except (TradewindError, TimeoutError) as problem:
            _logger.warning("at the end: %s", problem or f"close took over {_CLOSE_S:g} s")

    def _look_at_fills(self, fills: Sequence[FillRecord], after_sequence: int) -> None:
        self._unbooked = {at: it for at, it in self._unbooked.items() if at > after_sequence}
        for place, fill in enumerate(fills, start=after_sequence + 1):
            if fill.sequence != place:
                raise ConflictError(f"the broker's fill {fill.sequence} comes where {place} should")
            if place > self._booked:
                doubts = self._sent.book(fill)
                self._booked = place
                self._unbooked[place] = fill
                for doubt in doubts:
                    if doubt.breaks_books:
                        raise ConflictError(f"the broker's fill {place} cannot be: {doubt}")
                    self._doubt(f"fill {place} is not on its terms: {doubt}")
            elif self._unbooked.get(place, fill) != fill:
                raise ConflictError(
                    f"the broker's fill {place} was {self._unbooked[place]} and is {fill} now"
                )

    def _doubt(self, text: str) -> None:
        if not self.doubt:
            self.doubt = f"broker {self._said.name}: {text}"
            _logger.error(
                "%s; nothing that a policy wants is traded with it until the next start", self.doubt
            )

    async def _ask(self, ask: Callable[..., Any], *arguments: object) -> Any:
        try:
            return await ask(*arguments)
        except TradewindError:
            raise
        except Exception as problem:  # it is someone's own code
            raise UnavailableError(
                f"the broker's {ask.__name__} raised {told(problem)}"
            ) from problem

    def _all(self, found: Any, kind: type[_Answer], name: str) -> Sequence[_Answer]:
        if isinstance(found, _ROWS):
            for item in found:
                if not isinstance(item, kind):
                    break
            else:
                return found
        raise UnavailableError(f"the broker's {name} gave {found!r:.200}, not {kind.__name__}")


def _terms_of(broker: Broker) -> BrokerTerms:
    try:
        said: object = broker.terms()
        if type(said) is BrokerTerms:  # what a subclass adds no replay could read
            return said
        problem = f"gave {said!r:.200}"
    except TradewindError:
        raise
    except Exception as raised:  # it is someone's own code
        problem = f"raised {told(raised)}"
    raise _refused("broker.kind", f"{type(broker).__name__}.terms {problem}; expected: BrokerTerms")


def _check_orders(terms: BrokerTerms, style: OrderSettings) -> None:
    needs: tuple[tuple[str, Collection[str], Collection[str]], ...] = (
        ("kind", {OrderKind.MARKET, style.kind}, terms.orders),
        ("time_in_force", {TimeInForce.GTD, style.time_in_force}, terms.times_in_force),
    )
    for name, needed, taken in needs:
        lacking = sorted(set(needed) - set(taken))
        if lacking:
            raise _refused(
                f"orders.{name}",
                f"needs {', '.join(lacking)}, and the broker {terms.name} takes "
                f"{', '.join(taken) or 'none'}; positions are closed at market, whatever it is",
            )


def _refused(field: str, problem: str) -> ComponentError:
    return ComponentError("broker is refused", [FieldViolation(field, problem)])
