"""Bad input over real gRPC: a named field or a reason, never a crash, a zero or a wrong action."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.api.risk.v1 import risk_pb2
from tradewind.risk import RiskInputs
from tradewind.rpc.risk.risk_codec import risk_inputs_to_message

NAN, INF = math.nan, math.inf
Level = risk_pb2.BookLevel


def book(bids: list[tuple[float, float]], asks: list[tuple[float, float]]) -> risk_pb2.OrderBook:
    return risk_pb2.OrderBook(
        bids=[Level(price=price, size=size) for price, size in bids],
        asks=[Level(price=price, size=size) for price, size in asks],
    )


def position(symbol: str, quantity: float = 1.0, price: float = 10.0) -> risk_pb2.Position:
    return risk_pb2.Position(symbol=symbol, quantity=quantity, price=price)


UNAVAILABLE = {
    "empty": ({}, "max_drawdown", "portfolio_values"),
    "one value": ({"portfolio_values": [1.0]}, "volatility", "returns"),
    "nan": ({"portfolio_values": [1.0, NAN]}, "max_drawdown", "portfolio_values[1]"),
    "infinity": ({"portfolio_values": [INF, 1.0]}, "max_drawdown", "portfolio_values[0]"),
    "value after a loss of everything": (
        {"portfolio_values": [1.0, 0.0] + [1.0] * 30},
        "volatility",
        "portfolio_values[1] is not positive",
    ),
    "negative value": ({"portfolio_values": [-1.0]}, "max_drawdown", "portfolio_values[0]"),
    "nan return": ({"returns": [0.1] * 30 + [NAN]}, "var_95", "returns[30]"),
    "zero capital": (
        {"positions": [position("BTC")], "capital_base": 0.0},
        "gross_leverage",
        "capital_base",
    ),
    "unknown symbol in books": (
        {"positions": [position("BTC")], "order_books": {"DOGE": book([(1, 1)], [(2, 1)])}},
        "depth_shock",
        "BTC",
    ),
    "unknown symbol in volumes": (
        {"positions": [position("BTC")], "average_daily_volumes": {"DOGE": 1.0}},
        "adv_participation",
        "BTC",
    ),
    "99.9 % on 100 returns": ({"returns": [0.01, -0.01] * 50}, "var_999", "1000 needed, 100"),
    "negative size": (
        {"positions": [position("BTC")], "order_books": {"BTC": book([(1, -1)], [(2, 1)])}},
        "depth_shock",
        "order_books['BTC'].bids[0].size is negative",
    ),
    "crossed book": (
        {"positions": [position("BTC")], "order_books": {"BTC": book([(3, 1)], [(2, 1)])}},
        "depth_shock",
        "order_books['BTC']: the best bid is above the best ask",
    ),
    "trade ahead of now": (
        {
            "trades": [risk_pb2.Trade(timestamp=9e4, notional=0.0)],
            "capital_base": 1.0,
            "now": 1.0,
        },
        "daily_turnover",
        "trades[0].timestamp is later than now",
    ),
    "nan notional": (
        {"trades": [risk_pb2.Trade(timestamp=1.0, notional=NAN)], "capital_base": 1.0},
        "hourly_turnover",
        "trades[0].notional is not finite",
    ),
    "unsorted trades": (
        {
            "trades": [risk_pb2.Trade(timestamp=t, notional=1.0) for t in (2.0, 1.0)],
            "capital_base": 1.0,
        },
        "daily_turnover",
        "trades[1].timestamp is earlier than that of the trade before it",
    ),
    "a trade without a time": (
        {"trades": [risk_pb2.Trade(timestamp=NAN, notional=1.0)], "capital_base": 1.0},
        "daily_turnover",
        "trades[0].timestamp is not finite",
    ),
    "no feed": ({"now": 5.0}, "max_feed_staleness_ms", "feed_timestamps"),
}

REFUSED = {
    "unsorted timestamps": (
        {"portfolio_values": [1.0, 2.0], "timestamps": [2.0, 1.0]},
        "inputs.timestamps[1]",
    ),
    "mismatched timestamps": (
        {"portfolio_values": [1.0, 2.0], "timestamps": [1.0]},
        "inputs.timestamps",
    ),
    "mismatched flows": ({"price_changes": [1.0, 2.0], "order_flows": [1.0]}, "inputs.order_flows"),
    "option without a kind": (
        {"options": [risk_pb2.OptionPosition(symbol="BTC", quantity=1.0)]},
        "inputs.options[0].kind",
    ),
    "a symbol twice": ({"positions": [position("BTC"), position("BTC")]}, "inputs.positions[1]"),
    "too many values": ({"portfolio_values": [1.0] * 100_001}, "inputs.portfolio_values"),
}


def test_option_on_its_expiry_is_one_that_says_so(default_service: Any) -> None:
    option = risk_pb2.OptionPosition(
        symbol="BTC",
        kind=risk_pb2.OPTION_KIND_CALL,
        quantity=2.0,
        multiplier=1.0,
        underlying_price=120.0,
        strike=100.0,
    )
    answer = default_service.calculate(risk_pb2.RiskInputs(options=[option]))
    assert answer.unavailable["net_delta"] == "options[0].years_to_expiry is not finite"
    option.on_expiry = True
    answer = default_service.calculate(risk_pb2.RiskInputs(options=[option]))
    assert answer.metric_values["net_delta"] == 2.0


@pytest.mark.parametrize(("fields", "metric", "reason"), UNAVAILABLE.values(), ids=UNAVAILABLE)
def test_calculate_with_unusable_input_makes_the_metric_unavailable_with_a_reason(
    default_service: Any, fields: dict[str, Any], metric: str, reason: str
) -> None:
    answer = default_service.calculate(risk_pb2.RiskInputs(**fields))
    assert metric not in answer.metric_values
    assert reason in answer.unavailable[metric]


@pytest.mark.parametrize(("fields", "field"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("method", ["calculate", "evaluate"])
def test_call_with_contradictory_input_names_the_field(
    default_service: Any,
    field_violations: Callable[[grpc.RpcError], dict[str, str]],
    method: str,
    fields: dict[str, Any],
    field: str,
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        getattr(default_service, method)(risk_pb2.RiskInputs(**fields))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert any(name.startswith(field) for name in field_violations(caught.value))


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"symbol": "", "quantity": 1.0, "price": 1.0}, ["symbol: required"]),
        ({"symbol": "BTC", "quantity": 0.0, "price": 1.0}, ["quantity: must be finite and not"]),
        ({"symbol": "BTC", "quantity": NAN, "price": 1.0}, ["quantity: must be finite and not"]),
        ({"symbol": "BTC", "quantity": 1.0, "price": -INF}, ["price: must be finite and positive"]),
        ({"symbol": "", "quantity": 1.0, "price": 0.0}, ["symbol: required", "price: must be"]),
    ],
)
def test_evaluate_with_an_impossible_order_blocks_it_and_still_halts_the_account(
    serve: Callable[..., Any], fields: dict[str, Any], wrong: list[str]
) -> None:
    service = serve("rules: [{name: r, when: {metric: max_drawdown, over: 0.2}, action: HALT}]\n")
    order = risk_pb2.IntendedOrder(**fields)
    calm = risk_pb2.RiskInputs(portfolio_values=[1.0, 1.0])
    answer = service.evaluate(calm, intended_order=order)
    assert (answer.action, answer.halt.halted) == (risk_pb2.ACTION_BLOCK, False)
    assert not answer.pre_trade.HasField("allowed_quantity")
    for field in wrong:
        assert f"intended_order.{field}" in answer.pre_trade.unavailable["pre_trade.order_notional"]
    crashed = risk_pb2.RiskInputs(portfolio_values=[1.0, 0.5])
    assert service.evaluate(crashed, intended_order=order).action == risk_pb2.ACTION_HALT
    assert service.evaluate(calm).halt.rule == "r"
    recorded = [decision.action for decision in service.all_decisions()]
    assert recorded == [risk_pb2.ACTION_BLOCK, risk_pb2.ACTION_HALT, risk_pb2.ACTION_HALT]


JUNK = {
    "a trade out of order": {
        "trades": [risk_pb2.Trade(timestamp=t, notional=1.0) for t in (2.0, 1.0)]
    },
    "a trade without a time": {"trades": [risk_pb2.Trade(timestamp=NAN, notional=1.0)]},
    "a book of a symbol that is not held": {"order_books": {"X": book([(3, -1)], [(NAN, INF)])}},
    "a feed without a time": {"feed_timestamps": {"a": NAN}},
    "junk orders": {"price_changes": [NAN], "order_flows": [INF], "order_latencies_us": [-1.0]},
    "a junk option": {
        "options": [risk_pb2.OptionPosition(symbol="X", kind=risk_pb2.OPTION_KIND_PUT, strike=NAN)]
    },
    "a junk position": {"positions": [position("X", NAN, -1.0)]},
    "junk numbers": {"capital_base": NAN, "now": INF, "periods_per_year": -1.0},
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_evaluate_with_junk_that_a_halt_does_not_depend_on_halts(
    serve: Callable[..., Any], junk: dict[str, Any]
) -> None:
    service = serve("rules: [{name: r, when: {metric: max_drawdown, over: 0.2}, action: HALT}]\n")
    answer = service.evaluate(risk_pb2.RiskInputs(portfolio_values=[1.0, 0.5], **junk))
    assert answer.action == risk_pb2.ACTION_HALT
    calm = risk_pb2.RiskInputs(portfolio_values=[1.0, 1.0])
    assert service.evaluate(calm).halt == answer.halt


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"account": "no/such name"}, {"account"}),
        ({"account": "x" * 65}, {"account"}),
        ({"request_id": "x" * 1025}, {"request_id"}),
    ],
)
def test_evaluate_with_a_bad_name_names_the_field(
    default_service: Any,
    field_violations: Callable[[grpc.RpcError], dict[str, str]],
    fields: dict[str, str],
    wrong: set[str],
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        default_service.evaluate(risk_pb2.RiskInputs(), **fields)
    assert set(field_violations(caught.value)) == wrong


def test_call_with_ten_million_values_is_refused_before_it_is_read(default_service: Any) -> None:
    huge = risk_pb2.RiskInputs(portfolio_values=[1.0] * 10_000_000)
    with pytest.raises(grpc.RpcError) as caught:
        default_service.calculate(huge)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert default_service.calculate(risk_pb2.RiskInputs()).policy_digest


def test_calculate_with_moments_outside_the_cornish_fisher_domain_says_what_it_did(
    serve: Callable[..., Any],
) -> None:
    service = serve("monitor_only: true\ncalculators: {var: {method: cornish_fisher}}")
    crash = [0.01, -0.01] * 30 + [-0.9]
    answer = service.calculate(risk_pb2.RiskInputs(returns=crash))
    assert answer.metric_values["var_95"] > 0.0
    assert "Cornish–Fisher" in answer.notes["var_95"]


def test_evaluate_with_more_accounts_than_memory_keeps_refuses_none_and_forgets_no_halt(
    serve: Callable[..., Any],
) -> None:
    rules = "rules: [{name: r, when: {metric: max_drawdown, over: 0.2}, action: HALT}]\n"
    service = serve(rules, max_accounts=3)
    calm = risk_pb2.RiskInputs(portfolio_values=[1.0, 1.0])
    crashed = risk_pb2.RiskInputs(portfolio_values=[1.0, 0.5])
    halted = service.evaluate(crashed, account="halted").halt
    for number in range(30):
        inputs = crashed if number % 2 else calm
        service.evaluate(inputs, account=f"junk-{number}")
    assert service.evaluate(calm, account="genuine").action == risk_pb2.ACTION_ALLOW
    again = service.evaluate(calm, account="halted")
    assert (again.action, again.halt) == (risk_pb2.ACTION_HALT, halted)
    service.stop()
    service = serve(rules, max_accounts=3)
    assert service.evaluate(calm, account="halted").halt == halted
    assert service.evaluate(calm, account="junk-1").action == risk_pb2.ACTION_HALT
    assert service.evaluate(calm, account="junk-2").action == risk_pb2.ACTION_ALLOW
    for number in range(30):
        service.evaluate(calm, account=f"more-{number}")
    service.resume("halted")
    assert service.evaluate(calm, account="halted").action == risk_pb2.ACTION_ALLOW


number = st.floats(allow_nan=True, allow_infinity=True) | st.floats(1.0, 1e6)
numbers = st.lists(number, max_size=12)
symbol = st.sampled_from(["BTC", "ETH", "", "a\0b", "Ω"])
level = st.builds(risk_pb2.BookLevel, price=number, size=number)
order_book = st.builds(
    risk_pb2.OrderBook, bids=st.lists(level, max_size=4), asks=st.lists(level, max_size=4)
)
option = st.builds(
    risk_pb2.OptionPosition,
    symbol=symbol,
    kind=st.sampled_from([0, 1, 2, 77]),
    quantity=number,
    multiplier=number,
    underlying_price=number,
    strike=number,
    years_to_expiry=number,
    volatility=number,
    risk_free_rate=number,
    dividend_yield=number,
)
any_inputs = st.builds(
    risk_pb2.RiskInputs,
    portfolio_values=numbers,
    timestamps=st.just([]) | numbers | numbers.map(sorted),
    start_of_day_value=st.none() | number,
    returns=numbers,
    trades=st.lists(st.builds(risk_pb2.Trade, timestamp=number, notional=number), max_size=4),
    capital_base=st.none() | number,
    positions=st.lists(
        st.builds(risk_pb2.Position, symbol=symbol, quantity=number, price=number), max_size=3
    ),
    price_changes=numbers,
    order_flows=numbers,
    order_books=st.dictionaries(symbol, order_book, max_size=2),
    feed_timestamps=st.dictionaries(symbol, number, max_size=2),
    now=st.none() | number,
    order_latencies_us=numbers,
    average_daily_volumes=st.dictionaries(symbol, number, max_size=2),
    options=st.lists(option, max_size=2),
)
any_order = st.none() | st.builds(
    risk_pb2.IntendedOrder, symbol=symbol, quantity=number, price=number
)


@settings(max_examples=300, deadline=None)
@given(inputs=any_inputs, intended_order=any_order)
def test_evaluate_with_anything_answers_soundly_or_names_a_field(
    default_service: Any,
    field_violations: Callable[[grpc.RpcError], dict[str, str]],
    inputs: risk_pb2.RiskInputs,
    intended_order: risk_pb2.IntendedOrder | None,
) -> None:
    try:
        answer = default_service.evaluate(inputs, intended_order=intended_order, account="fuzz")
    except grpc.RpcError as problem:
        error = problem
    else:
        check_answer(answer)
        return
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, error.details()
    assert field_violations(error)


def check_answer(answer: risk_pb2.EvaluateResponse) -> None:
    metrics = answer.metrics
    assert not metrics.metric_values.keys() & metrics.unavailable.keys()
    assert all(math.isfinite(value) for value in metrics.metric_values.values())
    assert all(metrics.unavailable.values())
    demanded = [breach.action for breach in answer.breaches if not breach.shadow]
    halt = [answer.halt.action] if answer.halt.halted else []
    assert answer.action == max([risk_pb2.ACTION_ALLOW, *demanded, *halt])
    for breach in answer.breaches:
        assert breach.HasField("value") == breach.HasField("headroom")
        if breach.HasField("value"):
            # The rule of a window may still hold when the last evaluation was fine.
            assert breach.value > breach.limit or "in the last" in breach.reason
        else:
            assert breach.reason
    # The shipped policy limits max_drawdown: unless it is known to be fine, nothing is allowed.
    if "max_drawdown" not in metrics.metric_values:
        assert answer.action >= risk_pb2.ACTION_BLOCK


SERVICE = "/tradewind.api.risk.v1.RiskService/"
REQUESTS: dict[str, type[Message]] = {
    "CalculateOnly": risk_pb2.CalculateOnlyRequest,
    "Evaluate": risk_pb2.EvaluateRequest,
    "GetRiskPolicy": risk_pb2.GetRiskPolicyRequest,
    "ListDecisions": risk_pb2.ListDecisionsRequest,
    "Resume": risk_pb2.ResumeRequest,
}


@pytest.fixture(scope="module")
def raw_channel(default_service: Any) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(default_service.process.address) as channel:
        yield channel


@pytest.fixture(scope="module")
def real_request(real_account: Callable[..., RiskInputs]) -> bytes:
    """A request with everything in it, to be damaged; its inputs are field 1 of all that do."""
    account = real_account(500, 10)
    account = replace(account, order_latencies_us=account.order_latencies_us[:10])
    order = risk_pb2.IntendedOrder(symbol="BTC", quantity=1.0, price=1e4)
    return risk_pb2.EvaluateRequest(
        inputs=risk_inputs_to_message(account), account="raw", intended_order=order
    ).SerializeToString()


@st.composite
def damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Changes a few bytes of a message, cuts some out, repeats some, or cuts off its end."""
    places = st.floats(0.0, 1.0, exclude_max=True)
    changes = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["change", "change", "remove", "repeat", "cut"]),
                # Half of them near the start, where the tags and the lengths of the request are.
                places | places.map(lambda place: place * 0.02),
                st.binary(min_size=1, max_size=9),
            ),
            min_size=1,
            max_size=4,
        )
    )

    def damage(message: bytes) -> bytes:
        for how, place, data in changes:
            at = int(place * len(message))
            before, span, after = message[:at], message[at:][: len(data)], message[at + len(data) :]
            message = {
                "change": before + data + after,
                "remove": before + after,
                "repeat": before + span + span + after,
                "cut": before,
            }[how]
        return message

    return damage


