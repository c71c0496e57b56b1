"""One digest of all that a decision looked at."""

import hashlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final

import numpy as np

from tradewind.risk import OptionPosition, OrderBook, Position, RiskInputs
from tradewind.risk.pretrade import IntendedOrder

__all__ = ["inputs_digest"]

_NUMBER: Final = struct.Struct("<cd").pack
_DOUBLE: Final = np.dtype("<f8")
_NEWER: Final = frozenset({"periods_per_year"})
"""Fields of RiskInputs that came after the first digests were recorded."""
_FIELDS: Final[dict[type, Callable[[Any], tuple[Any, ...]]]] = {
    cls: attrgetter(*(field.name for field in fields(cls) if field.name not in _NEWER))
    for cls in (RiskInputs, Position, OrderBook, OptionPosition, IntendedOrder)
}
"""What gives the fields of an object, in the order of its class."""


def inputs_digest(inputs: RiskInputs, order: IntendedOrder | None) -> str:
    """SHA-256, in hexadecimal, over the inputs and the intended order.

    Equal inputs give equal digests, whatever way they came. Every part is written as a letter for
    its kind, its length and its content: numbers as little-endian IEEE doubles, maps in the order
    of their keys, objects as their fields in the order of the class. A field that came later stands
    behind the others, and only where it is given: digests that were recorded before it stay right.
    """
    parts: list[bytes] = []
    _add(parts, inputs)
    if inputs.periods_per_year is not None:
        _add(parts, inputs.periods_per_year)
    _add(parts, order)
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _add(parts: list[bytes], value: Any) -> None:
    # What there is most of is asked for first: all that a decision looks at comes through here.
    if value is None:
        parts.append(b"n")
    elif isinstance(value, float):
        parts.append(_NUMBER(b"d", value))
    elif isinstance(value, str):
        text = value.encode()
        parts.append(b"s%d:%b" % (len(text), text))
    elif isinstance(value, np.ndarray):
        parts.append(b"a%d:" % value.size)
        double = value if value.dtype == _DOUBLE else value.astype(_DOUBLE)
        parts.append(double.tobytes())
    elif isinstance(value, int):
        parts.append(_NUMBER(b"d", value))
    elif isinstance(value, tuple):
        parts.append(b"t%d:" % len(value))
        for item in value:
            _add(parts, item)
    elif get_fields := _FIELDS.get(value.__class__):
        for field in get_fields(value):
            _add(parts, field)
    else:
        assert isinstance(value, Mapping)
        parts.append(b"m%d:" % len(value))
        for key in sorted(value):
            _add(parts, key)
            _add(parts, value[key])
