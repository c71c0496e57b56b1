"""What the risk calculators look at: one immutable snapshot of an account."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import FieldViolation, RiskInputError

__all__ = [
    "END_OF_TIME_S",
    "SCALARS",
    "FloatArray",
    "OptionPosition",
    "OrderBook",
    "Position",
    "RiskInputs",
]

END_OF_TIME_S: Final = 1e11
"""Seconds since the epoch in the year 5138: a time from here on is in another unit. Milliseconds
have been since 1973."""

FloatArray = NDArray[np.float64]


Item = TypeVar("Item")

_FLOAT64 = np.dtype(np.float64)
_EMPTY: FloatArray = np.empty(0, dtype=np.float64)


def _refuse(name: str, description: str) -> RiskInputError:
    return RiskInputError("risk inputs are refused", [FieldViolation(name, description)])


def _as_series(name: str, values: Any) -> FloatArray:
    """The one array type the kernels are compiled for: float64, one-dimensional, contiguous."""
    try:
        array: FloatArray = np.require(values, dtype=np.float64, requirements=("C", "A", "W"))
    except (TypeError, ValueError):
        raise _refuse(name, "is not a list of numbers") from None
    if array.ndim != 1:
        raise _refuse(name, f"has {array.ndim} dimensions, not 1")
    return array


def _is_series(array: Any) -> bool:
    return (
        array.__class__ is np.ndarray
        and array.dtype == _FLOAT64  # not `is`: kernels give arrays with a dtype of their own
        and array.ndim == 1
        and array.flags.carray
    )


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

    def __post_init__(self) -> None:
        for name in _BOOK_SERIES:
            array = getattr(self, name)
            if not _is_series(array):
                object.__setattr__(self, name, _as_series(name, array))
        for side in ("bid", "ask"):
            prices, sizes = getattr(self, f"{side}_prices"), getattr(self, f"{side}_sizes")
            if len(prices) != len(sizes):
                raise _refuse(f"{side}_sizes", f"{len(sizes)} given for {len(prices)} prices")


@dataclass(frozen=True, slots=True)
class OptionPosition:
    """European option holding; rates and volatility are annual fractions.

    `symbol` names the underlying: options of one symbol offset each other.
    """

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

    def __post_init__(self) -> None:
        if self.kind not in ("call", "put"):
            raise _refuse("options.kind", f"must be 'call' or 'put', not {self.kind!r}")


@dataclass(frozen=True, init=False)
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
        periods_per_year: Bars in a year of the market that the values are of: what annualised
            metrics need where the risk policy says "auto".
    """

    portfolio_values: FloatArray
    timestamps: FloatArray
    start_of_day_value: float | None
    returns: FloatArray
    trade_timestamps: FloatArray
    trade_notionals: FloatArray
    capital_base: float | None
    positions: tuple[Position, ...]
    price_changes: FloatArray
    order_flows: FloatArray
    order_books: Mapping[str, OrderBook]
    feed_timestamps: Mapping[str, float]
    now: float | None
    order_latencies_us: FloatArray
    average_daily_volumes: Mapping[str, float]
    options: tuple[OptionPosition, ...]
    periods_per_year: float | None

    # Made for every bar, and neither slots nor the __init__ of a frozen dataclass are as fast.
    def __init__(
        self,
        portfolio_values: FloatArray = _EMPTY,
        timestamps: FloatArray = _EMPTY,
        start_of_day_value: float | None = None,
        returns: FloatArray = _EMPTY,
        trade_timestamps: FloatArray = _EMPTY,
        trade_notionals: FloatArray = _EMPTY,
        capital_base: float | None = None,
        positions: tuple[Position, ...] = (),
        price_changes: FloatArray = _EMPTY,
        order_flows: FloatArray = _EMPTY,
        order_books: Mapping[str, OrderBook] | None = None,
        feed_timestamps: Mapping[str, float] | None = None,
        now: float | None = None,
        order_latencies_us: FloatArray = _EMPTY,
        average_daily_volumes: Mapping[str, float] | None = None,
        options: tuple[OptionPosition, ...] = (),
        periods_per_year: float | None = None,
    ) -> None:
        values = vars(self)
        values.update(
            portfolio_values=portfolio_values,
            timestamps=timestamps,
            start_of_day_value=start_of_day_value,
            returns=returns,
            trade_timestamps=trade_timestamps,
            trade_notionals=trade_notionals,
            capital_base=capital_base,
            positions=positions,
            price_changes=price_changes,
            order_flows=order_flows,
            order_books={} if order_books is None else order_books,
            feed_timestamps={} if feed_timestamps is None else feed_timestamps,
            now=now,
            order_latencies_us=order_latencies_us,
            average_daily_volumes={} if average_daily_volumes is None else average_daily_volumes,
            options=options,
            periods_per_year=periods_per_year,
        )
        for name in _SERIES:
            array = values[name]
            if array is not _EMPTY and not _is_series(array):
                values[name] = _as_series(name, array)
        if self.timestamps.size != self.portfolio_values.size and self.timestamps.size:
            raise self._mismatch("timestamps", "portfolio_values")
        if self.trade_notionals.size != self.trade_timestamps.size:
            raise self._mismatch("trade_notionals", "trade_timestamps")
        if self.order_flows.size != self.price_changes.size:
            raise self._mismatch("order_flows", "price_changes")

    @classmethod
    def of_holdings(cls, holdings: Mapping[str, Any]) -> "RiskInputs":
        """Inputs without series, of what other inputs had: nothing is looked at again."""
        inputs: RiskInputs = object.__new__(cls)
        vars(inputs).update(_NOTHING, **holdings)
        return inputs

    def _mismatch(self, name: str, other: str) -> RiskInputError:
        given, expected = getattr(self, name).size, getattr(self, other).size
        return _refuse(name, f"{given} given for {expected} {other}")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "RiskInputs":
        """Builds inputs from a mapping with the same field names.

        Series may be any sequence of numbers; positions, options and order books may be mappings
        with the field names of their classes.

        Raises:
            RiskInputError: A field is unknown or of the wrong kind.
        """
        _check_names(values, cls, "")
        given = dict(values)
        for name, item in (("positions", Position), ("options", OptionPosition)):
            if name in given:
                given[name] = _build_items(name, given[name], item)
        if "order_books" in given:
            given["order_books"] = {
                symbol: _build(f"order_books[{symbol!r}]", book, OrderBook)
                for symbol, book in _as_mapping("order_books", given["order_books"]).items()
            }
        for name in ("feed_timestamps", "average_daily_volumes"):
            if name in given:
                given[name] = dict(_as_mapping(name, given[name]))
        return cls(**given)


