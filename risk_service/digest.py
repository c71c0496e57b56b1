"""One digest of all that a decision looked at."""

import hashlib
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final

import numpy as np

from tradewind.risk import OptionPosition, OrderBook, Position, RiskInputs
from tradewind.risk.pretrade import IntendedOrder

__all__ = ["inputs_digest"]

_NUMBER: Final = struct.Struct("<cd").pack
_DOUBLE: Final = np.dtype("<f8")
_NAMES: Final = [field.name for field in fields(RiskInputs)]
_NEWER: Final = tuple(_NAMES[_NAMES.index("options") + 1 :])
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
    newer: list[Any] = []
    for name in _NEWER:
        value = getattr(inputs, name)
        if value is not None:
            # The first of them stood alone there before another one came.
            newer += (value,) if name == _NEWER[0] else (name, value)
    _add(parts, (inputs, *newer, order))
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _add(parts: list[bytes], values: Iterable[Any]) -> None:
    # What there is most of is asked for first: all that a decision looks at comes through here.
    for value in values:
        if value is None:
            parts.append(b"n")
        elif isinstance(value, float):
            parts.append(_NUMBER(b"d", value))
        elif isinstance(value, np.ndarray):
            parts.append(b"a%d:" % value.size)
            parts.append((value if value.dtype == _DOUBLE else value.astype(_DOUBLE)).tobytes())
        elif isinstance(value, str):
            text = value.encode()
            parts.append(b"s%d:%b" % (len(text), text))
        elif isinstance(value, int):
            parts.append(_NUMBER(b"d", value))
        elif get_fields := _FIELDS.get(value.__class__):
            _add(parts, get_fields(value))
        elif isinstance(value, tuple):
            parts.append(b"t%d:" % len(value))
            _add(parts, value)
        else:
            assert isinstance(value, Mapping)
            parts.append(b"m%d:" % len(value))
            for key in sorted(value):
                _add(parts, (key, value[key]))
