"""A broker on paper, with the frictions of a real one and books that survive a crash."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from typing import Final

from orchestrator.brokers.books import Books
from orchestrator.brokers.broker import Broker
from orchestrator.brokers.market import PaperBrokerSettings, Trade, active_ns, trade_in_bar
from orchestrator.brokers.orders import (
    Holdings,
    Order,
    OrderKind,
    OrderState,
    OrderStatus,
    TimeInForce,
)
from orchestrator.brokers.terms import BrokerTerms, paper_terms
from orchestrator.mandate import Mandate
from orchestrator.records import BarRecord, FillRecord
from tradewind.errors import ConflictError, NotFoundError
from tradewind.market.instruments import Instrument

__all__ = ["PaperBroker"]

_ROUNDING: Final = 1e-9
"""Of sums, as a fraction of what is summed up."""
_ANY: Final = Instrument()


class PaperBroker(Broker):
    """Trades orders against the bars it is shown.

    Bars that were traded against before are passed over, so that a feed that starts again after
    a crash finds the same fills.

    An order whose market is not known does not age while no bar comes at all: whether that was a
    night or an outage nobody can tell, and in training a decision is filled at the open of the
    next bar, whenever that is. Where the market is known the order's own time counts.

    Args:
        mandate: The account; its books lie in the folder.
        options: Latency, book, fees and leverage.

    Raises:
        StorageError: The books cannot be opened.
    """

    name = "paper"
    Options = PaperBrokerSettings

    def __init__(self, mandate: Mandate, options: PaperBrokerSettings) -> None:
        self._books = Books(mandate.folder / f"{mandate.account}.broker", mandate.cash)
        self._symbols = frozenset(mandate.symbols)
        self._interval_ns = mandate.interval_ns
        self._settings = options.market
        self._max_leverage = options.max_leverage
        self._markets = mandate.known_markets
        self._instruments = {**self._markets.instruments, **options.instruments}
        known = options.model_copy(update={"instruments": self._instruments})
        self._terms = paper_terms(known)
        self._waited_ns: dict[str, int] = {}  # for how long no bar came, of each open order
        holdings = self._books.holdings()
        self._cash, self._positions = holdings.cash, dict(holdings.positions)
        self._observed_ns = self._books.observed_ns()
        self._known = self._books.order_ids()
        self._open = {state.order.client_order_id: state for state in self._books.open_orders()}
        self._fills = self._books.fills(0)
        self._news = asyncio.Event()
        # Until a bar comes, what is held is worth what was last paid for it.
        self._prices = {fill.symbol: fill.price for fill in self._fills}

    def terms(self) -> BrokerTerms:
        """Its fee, and the orders that it can simulate."""
        return self._terms

    async def observe(self, bars: Sequence[BarRecord]) -> None:
        """Trades the open orders against the bars of a tick."""
        for bar in bars:
            self._prices[bar.symbol] = bar.close
        new = {bar.symbol: bar for bar in bars if self._close_ns(bar) > self._observed_ns}
        if not new:
            return
        before_ns = self._observed_ns
        starts_ns = [bar.start_ns for bar in new.values()]
        self._observed_ns = max(before_ns, max(starts_ns) + self._interval_ns)
        if self._open:
            self._wait(before_ns, min(starts_ns))
            self._trade(new)

    async def submit(self, orders: Sequence[Order]) -> Sequence[OrderState]:
        """Accepts or rejects orders; see Broker."""
        states: list[OrderState] = []
        new: dict[str, OrderState] = {}
        for order in orders:
            name = order.client_order_id
            state = new.get(name) or await self.order(name)
            if state is None:
                state = new[name] = self._accept(order, [*self._open.values(), *new.values()])
            elif state.order != order:
                raise ConflictError(f"order {name} is known and another: {state.order}")
            states.append(state)
        if new:
            self._books.record(self._observed_ns, self._cash, new.values())
            self._known |= new.keys()
            self._open |= {name: state for name, state in new.items() if not state.status.is_final}
        return states

    async def cancel(self, client_order_id: str) -> OrderState:
        """Cancels what is not filled; see Broker."""
        state = await self.order(client_order_id)
        if state is None:
            raise NotFoundError(f"order {client_order_id} is not known")
        if not state.status.is_final:
            state = state.advance(OrderStatus.CANCELLED, reason="cancelled by the client")
            self._books.record(self._observed_ns, self._cash, [state])
            self._forget(client_order_id)
        return state

    async def order(self, client_order_id: str) -> OrderState | None:
        """How an order stands; None when it is not known."""
        if client_order_id not in self._known:
            return None
        return self._open.get(client_order_id) or self._books.order(client_order_id)

    async def open_orders(self) -> Sequence[OrderState]:
        """Orders that are not final."""
        return tuple(self._open.values())

    async def fills(self, after_sequence: int) -> Sequence[FillRecord]:
        """Fills after a number."""
        return self._fills[after_sequence:]

    async def stream_fills(self, after_sequence: int = 0) -> AsyncIterator[FillRecord]:
        """Fills after a number as they come."""
        while True:
            news = self._news
            for fill in self._fills[after_sequence:]:
                after_sequence = fill.sequence
                yield fill
            await news.wait()

    async def holdings(self) -> Holdings:
        """Cash and positions."""
        held = {symbol: quantity for symbol, quantity in self._positions.items() if quantity}
        return Holdings(self._cash, held)

    async def close(self) -> None:
        """Closes the books."""
        self._books.close()

    def _close_ns(self, bar: BarRecord) -> int:
        return bar.start_ns + self._interval_ns

    def _accept(self, order: Order, before: Sequence[OrderState]) -> OrderState:
        state = OrderState(order)
        reason = self._refusal(order, before)
        return state.advance(OrderStatus.REJECTED, reason=reason) if reason else state

    def _refusal(self, order: Order, before: Sequence[OrderState]) -> str:
        if order.symbol not in self._symbols:
            return f"{order.symbol!r} is not traded here"
        if order.quantity == 0.0:
            return "the quantity must not be 0"
        if order.kind not in self._terms.orders:
            return f"{order.kind} is not taken here, {', '.join(self._terms.orders)} are"
        if order.kind is OrderKind.STOP and order.time_in_force is not TimeInForce.GTD:
            return f"a STOP waits for its price, and {order.time_in_force} does not wait"
        if order.valid_until_ns <= max(order.submitted_ns, self._observed_ns):
            return "the order is no longer valid"
        # What is sold to make room for what is bought makes it from the moment it is ordered.
        prices = {order.symbol: order.reference_price}
        expected = dict(self._positions)
        for state in before:
            if not state.status.is_final:
                other, left = state.order, state.order.quantity - state.filled_quantity
                expected[other.symbol] = expected.get(other.symbol, 0.0) + left
                prices[other.symbol] = other.reference_price
        prices |= self._prices
        held = expected.get(order.symbol, 0.0)
        if too_small := self._not_taken(order, held):
            return too_small
        expected[order.symbol] = held + order.quantity
        if abs(expected[order.symbol]) > abs(held):
            equity = self._cash + sum(
                quantity * prices[symbol] for symbol, quantity in self._positions.items()
            )
            gross = sum(abs(quantity * prices[symbol]) for symbol, quantity in expected.items())
            if gross > self._max_leverage * equity:
                return f"a gross notional of {gross:,.2f} is beyond {self._max_leverage:g} × equity"
        return ""

    def _not_taken(self, order: Order, held: float) -> str:
        """Why the instrument does not take an order as it is; empty when it does."""
        instrument = self._instruments.get(order.symbol)
        if instrument is None:
            return ""
        quantity, price = order.quantity, order.reference_price
        rounded = instrument.round_quantity(quantity, held, price)
        if rounded == 0.0:
            return instrument.why_refused(quantity, price)
        if abs(rounded - quantity) > _ROUNDING * abs(quantity):
            return f"{quantity:.12g} is no multiple of the lot of {instrument.lot_units:g}"
        limit = order.limit_price
        if limit is not None and not math.isclose(
            instrument.round_price(limit, order.quantity), limit, rel_tol=_ROUNDING
        ):
            return f"{limit:.12g} is no multiple of the tick of {instrument.tick:g}"
        return ""

    def _wait(self, before_ns: int, next_ns: int) -> None:
        """Notes for how long orders of unknown markets have been without a bar."""
        for name, state in self._open.items():
            since_ns = max(before_ns, state.order.submitted_ns)
            if next_ns > since_ns and not self._markets.knows(state.order.symbol, next_ns):
                self._waited_ns[name] = self._waited_ns.get(name, 0) + next_ns - since_ns

    def _forget(self, client_order_id: str) -> None:
        del self._open[client_order_id]
        self._waited_ns.pop(client_order_id, None)

    def _trade(self, bars: dict[str, BarRecord]) -> None:
        changed: list[OrderState] = []
        fills: list[FillRecord] = []
        for state in self._open.values():
            order = state.order
            valid_until_ns = order.valid_until_ns + self._waited_ns.get(order.client_order_id, 0)
            bar = bars.get(order.symbol)
            if bar is not None:
                left = order.quantity - state.filled_quantity
                active = active_ns(order, self._settings)
                trade = trade_in_bar(
                    order,
                    left,
                    active,
                    bar,
                    self._interval_ns,
                    self._settings,
                    self._instruments.get(order.symbol, _ANY),
                )
                if trade is not None and trade.filled_ns < valid_until_ns:
                    fills.append(self._book(order, trade, len(self._fills) + len(fills) + 1))
                    state = _after(state, trade)
                    changed.append(state)
                # What does not wait has had its moment, once it has come into the market.
                if order.time_in_force is not TimeInForce.GTD and active < self._close_ns(bar):
                    valid_until_ns = active
            if not state.status.is_final and self._observed_ns >= valid_until_ns:
                state = state.advance(OrderStatus.CANCELLED, reason="no longer valid")
                changed.append(state)
        if not changed:
            return
        moved = {fill.symbol: self._positions[fill.symbol] for fill in fills}
        self._books.record(self._observed_ns, self._cash, changed, fills, moved)
        if fills:
            self._fills += fills
            self._news.set()
            self._news = asyncio.Event()
        for state in changed:
            if state.status.is_final:
                self._forget(state.order.client_order_id)
            else:
                self._open[state.order.client_order_id] = state

    def _book(self, order: Order, trade: Trade, sequence: int) -> FillRecord:
        self._cash -= trade.quantity * trade.price + trade.fee
        self._positions[order.symbol] = self._positions.get(order.symbol, 0.0) + trade.quantity
        return FillRecord(
            sequence, order.client_order_id, order.symbol, trade.quantity, trade.price,
            trade.reference_price, trade.fee, trade.filled_ns,
        )  # fmt: skip


def _after(state: OrderState, trade: Trade) -> OrderState:
    filled = state.filled_quantity + trade.quantity
    if trade.quantity == state.order.quantity - state.filled_quantity:
        return state.advance(OrderStatus.FILLED, filled_quantity=state.order.quantity)
    return state.advance(OrderStatus.PARTIALLY_FILLED, filled_quantity=filled)
