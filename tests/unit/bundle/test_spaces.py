import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pydantic import ValidationError

from tradewind.bundle import BoxSpace, DiscreteSpace

SHAPES = npst.array_shapes(min_dims=1, max_dims=3, max_side=4)
FLOATS = st.floats(width=32, allow_nan=False)


@given(data=st.data(), shape=SHAPES)
def test_box_with_any_bounds_survives_json(data: st.DataObject, shape: tuple[int, ...]) -> None:
    first = data.draw(npst.arrays(np.float32, shape, elements=FLOATS))
    second = data.draw(npst.arrays(np.float32, shape, elements=FLOATS))
    low = np.where(np.isposinf(np.minimum(first, second)), 0, np.minimum(first, second))
    high = np.where(np.isneginf(np.maximum(first, second)), 0, np.maximum(first, second))
    high = np.maximum(low, high)

    text = BoxSpace.from_bounds(shape, low, high).model_dump_json()
    rebuilt = BoxSpace.model_validate_json(text)

    json.loads(text, parse_constant=pytest.fail)
    np.testing.assert_array_equal(rebuilt.low_array(), low)
    np.testing.assert_array_equal(rebuilt.high_array(), high)


def test_box_with_equal_bounds_writes_one_number() -> None:
    space = BoxSpace.from_bounds((2, 3), -np.inf, np.full((2, 3), 1.5))
    assert (space.low, space.high, space.size) == (None, 1.5, 6)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"low": 1.0, "high": 0.0}, "low must not exceed high"),
        ({"low": (0.0,)}, "low has 1 values"),
        ({"high": float("nan")}, "finite number"),
        ({"high": float("inf")}, "finite number"),
        ({"high": 1e39}, "float32 cannot hold"),
        ({"shape": ()}, "at least 1 item"),
        ({"shape": (0,)}, "greater than 0"),
        ({"shape": (2048, 1024)}, "more than 1048576 numbers"),
        ({"dtype": "float64"}, "float32"),
    ],
)
def test_box_with_contradiction_is_refused(changes: dict[str, object], cause: str) -> None:
    with pytest.raises(ValidationError, match=cause):
        BoxSpace.model_validate({"shape": (2,), **changes})


@pytest.mark.parametrize(("low", "high"), [(np.inf, np.inf), (np.nan, 1.0), (0.0, -np.inf)])
def test_from_bounds_with_no_real_bound_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValidationError):
        BoxSpace.from_bounds((2,), low, high)


def test_discrete_space_with_no_choice_is_refused() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        DiscreteSpace(n=0)
