"""One digest of all that a decision looked at."""

import hashlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
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
    return hashlib.sha256(b"".join((*_parts(inputs), *_parts(order)))).hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    if isinstance(value, np.ndarray):
        yield b"a%d:" % value.size
        yield value.astype("<f8", copy=False).tobytes()
    elif isinstance(value, float | int):
        yield struct.pack("<cd", b"d", value)
    elif value is None:
        yield b"n"
    elif isinstance(value, str):
        text = value.encode()
        yield b"s%d:" % len(text)
        yield text
    elif isinstance(value, Mapping):
        yield b"m%d:" % len(value)
        for key in sorted(value):
            yield from _parts(key)
            yield from _parts(value[key])
    elif isinstance(value, tuple):
        yield b"t%d:" % len(value)
        for item in value:
            yield from _parts(item)
    else:
        assert is_dataclass(value)
        for field in fields(value):
            yield from _parts(getattr(value, field.name))
