"""Between the domain's risk types and their messages; every double arrives bit for bit."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import nan
from operator import attrgetter
from typing import Any, Final, Literal

import numpy as np

from tradewind.api.risk.v1 import risk_pb2
from tradewind.errors import FieldViolation, RiskInputError
from tradewind.risk import (
    FloatArray,
    OptionPosition,
    OrderBook,
    Position,
    RiskInputs,
    RiskReport,
)
from tradewind.risk.inputs import SCALARS
from tradewind.rpc.risk.wire import FIXED64, LENGTH_DELIMITED, write_head

__all__ = [
    "add_risk_inputs",
    "risk_inputs_from_message",
    "risk_inputs_to_message",
    "risk_report_from_message",
    "risk_report_to_message",
]

_KINDS: dict[int, Literal["call", "put"]] = {
    risk_pb2.OPTION_KIND_CALL: "call",
    risk_pb2.OPTION_KIND_PUT: "put",
}
_Pair = tuple[Callable[[Any], float], Callable[[Any], float]]
_TRADE_FIELDS: _Pair = (attrgetter("timestamp"), attrgetter("notional"))
_LEVEL_FIELDS: _Pair = (attrgetter("price"), attrgetter("size"))
_SERIES_NUMBERS: Final = {
    "portfolio_values": risk_pb2.RiskInputs.PORTFOLIO_VALUES_FIELD_NUMBER,
    "timestamps": risk_pb2.RiskInputs.TIMESTAMPS_FIELD_NUMBER,
    "returns": risk_pb2.RiskInputs.RETURNS_FIELD_NUMBER,
    "price_changes": risk_pb2.RiskInputs.PRICE_CHANGES_FIELD_NUMBER,
    "order_flows": risk_pb2.RiskInputs.ORDER_FLOWS_FIELD_NUMBER,
    "order_latencies_us": risk_pb2.RiskInputs.ORDER_LATENCIES_US_FIELD_NUMBER,
}
# A trade within a serialized message: tag and length of it, then tag and value of each field.
_TRADE_ROW: Final = np.dtype(
    [
        ("tag", "u1"),
        ("length", "u1"),
        ("timestamp_tag", "u1"),
        ("timestamp", "<f8"),
        ("notional_tag", "u1"),
        ("notional", "<f8"),
    ]
)
_EMPTY_TRADE: Final = np.array(
    (
        risk_pb2.RiskInputs.TRADES_FIELD_NUMBER << 3 | LENGTH_DELIMITED,
        _TRADE_ROW.itemsize - 2,
        risk_pb2.Trade.TIMESTAMP_FIELD_NUMBER << 3 | FIXED64,
        0.0,
        risk_pb2.Trade.NOTIONAL_FIELD_NUMBER << 3 | FIXED64,
        0.0,
    ),
    dtype=_TRADE_ROW,
)
_KIND_NUMBERS = {name: number for number, name in _KINDS.items()}


def risk_inputs_to_message(inputs: RiskInputs) -> risk_pb2.RiskInputs:
    """The message of a snapshot; what is absent stays absent."""
    message = risk_pb2.RiskInputs()
    add_risk_inputs(message, inputs)
    return message


def add_risk_inputs(message: risk_pb2.RiskInputs, inputs: RiskInputs) -> None:
    """Writes a snapshot into an empty field of a request, which would copy a message of it."""
    without_series = risk_pb2.RiskInputs(
        **{name: getattr(inputs, name) for name in SCALARS},
        positions=[
            risk_pb2.Position(symbol=item.symbol, quantity=item.quantity, price=item.price)
            for item in inputs.positions
        ],
        order_books={
            symbol: risk_pb2.OrderBook(
                bids=_levels(book.bid_prices, book.bid_sizes),
                asks=_levels(book.ask_prices, book.ask_sizes),
            )
            for symbol, book in inputs.order_books.items()
        },
        feed_timestamps=inputs.feed_timestamps,
        average_daily_volumes=inputs.average_daily_volumes,
        options=[_option_to_message(option) for option in inputs.options],
    )
    message.MergeFrom(without_series)
    # A message takes an array number by number, each as an object, but bytes as they are.
    message.MergeFromString(b"".join(_series_parts(inputs)))


def _series_parts(inputs: RiskInputs) -> Iterator[bytes]:
    """The series of a snapshot as a serialized message has them."""
    for name, number in _SERIES_NUMBERS.items():
        series: FloatArray = getattr(inputs, name)
        if series.size:
            yield write_head(number, series.nbytes)
            yield series.astype("<f8", copy=False).tobytes()
    if inputs.trade_timestamps.size:
        rows = _EMPTY_TRADE.repeat(inputs.trade_timestamps.size)
        rows["timestamp"], rows["notional"] = inputs.trade_timestamps, inputs.trade_notionals
        yield rows.tobytes()


def risk_inputs_from_message(message: risk_pb2.RiskInputs) -> RiskInputs:
    """The snapshot that a message carries.

    Raises:
        RiskInputError: An option without a kind, or series of different lengths.
    """
    given: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.name == "trades":
            given["trade_timestamps"], given["trade_notionals"] = _columns(value, _TRADE_FIELDS)
        else:
            given[field.name] = _READERS[field.name](value)
    return RiskInputs(**given)


def risk_report_to_message(
    report: RiskReport, *, compute_ns: int, request_id: str
) -> risk_pb2.CalculateOnlyResponse:
    """The message of a report; an unknown score stays absent."""
    return risk_pb2.CalculateOnlyResponse(
        metric_values=report.metric_values,
        unavailable=report.unavailable,
        risk_score=report.risk_score,
        penalty=report.penalty,
        policy_digest=report.policy_digest,
        compute_ns=compute_ns,
        request_id=request_id,
        unchecked_limits=report.unchecked_limits,
        notes=report.notes,
    )


def risk_report_from_message(message: risk_pb2.CalculateOnlyResponse) -> RiskReport:
    """The report that a message carries."""
    return RiskReport(
        metric_values=dict(message.metric_values),
        unavailable=dict(message.unavailable),
        risk_score=message.risk_score if message.HasField("risk_score") else None,
        penalty=message.penalty if message.HasField("penalty") else None,
        unchecked_limits=tuple(message.unchecked_limits),
        notes=dict(message.notes),
        policy_digest=message.policy_digest,
    )


def _array(values: Sequence[float]) -> FloatArray:
    return np.array(values, dtype=np.float64)


def _columns(messages: Iterable[Any], fields: _Pair) -> tuple[FloatArray, FloatArray]:
    """Two fields of a list of messages, in one pass over them: every call comes through here."""
    first, second = fields
    items = list(messages)
    flat = np.array([*map(first, items), *map(second, items)], dtype=np.float64)
    return flat[: len(items)], flat[len(items) :]


def _levels(prices: FloatArray, sizes: FloatArray) -> list[risk_pb2.BookLevel]:
    return [
        risk_pb2.BookLevel(price=price, size=size)
        for price, size in zip(prices.tolist(), sizes.tolist(), strict=True)
    ]


def _book(message: risk_pb2.OrderBook) -> OrderBook:
    return OrderBook(*_columns(message.bids, _LEVEL_FIELDS), *_columns(message.asks, _LEVEL_FIELDS))


def _books(messages: Mapping[str, risk_pb2.OrderBook]) -> dict[str, OrderBook]:
    return {symbol: _book(message) for symbol, message in messages.items()}


def _positions(messages: Iterable[risk_pb2.Position]) -> tuple[Position, ...]:
    return tuple(Position(item.symbol, item.quantity, item.price) for item in messages)


def _options(messages: Iterable[risk_pb2.OptionPosition]) -> tuple[OptionPosition, ...]:
    return tuple(_option_from_message(index, item) for index, item in enumerate(messages))


def _option_to_message(option: OptionPosition) -> risk_pb2.OptionPosition:
    return risk_pb2.OptionPosition(
        symbol=option.symbol,
        kind=risk_pb2.OptionKind.ValueType(_KIND_NUMBERS[option.kind]),
        quantity=option.quantity,
        multiplier=option.multiplier,
        underlying_price=option.underlying_price,
        strike=option.strike,
        years_to_expiry=option.years_to_expiry,
        on_expiry=option.years_to_expiry == 0.0,
        volatility=option.volatility,
        risk_free_rate=option.risk_free_rate,
        dividend_yield=option.dividend_yield,
    )


def _option_from_message(index: int, message: risk_pb2.OptionPosition) -> OptionPosition:
    kind = _KINDS.get(message.kind)
    if kind is None:
        violation = FieldViolation(f"options[{index}].kind", "must be CALL or PUT")
        raise RiskInputError("risk inputs are refused", [violation])
    return OptionPosition(
        symbol=message.symbol,
        kind=kind,
        quantity=message.quantity,
        multiplier=message.multiplier,
        underlying_price=message.underlying_price,
        strike=message.strike,
        # A number that was left out is 0 on the wire, which is not the day of the expiry.
        years_to_expiry=message.years_to_expiry or (0.0 if message.on_expiry else nan),
        volatility=message.volatility,
        risk_free_rate=message.risk_free_rate,
        dividend_yield=message.dividend_yield,
    )


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "portfolio_values": _array,
    "timestamps": _array,
    "returns": _array,
    "positions": _positions,
    "price_changes": _array,
    "order_flows": _array,
    "order_books": _books,
    "feed_timestamps": dict,
    "order_latencies_us": _array,
    "average_daily_volumes": dict,
    "options": _options,
    **dict.fromkeys(SCALARS, float),
}
"""How a field of the message becomes the field of RiskInputs of the same name."""
