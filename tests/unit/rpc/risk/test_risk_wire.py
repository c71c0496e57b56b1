"""Requests read by the kernel: whatever the bytes are, the inputs are those that protobuf reads."""

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numba.core.dispatcher import Dispatcher

from tradewind.api.risk.v1 import risk_pb2
from tradewind.errors import RiskInputError
from tradewind.risk import RiskAgentV2, RiskInputs, RiskPolicy
from tradewind.rpc.risk import risk_scan, wire
from tradewind.rpc.risk.risk_answer import AnswerWriter
from tradewind.rpc.risk.risk_codec import risk_inputs_from_message, risk_report_to_message
from tradewind.rpc.risk.risk_wire import RiskRequest, request_decoder

DECODERS: dict[type[Any], Callable[[bytes], RiskRequest[Any]]] = {
    message: request_decoder(message)
    for message in (
        risk_pb2.CalculateOnlyRequest,
        risk_pb2.CalculateStreamRequest,
        risk_pb2.EvaluateRequest,
    )
}
SCENARIO = {"price_shocks": {"BTC": -0.4, "S": 0.1}, "other_price_shock": -0.5}
AGENT = RiskAgentV2(
    RiskPolicy.parse(
        {
            "calculators": {"stress": {"scenarios": {"fall": SCENARIO}}},
            "limits": {"max_drawdown": {"limit": 0.1}, "stress_loss": {"limit": 0.5}},
        }
    )
)
STRANGE = [0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, 1e300]

number = st.sampled_from(STRANGE) | st.floats(0.5, 200.0)
price = st.floats(0.5, 200.0)
symbol = st.sampled_from(["BTC", "ETH", "S", "", "x" * risk_scan.LONGEST_NAME])
level = st.builds(risk_pb2.BookLevel, price=price, size=price)
numbers = st.lists(number, max_size=12)