_BOOK_SERIES = ("bid_prices", "bid_sizes", "ask_prices", "ask_sizes")
_SERIES = tuple(item.name for item in fields(RiskInputs) if item.type is FloatArray)
_NOTHING: Final = vars(RiskInputs())
SCALARS: Final = tuple(item.name for item in fields(RiskInputs) if item.type == float | None)
"""Fields that are a number or not given."""


def _check_names(values: Mapping[str, Any], cls: type[Any], prefix: str) -> None:
    known = [item.name for item in fields(cls)]
    unknown = [name for name in values if name not in known]
    if unknown:
        allowed = f"unknown field; there are {', '.join(known)}"
        raise RiskInputError(
            "risk inputs are refused",
            [FieldViolation(f"{prefix}{name}", allowed) for name in unknown],
        )


def _as_mapping(name: str, values: Any) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise _refuse(name, f"is a {type(values).__name__}, not a mapping")
    return values


def _build(name: str, values: Any, cls: type[Item]) -> Item:
    if isinstance(values, cls):
        return values
    given = _as_mapping(name, values)
    _check_names(given, cls, f"{name}.")
    try:
        return cls(**given)
    except TypeError as problem:
        raise _refuse(name, str(problem)) from None


def _build_items(name: str, values: Any, cls: type[Item]) -> tuple[Item, ...]:
    if not isinstance(values, Iterable):
        raise _refuse(name, f"is a {type(values).__name__}, not a list")
    return tuple(_build(f"{name}[{index}]", item, cls) for index, item in enumerate(values))
