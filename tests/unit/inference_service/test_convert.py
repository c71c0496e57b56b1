from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as npst

from inference_service.convert import (
    latency_report,
    policy_version_message,
    read_observation,
    read_observations,
)
from inference_service.registry import LoadedVersion
from tradewind.api.inference.v1 import inference_pb2
from tradewind.bundle import BoxSpace, BundleStore
from tradewind.errors import ObservationError

SPACE = BoxSpace(shape=(3, 2))
Numbers = inference_pb2.FloatVector


@given(npst.arrays(np.float32, (3, 2)))
def test_observation_in_either_form_is_read_to_the_last_bit(
    observation: np.ndarray[Any, np.dtype[np.float32]],
) -> None:
    raw = observation.astype("<f4").tobytes()
    packed = read_observation(inference_pb2.PredictRequest(values_f32_le=raw), SPACE)
    listed = read_observation(
        inference_pb2.PredictRequest(values=Numbers(values=observation.ravel().tolist())), SPACE
    )
    assert packed.tobytes() == raw
    np.testing.assert_array_equal(listed, observation, strict=True)


def test_packed_observation_is_not_copied() -> None:
    request = inference_pb2.PredictRequest(values_f32_le=bytes(24))
    assert not read_observation(request, SPACE).flags.owndata


@pytest.mark.parametrize(
    ("request_", "cause"),
    [
        (inference_pb2.PredictRequest(), "values: absent; 6 numbers are needed"),
        (inference_pb2.PredictRequest(values_f32_le=b""), "values: absent"),
        (
            inference_pb2.PredictRequest(values_f32_le=bytes(23)),
            r"values_f32_le: 23 bytes instead of 24, \(3, 2\)",
        ),
        (
            inference_pb2.PredictRequest(values=Numbers(values=[1.0] * 7)),
            r"values.values: 7 numbers instead of 6, \(3, 2\)",
        ),
        (inference_pb2.PredictRequest(values=Numbers()), "0 numbers instead of 6"),
    ],
)
def test_observation_of_another_size_is_refused(
    request_: inference_pb2.PredictRequest, cause: str
) -> None:
    with pytest.raises(ObservationError, match=cause):
        read_observation(request_, SPACE)


def test_batch_is_read_row_by_row() -> None:
    values = np.arange(12, dtype=np.float32)
    request = inference_pb2.PredictBatchRequest(observation_count=2, values_f32_le=values.tobytes())
    np.testing.assert_array_equal(read_observations(request, SPACE), values.reshape(2, 3, 2))


@pytest.mark.parametrize(
    ("count", "size", "cause"),
    [
        (0, 24, "observation_count: 0 instead of at least 1"),
        (2, 24, "24 bytes instead of 48"),
        (2**32 - 1, 24, "24 bytes instead of"),
    ],
)
def test_batch_with_another_count_is_refused(count: int, size: int, cause: str) -> None:
    request = inference_pb2.PredictBatchRequest(observation_count=count, values_f32_le=bytes(size))
    with pytest.raises(ObservationError, match=cause):
        read_observations(request, SPACE)


def test_version_message_tells_spaces_and_digests(
    store: BundleStore, publish: Callable[..., str], load: Callable[[Path], LoadedVersion]
) -> None:
    discrete = load(store.path("tiny-dqn", publish("tiny-dqn")))
    message = policy_version_message(discrete, ["served", "champion"])
    assert message.observation_space == inference_pb2.Space(
        kind=inference_pb2.SPACE_KIND_BOX, shape=[6], low=[-10.0], high=[10.0] * 5 + [np.inf]
    )
    assert message.action_space == inference_pb2.Space(
        kind=inference_pb2.SPACE_KIND_DISCRETE, choice_count=3
    )
    assert (message.risk_policy_digest, message.feature_spec_digest) == ("a" * 64, "f" * 64)
    assert (list(message.labels), message.runtime) == (["served", "champion"], "compiled")
    assert message.runtime_reason == ""

    continuous = load(store.path("tiny-sac", publish("tiny-sac")))
    message = policy_version_message(continuous, [])
    assert list(message.action_space.high) == [1.0, 2.5]
    assert (list(message.labels), message.risk_policy_digest) == ([], "")


def test_latency_report_counts_single_predictions_and_batches_apart(
    store: BundleStore, publish: Callable[..., str], load: Callable[[Path], LoadedVersion]
) -> None:
    version = load(store.path("tiny-dqn", publish()))
    empty = latency_report(version)
    assert empty.call_count == 0
    assert np.isnan([empty.mean_us, empty.p50_us, empty.p9999_us]).all()

    observations = version.policy.golden.observations
    version.predict_batch(observations, deterministic=True, seed=0)
    for observation in observations:
        version.predict(observation, deterministic=True, seed=0)
    report = latency_report(version)
    assert (report.policy, report.version) == ("tiny-dqn", version.version)
    assert report.call_count == len(observations)
    assert 0 < report.p50_us <= report.p99_us <= report.p9999_us <= report.max_us
    assert report.slo_us == 100.0
    assert (report.batch.policy, report.batch.call_count) == ("tiny-dqn", 1)
    assert 0 < report.batch.p50_us <= report.batch.max_us
    assert version.batch_observations == len(observations)