def message_of(kind: type[Any], values: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    """Any message of text and numbers, each of them given or left out."""
    chosen = {
        field.name: symbol if field.type == field.TYPE_STRING else values
        for field in kind.DESCRIPTOR.fields
        if field.type not in (field.TYPE_ENUM, field.TYPE_BOOL)
    }
    needed = {"kind": st.sampled_from([1, 2])} if kind is risk_pb2.OptionPosition else {}
    return st.fixed_dictionaries(needed, optional=chosen).map(lambda given: kind(**given))


@st.composite
def inputs_messages(draw: st.DrawFn) -> risk_pb2.RiskInputs:
    """Inputs as encoders write them, without two things of one name."""
    count, flows = draw(st.sampled_from([0, 1, 30])), draw(st.sampled_from([0, 1, 30]))
    seed = draw(st.integers(0, 1_000))
    rng = np.random.default_rng(seed)
    book = st.builds(
        risk_pb2.OrderBook, bids=st.lists(level, max_size=3), asks=st.lists(level, max_size=3)
    )
    position = message_of(risk_pb2.Position, number)
    return risk_pb2.RiskInputs(
        portfolio_values=rng.uniform(90.0, 110.0, count),
        timestamps=np.arange(count) * 60.0 if draw(st.booleans()) else [],
        start_of_day_value=draw(st.none() | number),
        returns=draw(numbers),
        trades=draw(st.lists(message_of(risk_pb2.Trade, number), max_size=3)),
        capital_base=draw(st.none() | number),
        positions=draw(st.lists(position, max_size=3, unique_by=lambda item: item.symbol)),
        price_changes=rng.normal(size=flows),
        order_flows=rng.normal(size=flows),
        order_books=draw(st.dictionaries(symbol, book, max_size=3)),
        feed_timestamps=draw(st.dictionaries(symbol, number, max_size=3)),
        now=draw(st.none() | number),
        order_latencies_us=draw(numbers),
        average_daily_volumes=draw(st.dictionaries(symbol, number, max_size=3)),
        options=draw(st.lists(message_of(risk_pb2.OptionPosition, number), max_size=3)),
        periods_per_year=draw(st.none() | number),
    )


def bits(inputs: RiskInputs) -> dict[str, Any]:
    """Inputs in which equal means equal to the last bit, NaN and the sign of zero included."""

    def of(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return value.tobytes()
        if isinstance(value, float):
            return np.float64(value).tobytes()
        if isinstance(value, dict):
            return {name: of(item) for name, item in value.items()}
        if isinstance(value, tuple):
            return [of(item) for item in value]
        if hasattr(value, "__dataclass_fields__"):
            return {field.name: of(getattr(value, field.name)) for field in fields(value)}
        return value

    found: dict[str, Any] = of(inputs)
    return found


def outcome(read: Callable[[], tuple[Any, RiskInputs]]) -> Any:
    """What came of reading: the request beside its inputs and these to the bit, or the error."""
    try:
        message, inputs = read()
    except DecodeError:
        return "no message"
    except RiskInputError as refused:
        return refused.violations
    beside = type(message)()
    beside.CopyFrom(message)
    beside.ClearField(beside.DESCRIPTOR.fields_by_number[1].name)
    return beside.SerializeToString(deterministic=True), bits(inputs)


def by_kernel(kind: type[Any], data: bytes) -> Any:
    def read() -> tuple[Any, RiskInputs]:
        request = DECODERS[kind](data)
        return request.message, request.inputs()

    return outcome(read)


def by_protobuf(kind: type[Any], data: bytes) -> Any:
    def read() -> tuple[Any, RiskInputs]:
        message = kind.FromString(data)
        name = kind.DESCRIPTOR.fields_by_number[1].name
        return message, risk_inputs_from_message(getattr(message, name))

    return outcome(read)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(message=inputs_messages(), request_id=symbol)
def test_request_with_any_inputs_is_scanned_to_the_bits_that_protobuf_reads(
    message: risk_pb2.RiskInputs, request_id: str
) -> None:
    order = risk_pb2.IntendedOrder(symbol="BTC", quantity=1.0)
    for kind, beside in (
        (risk_pb2.CalculateOnlyRequest, {"request_id": request_id}),
        (risk_pb2.EvaluateRequest, {"account": request_id, "intended_order": order}),
    ):
        data = kind(inputs=message, **beside).SerializeToString()
        has_times = len(message.timestamps) in (0, len(message.portfolio_values))
        assert (DECODERS[kind](data).scanned is not None) == has_times
        assert by_kernel(kind, data) == by_protobuf(kind, data)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(message=inputs_messages())
def test_calculation_with_scanned_arrays_answers_as_with_inputs(
    message: risk_pb2.RiskInputs,
) -> None:
    data = risk_pb2.CalculateOnlyRequest(inputs=message).SerializeToString()
    scanned = DECODERS[risk_pb2.CalculateOnlyRequest](data).scanned
    assert scanned is not None
    report, refused = None, None
    try:
        report = AGENT.calculate_only(scanned.inputs())
    except RiskInputError as error:
        refused = error
    if report is None:
        assert refused is not None
        with pytest.raises(RiskInputError) as caught:
            AGENT.calculate_arrays(scanned.arrays(), scanned.names(), scanned.inputs)
        assert caught.value.violations == refused.violations
        return
    calculation = AGENT.calculate_arrays(scanned.arrays(), scanned.names(), scanned.inputs)
    expected = risk_report_to_message(report, compute_ns=7, request_id="r")
    for _ in range(3):  # from the second time on, the writer knows the shape of the answer
        answer = WRITER.write(calculation, compute_ns=7, request_id="r")
        assert risk_pb2.CalculateOnlyResponse.FromString(answer) == expected
    for kind, name in ((STREAMED, "result"), (EVALUATED, "metrics")):
        field = kind.DESCRIPTOR.fields_by_name[name].number
        nested = WRITER.write_nested(calculation, compute_ns=7, request_id="r", field=field)
        assert getattr(kind.FromString(nested), name) == expected


STREAMED, EVALUATED = risk_pb2.CalculateStreamResponse, risk_pb2.EvaluateResponse
WRITER = AnswerWriter()
PLAIN = risk_pb2.RiskInputs(
    portfolio_values=[100.0, 90.0],
    timestamps=[1.0, 2.0],
    trades=[risk_pb2.Trade(timestamp=1.0, notional=2.0)],
    positions=[risk_pb2.Position(symbol="BTC", quantity=1.0, price=2.0)],
    order_books={"BTC": risk_pb2.OrderBook(bids=[risk_pb2.BookLevel(price=1.0, size=2.0)])},
    options=[risk_pb2.OptionPosition(symbol="BTC", kind=risk_pb2.OPTION_KIND_PUT)],
    feed_timestamps={"BTC": 1.0},
    now=2.0,
)
DOUBLE = b"\0\0\0\0\0\0\xf0\x3f"  # 1.0
UNUSUAL = {
    "no inputs": b"",
    "an unpacked series": b"\x0a\x09\x09" + DOUBLE,
    "a series in two pieces": b"\x0a\x14" + 2 * (b"\x0a\x08" + DOUBLE),
    "a series of nine bytes": b"\x0a\x0b\x0a\x09" + DOUBLE + b"\0",
    "inputs twice": 2 * (b"\x0a\x0a\x0a\x08" + DOUBLE),
    "a field of another type": b"\x0a\x02\x18\x01",
    "a position twice": b"\x0a\x04\x3a\x00\x3a\x00",
    "a feed twice": b"\x0a\x1a" + 2 * (b"\x5a\x0b\x0a\x00\x11" + DOUBLE[:8]),
    "a volume twice": b"\x0a\x04\x72\x00\x72\x00",
    "an unknown field in a trade": b"\x0a\x04\x2a\x02\x18\x01",
    "an unknown field of the inputs": b"\x0a\x03\x80\x01\x01",
    "an option on its expiry": b"\x0a\x06\x7a\x04\x10\x01\x58\x01",
    "a book without levels": b"\x0a\x05\x52\x03\x0a\x01A",
    "a book with two values": b"\x0a\x0a\x52\x08\x12\x02\x0a\x00\x12\x02\x12\x00",
    "a symbol beyond ASCII": b"\x0a\x06\x3a\x04\x0a\x02" + "Ω".encode(),
    "a symbol that is no text": b"\x0a\x05\x3a\x03\x0a\x01\xff",
    "a length of five bytes": b"\x0a\x8a\x80\x80\x80\x00\x0a\x08" + DOUBLE,
    "an option without a kind": b"\x0a\x02\x7a\x00",
    "a group": b"\x0a\x02\x0b\x0c",
    "field number 0": b"\x0a\x02\x02\x00",
    "lengths past the end": b"\x0a\x04\x0a\x08\0\0",
    "a length without an end": b"\x0a\xff\xff",
    "times of another number": b"\x0a\x0c\x0a\x00\x12\x08" + DOUBLE,
    "flows of another number": b"\x0a\x0a\x4a\x08" + DOUBLE,
    "two hundred feeds": risk_pb2.CalculateOnlyRequest(
        inputs=risk_pb2.RiskInputs(feed_timestamps={str(n): float(n) for n in range(200)})
    ).SerializeToString(),
    "a name of 257 characters": risk_pb2.CalculateOnlyRequest(
        inputs=risk_pb2.RiskInputs(feed_timestamps={"x" * (risk_scan.LONGEST_NAME + 1): 1.0})
    ).SerializeToString(),
}


@pytest.mark.parametrize("data", UNUSUAL.values(), ids=UNUSUAL)
@pytest.mark.parametrize("kind", DECODERS)
def test_request_of_an_unusual_form_is_left_to_protobuf(kind: type[Any], data: bytes) -> None:
    layout = risk_scan.scan_request(data)[1]
    assert layout.size == 0
    assert by_kernel(kind, data) == by_protobuf(kind, data)


@st.composite
def broken_requests(draw: st.DrawFn) -> bytes:
    """The bytes of a request with a few of them changed, cut out, doubled or cut off."""
    data = bytearray(risk_pb2.EvaluateRequest(inputs=PLAIN, account="a").SerializeToString())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        size = draw(st.integers(0, 6))
        how = draw(st.sampled_from(["change", "change", "remove", "repeat", "cut"]))
        if how == "change" and data:
            data[at] = draw(st.sampled_from([0, 1, 2, 8, 9, 10, 17, 18, 0x7F, 0x80, 0xFF]))
        elif how == "remove":
            del data[at : at + size]
        elif how == "repeat":
            data[at:at] = data[at : at + size]
        else:
            del data[len(data) - size :]
    return bytes(data)


@settings(max_examples=600)
@given(data=broken_requests() | st.binary(max_size=40))
def test_request_with_broken_bytes_comes_to_what_protobuf_makes_of_it(data: bytes) -> None:
    assert by_kernel(risk_pb2.EvaluateRequest, data) == by_protobuf(risk_pb2.EvaluateRequest, data)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=broken_requests() | st.binary(max_size=40))
def test_scan_with_broken_bytes_never_reaches_beyond_them(
    monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    # The kernel's source, uncompiled, on arrays whose bounds NumPy checks.
    for module in (wire, risk_scan):
        for name, kernel in list(vars(module).items()):
            if isinstance(kernel, Dispatcher):
                monkeypatch.setattr(module, name, kernel.py_func)
    with np.errstate(all="ignore"):
        layout = risk_scan.scan_request(data)[1]
    monkeypatch.undo()
    assert layout.tolist() == risk_scan.scan_request(data)[1].tolist()
