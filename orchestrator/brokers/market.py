"""How the paper broker's market fills an order: latency, depth of the book, slippage and fees."""

import math
import random
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field

from orchestrator.brokers.orders import Order, OrderKind, TimeInForce
from orchestrator.records import BarRecord
from tradewind.market.instruments import Instrument, NamedInstrument
from tradewind.settings import Settings

__all__ = ["PaperBrokerSettings", "PaperMarketSettings", "Trade", "trade_in_bar"]

_NS_PER_MS = 1_000_000
_ANY: Final = Instrument()


class PaperMarketSettings(Settings):
    """What trading costs on paper."""

    seed: int = 7
    """The same seed, orders and bars give the same fills."""

    latency_ms: float = Field(default=50.0, ge=0.0)
    """Mean time until an order is in the market; drawn from an exponential distribution."""

    fee: float = Field(default=0.001, ge=0.0, le=0.1)
    """Fraction of the traded notional."""

    half_spread: float = Field(default=0.0002, ge=0.0, le=0.1)
    """Distance of the best level from the mid, as a fraction of the price."""

    levels: int = Field(default=10, ge=1, le=100)
    """Levels on each side of the book."""

    level_spacing: float = Field(default=0.0001, ge=0.0, le=0.1)
    """Distance between levels, as a fraction of the price: the impact of a large order."""

    level_share: float | None = Field(default=0.01, gt=0.0, le=1.0)
    """Mean size of a level, as a fraction of the bar's volume; an order takes all levels at most,
    and what is left waits for the next bar. Null has the best level take all of an order, whatever
    the volume: for bars that have none."""

    level_variation: float = Field(default=0.5, ge=0.0, le=2.0)
    """Standard deviation of the logarithm of a level's size."""


class PaperBrokerSettings(Settings):
    """The paper broker; its cash is that of the allocations."""

    kind: Literal["paper"] = "paper"
    """Chooses this broker."""

    market: PaperMarketSettings = PaperMarketSettings()
    """What trading costs there: latency, spread, depth and fees."""

    instruments: dict[Annotated[str, Field(min_length=1)], NamedInstrument] = Field(
        default_factory=dict
    )
    """What this broker takes symbols for: it rejects orders that are no multiple of the lot or
    below the minimum, fills at multiples of the tick, and asks the instrument's fees where it names
    any. Those that are not named here are what the account trades them as."""

    max_leverage: float = Field(default=2.0, gt=0.0)
    """Largest sum of absolute notionals over equity after an order and those that came before it;
    orders beyond it are rejected, unless they reduce their position."""


@dataclass(frozen=True, slots=True)
class Trade:
    """What an order gets of a bar: signed quantity, average price, mid, fee, and when."""

    quantity: float
    price: float
    reference_price: float
    fee: float
    filled_ns: int


def active_ns(order: Order, settings: PaperMarketSettings) -> int:
    """When the order is in the market, nanoseconds since the epoch."""
    draw = random.Random(f"{settings.seed}/latency/{order.client_order_id}").random()  # noqa: S311
    return order.submitted_ns + round(-math.log1p(-draw) * settings.latency_ms * _NS_PER_MS)


def trade_in_bar(
    order: Order,
    left: float,
    active_from_ns: int,
    bar: BarRecord,
    interval_ns: int,
    settings: PaperMarketSettings,
    instrument: Instrument = _ANY,
) -> Trade | None:
    """Fills what is left of an order from the book of a bar, as far as the book goes.

    The mid moves on a straight line from the bar's open to its close, and the order meets it when
    it has come into the market, or at the open. Level k lies half_spread + k × level_spacing from
    the mid. A stop meets the mid once that has come to its price; a limit order once the best
    level is within its limit, and takes the levels that are. Of an instrument, levels lie at
    multiples of its tick, a partial fill is one of its lot, and what waited pays the maker's fee.

    Returns:
        The trade; None when the order comes after the bar or nothing is to be had.
    """
    since_open_ns = max(active_from_ns - bar.start_ns, 0)
    share = settings.level_share
    if since_open_ns >= interval_ns or (bar.volume == 0.0 and share is not None):
        return None
    arrived_ns = since_open_ns
    mid = bar.open + (bar.close - bar.open) * (since_open_ns / interval_ns)
    if order.kind is not OrderKind.MARKET:
        met = _meeting(order, left, bar, (since_open_ns, mid), interval_ns, settings)
        if met is None:
            return None
        since_open_ns, mid = met
    seed = f"{settings.seed}/book/{order.client_order_id}/{bar.start_ns}"
    draws = random.Random(seed)  # noqa: S311 - a simulation that has to repeat itself
    side = math.copysign(1.0, left)
    limit = None if order.limit_price is None else side * order.limit_price
    wanted, taken, cost = abs(left), 0.0, 0.0
    for level in range(settings.levels):
        noise = math.exp(draws.gauss(0.0, 1.0) * settings.level_variation)
        distance = settings.half_spread + level * settings.level_spacing
        at = instrument.round_price(mid * (1.0 + side * distance), side)
        # Where the market came to the limit, the best level is at it but for the rounding.
        if limit is not None and level and side * at > limit:
            break
        size = wanted if share is None else min(bar.volume * share * noise, wanted - taken)
        # In this order, for a replay of older logs is held against the bits.
        cost += size * mid * (1.0 + side * distance) if instrument.tick is None else size * at
        taken += size
        if taken >= wanted:
            break
    if taken < wanted and instrument.lot:
        whole = abs(instrument.round_quantity(taken, 0.0, math.inf))
        cost, taken = cost * (whole / taken), whole
    if taken == 0.0 or (order.time_in_force is TimeInForce.FOK and taken < wanted):
        return None
    # All of it is exactly what was left, whatever the rounding of the sum.
    quantity = left if taken >= wanted else side * taken
    # One level is paid as it is, without the rounding of a product and its quotient.
    price = cost / taken if level else at
    if limit is not None and side * price > limit:
        price = side * limit
    waited = since_open_ns > arrived_ns or active_from_ns < bar.start_ns
    made = order.kind is OrderKind.LIMIT and waited and instrument.maker_fee is not None
    rate = instrument.maker_fee if made else instrument.taker_fee
    fee = abs(quantity) * price * (settings.fee if rate is None else rate)
    return Trade(quantity, price, mid, fee, bar.start_ns + since_open_ns)


def _meeting(
    order: Order,
    left: float,
    bar: BarRecord,
    arrival: tuple[int, float],
    interval_ns: int,
    settings: PaperMarketSettings,
) -> tuple[int, float] | None:
    """When the mid comes to the price that an order waits for, and the mid there.

    None where it does not in this bar, or later than an order that does not wait.
    """
    side = math.copysign(1.0, left)
    if order.limit_price is not None:
        price, direction = order.limit_price / (1.0 + side * settings.half_spread), -side
    else:
        assert order.stop_price is not None
        if left != order.quantity:
            return arrival  # it has been traded before: its price was met then
        price, direction = order.stop_price, side
    _, mid = arrival
    if direction * (mid - price) >= 0.0:
        return arrival
    if order.time_in_force is not TimeInForce.GTD or direction * (bar.close - price) < 0.0:
        return None
    since_open_ns = math.ceil(interval_ns * ((price - bar.open) / (bar.close - bar.open)))
    return min(since_open_ns, interval_ns - 1), price
