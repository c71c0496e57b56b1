"""A broker of somebody's own, honest or not, written with nothing but `import orchestrator`."""

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orchestrator
from orchestrator import FillRecord, Holdings, Order, OrderState, OrderStatus


class Venue(orchestrator.Broker):
    """Fills every order whole at the open of the next bar; keeps its books in a file."""

    class Options(orchestrator.Settings):
        """What it says, what it does, and in what mood it is."""

        fee: float = 0.003
        charges: float | None = None
        doubled_from: int | None = None
        other_fee_from: int | None = None
        raises: float = 0.0
        hangs: float = 0.0

    def __init__(self, mandate: orchestrator.Mandate, options: Options) -> None:
        self._path: Path = mandate.folder / f"{mandate.account}.venue"
        self._options = options
        self._moods = random.Random(mandate.account)
        self._cash = mandate.cash
        self._orders: dict[str, OrderState] = {}
        self._fills: list[FillRecord] = []
        if self._path.exists():
            self._read()

    def terms(self) -> orchestrator.BrokerTerms:
        """Says another fee from some fill on, if it is told to."""
        later = self._options.other_fee_from
        changed = later is not None and len(self._fills) >= later
        fee = self._options.fee * (2.0 if changed else 1.0)
        return orchestrator.BrokerTerms(name="venue", fee=fee)

    async def observe(self, bars: Sequence[orchestrator.BarRecord]) -> None:
        """Trades what is open."""
        await self._mood()
        for bar in bars:
            for name, state in self._orders.items():
                is_due = (
                    state.order.symbol == bar.symbol and bar.start_ns >= state.order.submitted_ns
                )
                if not state.status.is_final and is_due:
                    self._orders[name] = self._fill(state, bar)
        self._write()

    async def submit(self, orders: Sequence[Order]) -> Sequence[OrderState]:
        """Takes orders, and may fail before or after it has."""
        await self._mood()
        for order in orders:
            known = self._orders.setdefault(order.client_order_id, OrderState(order))
            if known.order != order:
                raise orchestrator.ConflictError("another order has that id")
        self._write()
        await self._mood()
        return [self._orders[order.client_order_id] for order in orders]

    async def cancel(self, client_order_id: str) -> OrderState:
        """Cancels what is open."""
        await self._mood()
        state = self._orders.get(client_order_id)
        if state is None:
            raise orchestrator.NotFoundError(f"no order {client_order_id}")
        if not state.status.is_final:
            state = self._orders[client_order_id] = state.advance(OrderStatus.CANCELLED)
        self._write()
        return state

    async def order(self, client_order_id: str) -> OrderState | None:
        """How an order stands."""
        await self._mood()
        return self._orders.get(client_order_id)

    async def open_orders(self) -> Sequence[OrderState]:
        """What is open."""
        await self._mood()
        return [state for state in self._orders.values() if not state.status.is_final]

    async def fills(self, after_sequence: int) -> Sequence[FillRecord]:
        """What was filled."""
        await self._mood()
        return self._fills[after_sequence:]

    async def holdings(self) -> Holdings:
        """Cash and positions as the fills make them."""
        await self._mood()
        held: dict[str, float] = {}
        cash = self._cash
        for fill in self._fills:
            held[fill.symbol] = held.get(fill.symbol, 0.0) + fill.quantity
            cash -= fill.quantity * fill.price + fill.fee
        return Holdings(cash, held)

    def _fill(self, state: OrderState, bar: orchestrator.BarRecord) -> OrderState:
        order, doubled = state.order, self._options.doubled_from
        rate = self._options.fee if self._options.charges is None else self._options.charges
        for _ in range(2 if doubled is not None and len(self._fills) >= doubled else 1):
            fee = abs(order.quantity) * bar.open * rate
            self._fills.append(
                FillRecord(
                    len(self._fills) + 1, order.client_order_id, order.symbol, order.quantity,
                    bar.open, bar.open, fee, bar.start_ns,
                )
            )  # fmt: skip
        return state.advance(OrderStatus.FILLED, filled_quantity=order.quantity)

    async def _mood(self) -> None:
        if self._moods.random() < self._options.raises:
            raise KeyError("a defect of somebody's own")
        if self._moods.random() < self._options.hangs:
            await asyncio.Event().wait()

    def _write(self) -> None:
        orders = {name: [asdict(it.order), it.status] for name, it in self._orders.items()}
        document = {"orders": orders, "fills": [asdict(fill) for fill in self._fills]}
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(document))
        partial.replace(self._path)

    def _read(self) -> None:
        document: dict[str, Any] = json.loads(self._path.read_text())
        for name, (order, status) in document["orders"].items():
            order["kind"] = orchestrator.OrderKind(order["kind"])
            order["time_in_force"] = orchestrator.TimeInForce(order["time_in_force"])
            self._orders[name] = OrderState(Order(**order), OrderStatus(status))
        self._fills = [FillRecord(**fill) for fill in document["fills"]]
