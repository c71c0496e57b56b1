"""policy.safetensors: the numbers of a declared network, and nothing that the graph does not name.

The library lays out the bytes. It takes the last of two tensors of one name and keys that it does
not know; a file that two readers could read differently is refused here.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from tradewind.bundle.faults import BundleFault
from tradewind.bundle.names import WEIGHTS_FILE
from tradewind.bundle.operations import TensorSpec
from tradewind.bundle.strict_json import refuse_constant, unique_keys
from tradewind.errors import BundleFormatError

__all__ = ["Weights", "read_weights", "write_weights"]

Weights = Mapping[str, NDArray[Any]]
"""Tensor by name, float32 or float64; those that were read cannot be written to."""

_LENGTH_BYTES: Final = 8
_MOST_HEADER_BYTES: Final = 1 << 20
_TYPES: Final[dict[str, np.dtype[Any]]] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8")}
_KEYS: Final = {"dtype", "shape", "data_offsets"}


def write_weights(weights: Weights) -> bytes:
    """The file's bytes: equal tensors give equal bytes."""
    return safetensors.numpy.save(
        {name: np.ascontiguousarray(array) for name, array in weights.items()}
    )


def read_weights(data: bytes, expected: Mapping[str, TensorSpec]) -> Weights:
    """Reads the file's bytes.

    Args:
        data: What was read.
        expected: What they must hold, as `Graph.tensors` says.

    Raises:
        BundleFormatError: They hold anything else, or a number that is not finite.
    """
    _check_header(_read_header(data), expected)
    try:
        # The offsets: no hole, no overlap, no byte beyond.
        found = dict(safetensors.deserialize(data))  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as problem:
        raise _invalid(str(problem)) from None
    weights = {}
    for name, spec in expected.items():
        array = np.frombuffer(found[name]["data"], _TYPES[spec.dtype]).reshape(spec.shape)
        array.setflags(write=False)
        good = ~np.isnan(array) if spec.infinite else np.isfinite(array)
        if not good.all():
            raise _invalid(f"{name} holds a NaN or infinite value")
        weights[name] = array
    return weights


def _read_header(data: bytes) -> dict[str, Any]:
    size = int.from_bytes(data[:_LENGTH_BYTES], "little")
    if len(data) < _LENGTH_BYTES or size > min(len(data) - _LENGTH_BYTES, _MOST_HEADER_BYTES):
        raise _invalid(f"a header of {size} bytes in a file of {len(data)}")
    try:
        header = json.loads(
            data[_LENGTH_BYTES : _LENGTH_BYTES + size],
            parse_constant=refuse_constant,
            object_pairs_hook=unique_keys,
        )
    except (ValueError, RecursionError) as problem:
        raise _invalid(f"its header is no JSON: {problem}") from None
    if not isinstance(header, dict):
        raise _invalid("its header is no JSON object")
    return header


def _check_header(header: Mapping[str, Any], expected: Mapping[str, TensorSpec]) -> None:
    for name in sorted(header.keys() ^ expected.keys()):
        raise _invalid(
            f"{name!r:.100} is missing, but the graph needs it"
            if name in expected
            else f"{name!r:.100} is there, but the graph does not name it"
        )
    for name, spec in expected.items():
        entry = header[name]
        if not isinstance(entry, dict) or entry.keys() != _KEYS:
            raise _invalid(f"{name} is described otherwise than by {sorted(_KEYS)}")
        if entry["dtype"] != spec.dtype or entry["shape"] != list(spec.shape):
            raise _invalid(
                f"{name} is {entry['dtype']!r:.20} {entry['shape']!r:.100}, but the graph needs "
                f"{spec.dtype} {list(spec.shape)}"
            )


def _invalid(what: str) -> BundleFormatError:
    return BundleFormatError(f"{WEIGHTS_FILE}: {what}", reason=BundleFault.WEIGHTS_INVALID)
