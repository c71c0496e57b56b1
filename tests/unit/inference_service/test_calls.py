from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as npst

from inference_service.calls import BATCH, SINGLE
from tradewind.api.inference.v1 import inference_pb2
from tradewind.bundle import BoxSpace
from tradewind.errors import ObservationError

SPACE = BoxSpace(shape=(3, 2))
Numbers = inference_pb2.FloatVector


@given(npst.arrays(np.float32, (3, 2)))
def test_observation_in_either_form_is_read_to_the_last_bit(
    observation: np.ndarray[Any, np.dtype[np.float32]],
) -> None:
    raw = observation.astype("<f4").tobytes()
    packed = SINGLE.read(inference_pb2.PredictRequest(values_f32_le=raw), SPACE)[0]
    numbers = Numbers(values=observation.ravel().tolist())
    listed = SINGLE.read(inference_pb2.PredictRequest(values=numbers), SPACE)[0]
    assert packed.tobytes() == raw
    np.testing.assert_array_equal(listed, observation, strict=True)


def test_packed_observation_is_not_copied() -> None:
    request = inference_pb2.PredictRequest(values_f32_le=bytes(24))
    assert not SINGLE.read(request, SPACE)[0].flags.owndata


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
        SINGLE.read(request_, SPACE)


def test_batch_is_read_row_by_row() -> None:
    values = np.arange(12, dtype=np.float32)
    request = inference_pb2.PredictBatchRequest(observation_count=2, values_f32_le=values.tobytes())
    np.testing.assert_array_equal(BATCH.read(request, SPACE)[0], values.reshape(2, 3, 2))


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
        BATCH.read(request, SPACE)
