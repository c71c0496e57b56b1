"""CalculateOnly and CalculateStream give, to the last bit, what the library gives in a trainer."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tradewind.api.risk.v1 import risk_pb2
from tradewind.errors import RiskInputError
from tradewind.risk import Position, RiskAgentV2, RiskInputs, RiskReport
from tradewind.rpc import error_from_rpc
from tradewind.rpc.risk.risk_codec import risk_inputs_to_message, risk_report_from_message

DEFAULT_POLICY = Path(__file__).parents[3] / "config" / "risk_limits.yaml"
POLICIES = {
    "historical": "monitor_only: true",
    "cornish_fisher": "monitor_only: true\ncalculators: {var: {method: cornish_fisher}}",
}


def bits(report: RiskReport) -> dict[str, Any]:
    """A report with every number in hexadecimal: equal only when every bit is."""
    return {
        "values": {name: value.hex() for name, value in report.metric_values.items()},
        "unavailable": dict(report.unavailable),
        "score": None if report.risk_score is None else report.risk_score.hex(),
        "penalty": None if report.penalty is None else report.penalty.hex(),
        "unchecked": report.unchecked_limits,
        "notes": dict(report.notes),
        "digest": report.policy_digest,
    }


@pytest.fixture(scope="module")
def local(default_service: Any) -> RiskAgentV2:
    """An agent in this process, as a trainer has it, under the policy of the service."""
    agent = RiskAgentV2.from_yaml(DEFAULT_POLICY)
    assert default_service.policy().policy_digest == agent.policy_digest
    return agent


def over_rpc(service: Any, inputs: RiskInputs) -> RiskReport:
    return risk_report_from_message(service.calculate(risk_inputs_to_message(inputs)))


def test_calculate_only_with_real_bars_gives_every_metric_the_same_bits(
    default_service: Any, local: RiskAgentV2, real_account: Callable[..., RiskInputs]
) -> None:
    seen: set[str] = set()
    for start, count in [(0, 1), (0, 30), (500, 257), (9_000, 1_100), (20_000, 3_000)]:
        inputs = real_account(start, count)
        report = local.calculate_only(inputs)
        assert bits(over_rpc(default_service, inputs)) == bits(report)
        seen |= report.metric_values.keys()
    declared = {
        metric for calculator in local.policy.calculators.enabled() for metric in calculator.metrics
    }
    assert seen == declared


numbers = st.floats(width=64, allow_nan=True, allow_infinity=True)
series = hnp.arrays(np.float64, st.integers(0, 40), elements=numbers | st.floats(1.0, 1e6))


@settings(max_examples=150, deadline=None)
@given(
    values=series,
    returns=series,
    latencies=series,
    scalars=st.tuples(*[st.none() | numbers] * 3),
    positions=st.dictionaries(st.sampled_from("ABC"), st.tuples(numbers, numbers), max_size=3),
)
def test_calculate_only_with_any_numbers_gives_the_same_bits_or_the_same_refusal(
    default_service: Any,
    local: RiskAgentV2,
    values: np.ndarray[Any, Any],
    returns: np.ndarray[Any, Any],
    latencies: np.ndarray[Any, Any],
    scalars: tuple[float | None, float | None, float | None],
    positions: dict[str, tuple[float, float]],
) -> None:
    inputs = RiskInputs(
        portfolio_values=values,
        returns=returns,
        order_latencies_us=latencies,
        start_of_day_value=scalars[0],
        capital_base=scalars[1],
        now=scalars[2],
        positions=tuple(Position(symbol, *rest) for symbol, rest in positions.items()),
    )

    def answer(calculate: Callable[[RiskInputs], RiskReport]) -> Any:
        try:
            return bits(calculate(inputs))
        except RiskInputError as refused:
            return [
                (each.field.removeprefix("inputs."), each.description)
                for each in refused.violations
            ]

    def remotely(inputs: RiskInputs) -> RiskReport:
        try:
            return over_rpc(default_service, inputs)
        except grpc.RpcError as problem:
            raise error_from_rpc(problem) from None

    assert answer(remotely) == answer(local.calculate_only)


@pytest.mark.parametrize("policy", POLICIES)
def test_calculate_only_under_another_policy_gives_the_bits_of_that_policy(
    serve: Callable[..., Any], real_account: Callable[..., RiskInputs], policy: str, tmp_path: Any
) -> None:
    service = serve(POLICIES[policy])
    agent = RiskAgentV2.from_yaml(tmp_path / "policy.yaml")
    inputs = real_account(5_000, 1_050)
    assert bits(over_rpc(service, inputs)) == bits(agent.calculate_only(inputs))


SERIES = (
    "portfolio_values",
    "timestamps",
    "price_changes",
    "order_flows",
    "order_latencies_us",
    "trade_timestamps",
    "trade_notionals",
)


def until(account: RiskInputs, left: int) -> RiskInputs:
    """An account before the last elements of each series."""
    end = None if left == 0 else -left
    return replace(account, **{name: getattr(account, name)[:end] for name in SERIES})


def latest(account: RiskInputs) -> RiskInputs:
    """The last element of each series, and everything that is no series."""
    return replace(account, **{name: getattr(account, name)[-1:] for name in SERIES})


def test_calculate_stream_with_increments_gives_the_bits_of_the_whole(
    default_service: Any, local: RiskAgentV2, real_account: Callable[..., RiskInputs]
) -> None:
    account, bars = real_account(3_000, 1_100), 30
    wholes = [until(account, left) for left in range(bars, -1, -1)]
    increments = [wholes[0], *map(latest, wholes[1:])]
    requests = [
        risk_pb2.CalculateStreamRequest(
            increment=risk_inputs_to_message(increment), request_id=str(index)
        )
        for index, increment in enumerate(increments)
    ]
    answers = list(default_service.stub.CalculateStream(iter(requests), timeout=60))
    assert [answer.result.request_id for answer in answers] == [
        request.request_id for request in requests
    ]
    for whole, answer in zip(wholes, answers, strict=True):
        report = risk_report_from_message(answer.result)
        assert bits(report) == bits(local.calculate_only(whole))
    assert set(report.metric_values) == set(local.policy.calculators.metrics())


def test_calculate_stream_with_time_going_back_ends_with_the_field(default_service: Any) -> None:
    messages = [
        risk_pb2.CalculateStreamRequest(
            increment=risk_pb2.RiskInputs(portfolio_values=[100.0], timestamps=[time])
        )
        for time in (10.0, 5.0)
    ]
    answers = default_service.stub.CalculateStream(iter(messages), timeout=20)
    assert next(answers).result.policy_digest
    with pytest.raises(grpc.RpcError) as caught:
        next(answers)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "timestamps" in str(caught.value.details())


def test_calculate_stream_with_too_many_open_refuses_the_next_and_frees_its_place(
    serve: Callable[..., Any],
) -> None:
    service = serve(max_streams=1)
    release = threading.Event()

    def requests() -> Iterator[risk_pb2.CalculateStreamRequest]:
        yield risk_pb2.CalculateStreamRequest()
        release.wait(20)

    first = service.stub.CalculateStream(requests(), timeout=20)
    next(first)
    with pytest.raises(grpc.RpcError) as caught:
        next(service.stub.CalculateStream(iter([]), timeout=20))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    release.set()
    assert list(first) == []
    answers = service.stub.CalculateStream(iter([risk_pb2.CalculateStreamRequest()]), timeout=20)
    assert len(list(answers)) == 1
