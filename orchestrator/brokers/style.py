"""How what is wanted becomes an order."""

from typing import Literal

from pydantic import Field

from orchestrator.brokers.orders import Order, OrderKind, TimeInForce
from tradewind.market.instruments import Instrument
from tradewind.settings import Settings

__all__ = ["OrderSettings"]


class OrderSettings(Settings):
    """Orders as policies have them sent; what closes a position for safety's sake is at market."""

    kind: Literal[OrderKind.MARKET, OrderKind.LIMIT] = OrderKind.MARKET
    """MARKET takes whatever price there is, LIMIT none beyond `limit_distance`."""

    limit_distance: float = Field(default=0.001, gt=-0.5, lt=0.5)
    """How far beyond the last close a LIMIT buys or sells, as a fraction of it; below 0 it waits
    for a better price than that."""

    time_in_force: TimeInForce = TimeInForce.GTD
    """GTD works until the market's next bar closes, IOC takes what there is at once, FOK all of it
    at once or nothing."""

    def order(
        self,
        client_order_id: str,
        symbol: str,
        quantity: float,
        price: float,
        submitted_ns: int,
        valid_until_ns: int,
        *,
        for_safety: bool = False,
        instrument: Instrument | None = None,
    ) -> Order:
        """An order; see Order.

        Args:
            client_order_id: Its name.
            symbol: What to trade.
            quantity: Signed.
            price: The last close.
            submitted_ns: When it is decided.
            valid_until_ns: Until when it may work.
            for_safety: It closes a position, whatever that costs.
            instrument: What it trades: a limit is rounded to its tick, never to a worse price.
        """
        order = (client_order_id, symbol, quantity, price, submitted_ns, valid_until_ns)
        if for_safety or not quantity:
            return Order(*order)
        limit_price = None
        if self.kind is OrderKind.LIMIT:
            distance = self.limit_distance if quantity > 0.0 else -self.limit_distance
            limit_price = price * (1.0 + distance)
            if instrument is not None:
                limit_price = instrument.round_price(limit_price, -quantity)
        return Order(*order, self.kind, limit_price, time_in_force=self.time_in_force)
