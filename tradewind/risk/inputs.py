"""What the risk calculators look at: one immutable snapshot of an account."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["FloatArray", "OptionPosition", "OrderBook", "Position", "RiskInputs"]

FloatArray = NDArray[np.float64]


def _empty() -> FloatArray:
    return np.empty(0, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Position:
    """Holding in one symbol: signed `quantity` in units of the asset, marked at `price`."""

    symbol: str
    quantity: float
    price: float


@dataclass(frozen=True, slots=True)
class OrderBook:
    """One side per array pair, best level first; prices and sizes in units of the asset."""

    bid_prices: FloatArray
    bid_sizes: FloatArray
    ask_prices: FloatArray
    ask_sizes: FloatArray


@dataclass(frozen=True, slots=True)
class OptionPosition:
    """European option holding; rates and volatility are annual fractions."""

    symbol: str
    kind: Literal["call", "put"]
    quantity: float
    multiplier: float
    underlying_price: float
    strike: float
    years_to_expiry: float
    volatility: float
    risk_free_rate: float = 0.0
    dividend_yield: float = 0.0


@dataclass(frozen=True, slots=True)
class RiskInputs:
    """Snapshot of an account; what is absent makes the metrics that need it unavailable.

    Attributes:
        portfolio_values: Account values, oldest first. Shape [n].
        timestamps: Seconds since the epoch, one per portfolio value. Shape [n].
        start_of_day_value: Account value at the start of the trading day.
        returns: Simple returns per bar; derived from portfolio_values when empty. Shape [m].
        trade_timestamps: Seconds since the epoch, one per trade. Shape [k].
        trade_notionals: Signed notional of each trade, buys positive. Shape [k].
        capital_base: Capital that turnover and leverage are fractions of.
        positions: Present holdings.
        price_changes: Price change per interval. Shape [p].
        order_flows: Signed order flow per interval. Shape [p].
        order_books: By symbol.
        feed_timestamps: By feed: seconds since the epoch of its last update.
        now: The caller's clock, seconds since the epoch.
        order_latencies_us: Latency of each order in microseconds, oldest first. Shape [q].
        average_daily_volumes: By symbol, in units of the asset per day.
        options: Present option holdings.
    """

    portfolio_values: FloatArray = field(default_factory=_empty)
    timestamps: FloatArray = field(default_factory=_empty)
    start_of_day_value: float | None = None
    returns: FloatArray = field(default_factory=_empty)
    trade_timestamps: FloatArray = field(default_factory=_empty)
    trade_notionals: FloatArray = field(default_factory=_empty)
    capital_base: float | None = None
    positions: tuple[Position, ...] = ()
    price_changes: FloatArray = field(default_factory=_empty)
    order_flows: FloatArray = field(default_factory=_empty)
    order_books: Mapping[str, OrderBook] = field(default_factory=dict)
    feed_timestamps: Mapping[str, float] = field(default_factory=dict)
    now: float | None = None
    order_latencies_us: FloatArray = field(default_factory=_empty)
    average_daily_volumes: Mapping[str, float] = field(default_factory=dict)
    options: tuple[OptionPosition, ...] = ()
