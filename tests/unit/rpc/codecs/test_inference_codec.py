"""What the inference service says over the wire: the same values on both sides."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.api.inference.v1 import inference_pb2
from tradewind.bundle import BoxSpace, DiscreteSpace
from tradewind.errors import RpcError
from tradewind.rpc.codecs.inference import (
    LATENCY_REPORT,
    SHADOW_ANSWER,
    SPACE,
    read_listing,
    write_listing,
)
from tradewind.serving import (
    LatencyReport,
    PolicyListing,
    PolicyVersion,
    QuarantinedVersion,
    Rollback,
    Routing,
    RoutingVariant,
    ShadowAnswer,
    VariantBounds,
    VariantState,
)

texts = st.text(max_size=8)
counts = st.integers(0, 2**31 - 1)
numbers = st.floats(allow_nan=False)
shares = st.floats(0.01, 0.99)
actions = st.lists(numbers, max_size=3).map(tuple)
boxes = st.sampled_from(
    [
        BoxSpace(shape=(2,)),
        BoxSpace.from_bounds((2, 2), -1.0, 1.0),
        BoxSpace.from_bounds((2,), np.array([-1.0, -math.inf]), np.array([1.0, 2.5])),
    ]
)
versions = st.builds(
    PolicyVersion,
    observation_space=boxes,
    action_space=boxes | st.builds(DiscreteSpace, n=st.integers(2, 9)),
    labels=st.lists(texts, max_size=2).map(tuple),
    loaded_at=numbers,
)
bounds = st.builds(
    VariantBounds,
    window_calls=st.integers(1, 100),
    percentile=st.floats(1.0, 99.0),
    model_compute_us=st.none() | shares,
    error_share=st.none() | shares,
    max_drawdown=st.none() | shares,
    expected_shortfall_95=st.none() | shares,
)
variants = st.builds(
    RoutingVariant,
    policy=st.sampled_from(["a", "b"]),
    weight=shares,
    share=shares,
    state=st.sampled_from(VariantState),
    bounds=st.none() | bounds,
    answer_count=counts,
    failure_count=counts,
    reinstated_at=numbers,
)
routings = st.builds(
    Routing,
    # Policy by policy, as the service has them.
    variants=st.lists(variants, max_size=4).map(
        lambda some: tuple(sorted(some, key=lambda one: one.policy))
    ),
    rollbacks=st.lists(st.builds(Rollback, rolled_back_at=numbers), max_size=2).map(tuple),
)
listings = st.builds(
    PolicyListing,
    policy_versions=st.lists(versions, max_size=2).map(tuple),
    quarantined_versions=st.lists(
        st.builds(QuarantinedVersion, quarantined_at=numbers), max_size=2
    ).map(tuple),
    routing=routings,
)


def over_the_wire(message: Any) -> Any:
    return type(message).FromString(message.SerializeToString())


@given(listings)
def test_message_of_a_listing_reads_back_equal(listing: PolicyListing) -> None:
    assert read_listing(over_the_wire(write_listing(listing))) == listing


@pytest.mark.parametrize("with_batch", [True, False])
def test_message_of_a_latency_report_reads_back_equal(with_batch: bool) -> None:
    names = ["mean_us", "p50_us", "p90_us", "p99_us", "p999_us", "p9999_us"]
    times: Any = dict.fromkeys(names, 1.5)
    rest: Any = {"max_us": 9.0, "slo_violation_count": 1, "slo_us": 100.0}
    make: Any = partial(LatencyReport, "p", "1", 3, **times, **rest)
    report = make(batch=make() if with_batch else None)
    assert LATENCY_REPORT.read(over_the_wire(LATENCY_REPORT.write(report))) == report


@given(
    st.builds(
        ShadowAnswer,
        row_count=counts,
        differing_row_count=counts,
        answered_at=numbers,
        actions=actions,
        shadow_actions=actions,
    )
)
def test_message_of_a_shadow_answer_reads_back_equal(answer: ShadowAnswer) -> None:
    assert SHADOW_ANSWER.read(over_the_wire(SHADOW_ANSWER.write(answer))) == answer


def test_space_with_one_bound_for_all_is_one_number_on_the_wire() -> None:
    message = inference_pb2.Space(
        kind=inference_pb2.SPACE_KIND_BOX, shape=[6], low=[-10.0], high=[10.0] * 5 + [math.inf]
    )
    space = BoxSpace.from_bounds((6,), -10.0, np.array([10.0] * 5 + [math.inf]))
    assert SPACE.write(space) == message
    assert SPACE.read(message) == space


def test_state_of_a_newer_service_is_an_rpc_error() -> None:
    message = inference_pb2.ListPoliciesResponse()
    message.routing.policies.add(policy="p").variants.add(state=77)
    with pytest.raises(RpcError, match="state '77', unknown here"):
        read_listing(message)
