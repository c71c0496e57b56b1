"""Protobuf's wire format for kernels: one field after the other, over an array of bytes.

Kernels take only what encoders normally write. A function that meets anything else, valid or not,
answers UNUSUAL: its caller then leaves the bytes to protobuf.
"""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tradewind.kernels.compiled import compiled

__all__ = ["ByteArray", "copy_double", "is_ascii", "next_field", "read_record", "write_head"]

ByteArray: TypeAlias = NDArray[np.uint8]

# A field is its tag, number · 8 + wire type, and its content.
VARINT: Final = 0
FIXED64: Final = 1
LENGTH_DELIMITED: Final = 2

UNUSUAL: Final = -1
LONGEST_LENGTH: Final = 4
"""Bytes of a length: up to 256 MiB."""


@compiled
def next_field(data: ByteArray, at: int, end: int) -> tuple[int, int, int]:
    """Reads the head of the field at `at`, which is before `end`.

    Returns:
        Its tag, and where its content begins and ends, at most at `end`. The tag is UNUSUAL for
        field numbers above 31, varints of several bytes, and wire types that are not above.
    """
    tag = int(data[at])
    kind = tag & 7
    start = at + 1
    if tag >= 0x80:
        # A field number from 16 on: its upper bits are in the next byte.
        if start >= end or data[start] != 1:
            return UNUSUAL, at, at
        start += 1
    if kind == LENGTH_DELIMITED:
        length, start = _length(data, start, end)
        stop = start + length if length >= 0 else end + 1
    elif kind == FIXED64:
        stop = start + 8
    else:
        stop = start + 1
        if kind != VARINT or stop > end or data[start] >= 0x80:
            return UNUSUAL, at, at
    if stop > end:
        return UNUSUAL, at, at
    return tag, start, stop


@compiled
def _length(data: ByteArray, at: int, end: int) -> tuple[int, int]:
    """A length and where it ends; UNUSUAL if it is not one of at most LONGEST_LENGTH bytes."""
    length = 0
    for index in range(min(LONGEST_LENGTH, end - at)):
        byte = int(data[at + index])
        length |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return length, at + index + 1
    return UNUSUAL, at


@compiled
def copy_double(data: ByteArray, at: int, out: ByteArray, to: int) -> None:
    """Copies eight bytes, in a way that becomes one load and one store."""
    a, b, c, d = data[at], data[at + 1], data[at + 2], data[at + 3]
    e, f, g, h = data[at + 4], data[at + 5], data[at + 6], data[at + 7]
    out[to], out[to + 1], out[to + 2], out[to + 3] = a, b, c, d
    out[to + 4], out[to + 5], out[to + 6], out[to + 7] = e, f, g, h


@compiled
def is_ascii(data: ByteArray, start: int, stop: int) -> bool:
    """Whether a text is surely valid UTF-8."""
    bits = 0
    for at in range(start, stop):
        bits |= int(data[at])
    return bits < 0x80


@compiled
def read_record(
    data: ByteArray, start: int, stop: int, first: int, enumeration: int, out: ByteArray
) -> tuple[int, int]:
    """Reads a message of an optional text in field 1 and of numbers.

    Args:
        data: The bytes.
        start: Where the message begins.
        stop: Where it ends.
        first: Field of the first number: 1 for a message without a text, or 2.
        enumeration: Field of the number that is not a double; 0 for none.
        out: Filled with the numbers in the order of their fields, eight bytes each and 0 for one
            that is left out.

    Returns:
        Where the text begins and ends; UNUSUAL if there is anything else in the message.
    """
    text = start, start
    out[:] = 0.0
    at = start
    while at < stop:
        tag, begin, at = next_field(data, at, stop)
        field, kind = tag >> 3, tag & 7
        if field == 1 and first == 2:
            if kind != LENGTH_DELIMITED or not is_ascii(data, begin, at):
                return UNUSUAL, UNUSUAL
            text = begin, at
        elif not first <= field < first + out.size // 8:
            return UNUSUAL, UNUSUAL
        elif field == enumeration and kind == VARINT:
            out[8 * (field - first)] = data[begin]
        elif field != enumeration and kind == FIXED64:
            copy_double(data, begin, out, 8 * (field - first))
        else:
            return UNUSUAL, UNUSUAL
    return text


def write_head(number: int, length: int) -> bytes:
    """The tag and the length of a length-delimited field.

    Args:
        number: Of the field, at most 15.
        length: Of its content, in bytes.
    """
    head = bytearray((number << 3 | LENGTH_DELIMITED,))
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head)
