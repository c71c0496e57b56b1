"""One digest of all that a decision looked at."""

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

import numpy as np

from tradewind.risk import RiskInputs
from tradewind.risk.pretrade import IntendedOrder

__all__ = ["inputs_digest"]


def inputs_digest(inputs: RiskInputs, order: IntendedOrder | None) -> str:
    """SHA-256, in hexadecimal, over the inputs and the intended order.

    Equal inputs give equal digests, whatever way they came. Every part is written as a letter for
    its kind, its length and its content: numbers as little-endian IEEE doubles, maps in the order
    of their keys, objects as their fields in the order of the class.
    """
    parts: list[bytes] = []
    _add(parts, inputs)
    _add(parts, order)
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _add(parts: list[bytes], value: Any) -> None:
    if isinstance(value, np.ndarray):
        parts.append(b"a%d:" % value.size)
        parts.append(value.astype("<f8", copy=False).tobytes())
    elif isinstance(value, float | int):
        parts.append(struct.pack("<cd", b"d", value))
    elif value is None:
        parts.append(b"n")
    elif isinstance(value, str):
        text = value.encode()
        parts.append(b"s%d:" % len(text))
        parts.append(text)
    elif isinstance(value, Mapping):
        parts.append(b"m%d:" % len(value))
        for key in sorted(value):
            _add(parts, key)
            _add(parts, value[key])
    elif isinstance(value, tuple):
        parts.append(b"t%d:" % len(value))
        for item in value:
            _add(parts, item)
    else:
        assert is_dataclass(value)
        for name in value.__dataclass_fields__:
            _add(parts, getattr(value, name))
