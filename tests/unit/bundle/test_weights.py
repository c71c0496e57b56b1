"""policy.safetensors holds what the graph needs, in the one way in which it can be read."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.bundle import read_weights, write_weights
from tradewind.bundle.operations import TensorSpec
from tradewind.errors import BundleFormatError

EXPECTED = {
    "a.weight": TensorSpec("F32", (2, 3)),
    "a.bias": TensorSpec("F32", (2,), infinite=True),
    "n.mean": TensorSpec("F64", (2,)),
}
WEIGHTS: dict[str, Any] = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a.bias": np.array([-np.inf, 1.0], np.float32),
    "n.mean": np.array([0.1, 0.2]),
}
GOOD = write_weights(WEIGHTS)


def refusal(data: bytes) -> str:
    with pytest.raises(BundleFormatError) as refused:
        read_weights(data, EXPECTED)
    assert refused.value.reason == "WEIGHTS_INVALID"
    return str(refused.value)


def with_header(header: object, size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    body = GOOD[8 + int.from_bytes(GOOD[:8], "little") :]
    return (len(text) if size is None else size).to_bytes(8, "little") + text + body


def header() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(GOOD[8 : 8 + int.from_bytes(GOOD[:8], "little")])
    return found


def changed(name: str, **changes: Any) -> bytes:
    whole = header()
    return with_header({**whole, name: {**whole[name], **changes}})


def test_written_weights_are_read_with_their_bits_and_cannot_be_written_to() -> None:
    assert write_weights(dict(reversed(WEIGHTS.items()))) == GOOD
    found = read_weights(GOOD, EXPECTED)
    assert list(found) == list(EXPECTED)
    for name, array in WEIGHTS.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
        assert not found[name].flags.writeable


@pytest.mark.parametrize(
    ("name", "value", "cause"),
    [
        ("a.weight", np.full((2, 3), np.nan, np.float32), "a.weight holds a NaN or infinite"),
        ("a.weight", np.full((2, 3), np.inf, np.float32), "a.weight holds a NaN or infinite"),
        ("a.bias", np.full(2, np.nan, np.float32), "a.bias holds a NaN or infinite"),
        ("a.weight", np.zeros((3, 2), np.float32), "a.weight is 'F32' [3, 2], but the graph needs"),
        ("a.weight", np.zeros((2, 3), np.float64), "a.weight is 'F64' [2, 3], but the graph needs"),
        ("n.mean", np.zeros(2, np.float32), "n.mean is 'F32' [2], but the graph needs F64 [2]"),
        ("more", np.zeros(1, np.float32), "'more' is there, but the graph does not name it"),
        ("a.bias", None, "'a.bias' is missing, but the graph needs it"),
    ],
)
def test_weights_that_do_not_fit_the_graph_are_refused(name: str, value: Any, cause: str) -> None:
    weights = {**WEIGHTS, name: value}
    data = write_weights({key: array for key, array in weights.items() if array is not None})
    assert cause in refusal(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD[:7],
        GOOD[:-1],
        GOOD + b"\0",
        with_header(header(), size=1 << 40),
        with_header(header(), size=(1 << 64) - 1),
        with_header(header(), size=4),
        with_header([]),
        with_header(b"\xff" * 40),
        with_header(b"[" * 100_000),
        # A second tensor of the same name, which other readers take and others leave.
        with_header(json.dumps(header()).encode()[:-1] + b', "a.bias": 0}'),
        with_header({**header(), "__metadata__": {"format": "pt"}}),
        changed("a.bias", more=1),
        changed("a.bias", data_offsets=[0, 24]),
        changed("a.bias", data_offsets=[16, 40]),
        changed("a.bias", data_offsets=[40, 16]),
        changed("a.bias", data_offsets=[-8, 0]),
        changed("a.bias", data_offsets=[1 << 62, 1 << 63]),
        changed("a.bias", data_offsets="16"),
        changed("a.weight", data_offsets=header()["n.mean"]["data_offsets"]),
    ],
    ids=range(20),
)
def test_file_that_lies_about_its_layout_is_refused(data: bytes) -> None:
    refusal(data)


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=4))
def test_file_with_any_bytes_changed_is_refused_or_of_the_right_shapes(
    changes: list[tuple[int, int]],
) -> None:
    data = bytearray(GOOD)
    for place, value in changes:
        data[place] = value
    try:
        found = read_weights(bytes(data), EXPECTED)
    except BundleFormatError:
        return
    assert {name: array.shape for name, array in found.items()} == {
        name: spec.shape for name, spec in EXPECTED.items()
    }
