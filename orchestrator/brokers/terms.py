"""What a broker says of itself: what trading costs there, and which orders it takes."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from orchestrator.brokers.market import PaperBrokerSettings
from orchestrator.brokers.orders import OrderKind, TimeInForce
from tradewind.settings import Settings, parse_settings

__all__ = ["BrokerTerms", "read_terms"]


class BrokerTerms(Settings):
    """The terms of a broker.

    They stand in the decision log, and a replay holds every fill against them: a fee is
    |quantity| × (price × `fee` + `fee_per_unit`), and that of an order at least `fee_minimum`.
    """

    name: str = Field(min_length=1, max_length=64)
    """What the broker is called."""

    fee: float | None = Field(ge=-0.1, le=0.1)
    """Fraction of the traded notional; below 0 where trading is paid for, null where the fees
    follow another rule, and then none is checked."""

    fee_per_unit: float = Field(default=0.0, ge=0.0)
    """For each unit of the asset, in the currency of its price."""

    fee_minimum: float | None = Field(default=None, gt=0.0)
    """Least fee of an order that is filled."""

    fee_rounding: float = Field(default=0.0, ge=0.0)
    """The fee of a fill is a multiple of this, such as 0.01: it may be off by as much."""

    orders: tuple[OrderKind, ...] = (OrderKind.MARKET,)
    """Kinds of orders that it takes."""

    times_in_force: tuple[TimeInForce, ...] = (TimeInForce.GTD,)
    """For how long orders may be asked to work."""

    paper: PaperBrokerSettings | None = None
    """How fills are simulated, of the paper broker alone: a replay trades them again."""

    def fees_of(self, quantity: float, notional: float) -> float | None:
        """What an order has cost so far; None where the terms do not say.

        Args:
            quantity: Units that were traded, unsigned.
            notional: The sum of quantity × price of its fills, unsigned.
        """
        if self.fee is None:
            return None
        fees = notional * self.fee + quantity * self.fee_per_unit
        return fees if self.fee_minimum is None else max(fees, self.fee_minimum)


def read_terms(facts: Mapping[str, Any]) -> BrokerTerms | None:
    """The terms in a decision log's facts; None in logs that do not have any.

    Earlier releases had but one broker and wrote its settings.

    Raises:
        SettingsError: They are no terms.
    """
    said = facts.get("broker")
    if said is None or "name" in said:
        return (
            None if said is None else parse_settings(said, BrokerTerms, source="the log's broker")
        )
    return paper_terms(parse_settings(said, PaperBrokerSettings, source="the log's broker"))


def paper_terms(settings: PaperBrokerSettings) -> BrokerTerms:
    """The terms of the paper broker; where instruments have fees, no single one is checked."""
    by_instrument = any(
        fee is not None
        for each in settings.instruments.values()
        for fee in (each.taker_fee, each.maker_fee)
    )
    return BrokerTerms(
        name="paper",
        fee=None if by_instrument else settings.market.fee,
        orders=(OrderKind.MARKET, OrderKind.LIMIT, OrderKind.STOP),
        times_in_force=tuple(TimeInForce),
        paper=settings,
    )
