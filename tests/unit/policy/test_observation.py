from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as npst

from tradewind.bundle import BoxSpace
from tradewind.errors import ObservationError
from tradewind.policy.observation import ObservationReader

READER = ObservationReader(BoxSpace(shape=(3, 2)))


@given(npst.arrays(np.float32, (3, 2), elements={"allow_nan": True}))
@settings(max_examples=100)
def test_one_with_any_floats_gives_them_or_names_the_first_that_is_not_finite(
    observation: np.ndarray[Any, np.dtype[np.float32]],
) -> None:
    bad = np.argwhere(~np.isfinite(observation))
    if not len(bad):
        np.testing.assert_array_equal(READER.one(observation), observation[None], strict=True)
        return
    with pytest.raises(ObservationError) as refused:
        READER.one(observation)
    row, column = bad[0]
    assert refused.value.violations[0].field == f"observation[{row}][{column}]"


@pytest.mark.parametrize(
    "observation",
    [
        [[1, 2], [3, 4], [5, 6]],
        np.arange(6, dtype=np.float64).reshape(3, 2) + 1,
        np.arange(1, 7, dtype=np.int8).reshape(3, 2),
        np.arange(1, 7, dtype=np.float32).reshape(2, 3).T.copy("F").reshape(2, 3).T,
        np.asfortranarray(np.arange(1, 7, dtype=np.float32).reshape(3, 2)),
        np.arange(1, 7, dtype=">f4").reshape(3, 2),
    ],
    ids=["list", "float64", "int8", "strided", "fortran", "big-endian"],
)
def test_one_with_other_numbers_converts_them(observation: Any) -> None:
    read = READER.one(observation)
    assert read.flags.c_contiguous
    np.testing.assert_array_equal(read, np.asarray(observation, np.float32)[None], strict=True)


def test_one_gives_a_writable_copy_of_read_only_memory() -> None:
    memory = np.arange(6, dtype=np.float32).tobytes()
    read = READER.one(np.frombuffer(memory, "<f4").reshape(3, 2))
    read[:] = 9.0
    assert np.frombuffer(memory, "<f4")[0] == 0.0


@pytest.mark.parametrize(
    ("observation", "cause"),
    [
        (np.zeros(6), r"observation: shape \(6,\) instead of \(3, 2\)"),
        (np.zeros((1, 3, 2)), r"shape \(1, 3, 2\) instead of \(3, 2\)"),
        (1.0, r"shape \(\) instead of"),
        ([[1.0], [2.0, 3.0]], "not an array of numbers"),
        ("text", "elements of type"),
        (np.full((3, 2), None), "elements of type object"),
        (np.zeros((3, 2), complex), "elements of type complex128"),
        (np.full((3, 2), 1e39), r"observation\[0\]\[0\]: inf instead of a finite float32"),
    ],
)
def test_one_with_what_does_not_fit_is_refused(observation: Any, cause: str) -> None:
    with pytest.raises(ObservationError, match=cause):
        READER.one(observation)


def test_batch_with_a_bad_number_names_row_and_index() -> None:
    observations = np.zeros((4, 3, 2), np.float32)
    observations[2, 1, 0] = np.nan
    with pytest.raises(ObservationError, match=r"observations\[2\]\[1\]\[0\]: nan"):
        READER.batch(observations)


@pytest.mark.parametrize("shape", [(0, 3, 2), (3, 2), (), (4, 2, 3)])
def test_batch_with_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ObservationError, match=r"instead of \(N ≥ 1, 3, 2\)"):
        READER.batch(np.zeros(shape))