def check_outcome(
    send: Callable[[], bytes],
    request: type[Message],
    data: bytes,
    field_violations: Callable[[grpc.RpcError], dict[str, str]],
) -> None:
    """What no protobuf message is has gRPC's own status for that; else, a field or an answer."""
    try:
        request.FromString(data)
        is_message = True
    except DecodeError:
        is_message = False
    try:
        answer = send()
    except grpc.RpcError as problem:
        error = problem
    else:
        assert is_message
        if request is risk_pb2.EvaluateRequest:
            check_answer(risk_pb2.EvaluateResponse.FromString(answer))
        return
    if not is_message:
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert error.details() == "the message is not one that the method takes"
    else:
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, error.details()
        assert field_violations(error)


@settings(max_examples=250, deadline=None)
@given(
    method=st.sampled_from(["CalculateOnly", "Evaluate", "Evaluate", *REQUESTS]),
    data=st.binary(max_size=200) | damages(),
)
def test_call_with_malformed_bytes_has_a_clean_status_and_the_service_goes_on(
    default_service: Any,
    raw_channel: grpc.Channel,
    real_request: bytes,
    field_violations: Callable[[grpc.RpcError], dict[str, str]],
    method: str,
    data: bytes | Callable[[bytes], bytes],
) -> None:
    sent = data if isinstance(data, bytes) else data(real_request)
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = raw_channel.unary_unary(SERVICE + method)
    check_outcome(lambda: call(sent, timeout=20), REQUESTS[method], sent, field_violations)
    assert default_service.calculate(risk_pb2.RiskInputs(portfolio_values=[2.0, 1.0])).metric_values


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=200) | damages())
def test_stream_with_malformed_bytes_ends_cleanly_and_the_service_goes_on(
    raw_channel: grpc.Channel,
    real_request: bytes,
    field_violations: Callable[[grpc.RpcError], dict[str, str]],
    data: bytes | Callable[[bytes], bytes],
) -> None:
    request = risk_pb2.CalculateStreamRequest
    sent = data if isinstance(data, bytes) else data(real_request)
    call: grpc.StreamStreamMultiCallable[bytes, bytes] = raw_channel.stream_stream(
        SERVICE + "CalculateStream"
    )
    good = request(increment=risk_pb2.RiskInputs(portfolio_values=[1.0])).SerializeToString()
    answers = call(iter([good, sent]), timeout=20)
    assert next(answers)
    check_outcome(lambda: next(answers), request, sent, field_violations)
    answers.cancel()
    assert len(list(call(iter([good, good]), timeout=20))) == 2
