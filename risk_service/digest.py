"""One digest of all that a decision looked at."""

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, Final

import numpy as np

from tradewind.risk import RiskInputs
from tradewind.risk.pretrade import IntendedOrder

__all__ = ["inputs_digest"]

_NUMBER: Final = struct.Struct("<cd").pack


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
    # What there is most of is asked for first: all that a decision looks at comes through here.
    if isinstance(value, float):
        parts.append(_NUMBER(b"d", value))
    elif isinstance(value, str):
        text = value.encode()
        parts.append(b"s%d:%b" % (len(text), text))
    elif isinstance(value, np.ndarray):
        parts.append(b"a%d:" % value.size)
        parts.append(value.astype("<f8", copy=False).tobytes())
    elif value is None:
        parts.append(b"n")
    elif isinstance(value, int):
        parts.append(_NUMBER(b"d", value))
    elif isinstance(value, tuple):
        parts.append(b"t%d:" % len(value))
        for item in value:
            _add(parts, item)
    elif isinstance(value, Mapping):
        parts.append(b"m%d:" % len(value))
        for key in sorted(value):
            _add(parts, key)
            _add(parts, value[key])
    else:
        assert is_dataclass(value)
        for name in value.__dataclass_fields__:
            _add(parts, getattr(value, name))
