"""A broker of one's own: every order is filled whole at the open of the next bar, for 0.3 %."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator import (
    BarRecord,
    Broker,
    BrokerTerms,
    ConflictError,
    FillRecord,
    Holdings,
    Mandate,
    NotFoundError,
    Order,
    OrderKind,
    OrderState,
    OrderStatus,
    Settings,
    TimeInForce,
)


class AuctionOptions(Settings):
    """What stands under `broker.options`."""

    fee: float = 0.003
    """Fraction of the traded notional."""


class AuctionBroker(Broker):
    """Keeps its books in a file, so that a restart finds every order and every fill again."""

    Options = AuctionOptions

    def __init__(self, mandate: Mandate, options: AuctionOptions) -> None:
        self._terms = BrokerTerms(name="auction", fee=options.fee)
        self._fee = options.fee
        self._cash = mandate.cash
        self._path: Path = mandate.folder / f"{mandate.account}.auction.json"
        self._orders: dict[str, OrderState] = {}
        self._fills: list[FillRecord] = []
        if self._path.exists():
            self._read()

    def terms(self) -> BrokerTerms:
        """Market orders alone, and a fee that the decision log records."""
        return self._terms

    async def observe(self, bars: Sequence[BarRecord]) -> None:
        """Holds the auction; a broker with a venue behind it has nothing to do here."""
        for bar in bars:
            for state in list(self._orders.values()):
                order = state.order
                waits = not state.status.is_final and bar.start_ns >= order.submitted_ns
                if waits and order.symbol == bar.symbol:
                    self._fill(state, bar)
        self._write()

    async def submit(self, orders: Sequence[Order]) -> Sequence[OrderState]:
        """Takes each order once, however often it is sent."""
        for order in orders:
            known = self._orders.setdefault(order.client_order_id, OrderState(order))
            if known.order != order:
                raise ConflictError(f"{order.client_order_id} is another order: {known.order}")
        self._write()
        return [self._orders[order.client_order_id] for order in orders]

    async def cancel(self, client_order_id: str) -> OrderState:
        """Cancels an order that waits."""
        state = self._orders.get(client_order_id)
        if state is None:
            raise NotFoundError(f"there is no order {client_order_id}")
        if not state.status.is_final:
            state = state.advance(OrderStatus.CANCELLED, reason="as it was asked to")
            self._orders[client_order_id] = state
            self._write()
        return state

    async def order(self, client_order_id: str) -> OrderState | None:
        """How an order stands."""
        return self._orders.get(client_order_id)

    async def open_orders(self) -> Sequence[OrderState]:
        """Orders that wait."""
        return [state for state in self._orders.values() if not state.status.is_final]

    async def fills(self, after_sequence: int) -> Sequence[FillRecord]:
        """Fills, numbered from 1."""
        return self._fills[after_sequence:]

    async def holdings(self) -> Holdings:
        """What the fills come to."""
        cash, positions = self._cash, dict[str, float]()
        for fill in self._fills:
            cash -= fill.quantity * fill.price + fill.fee
            positions[fill.symbol] = positions.get(fill.symbol, 0.0) + fill.quantity
        return Holdings(cash, positions)

    def _fill(self, state: OrderState, bar: BarRecord) -> None:
        order, price = state.order, bar.open
        self._fills.append(
            FillRecord(
                sequence=len(self._fills) + 1,
                client_order_id=order.client_order_id,
                symbol=order.symbol,
                quantity=order.quantity,
                price=price,
                reference_price=price,
                fee=abs(order.quantity) * price * self._fee,
                filled_ns=bar.start_ns,
            )
        )
        filled = state.advance(OrderStatus.FILLED, filled_quantity=order.quantity)
        self._orders[order.client_order_id] = filled

    def _write(self) -> None:
        books = {
            "orders": [asdict(state) for state in self._orders.values()],
            "fills": [asdict(fill) for fill in self._fills],
        }
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(books))
        partial.replace(self._path)  # whole or not at all

    def _read(self) -> None:
        books: dict[str, Any] = json.loads(self._path.read_text())
        for row in books["orders"]:
            order: dict[str, Any] = row["order"]
            kinds = OrderKind(order.pop("kind")), TimeInForce(order.pop("time_in_force"))
            known = Order(**order, kind=kinds[0], time_in_force=kinds[1])
            self._orders[known.client_order_id] = OrderState(
                known, OrderStatus(row["status"]), row["filled_quantity"], row["reason"]
            )
        self._fills = [FillRecord(**fill) for fill in books["fills"]]
