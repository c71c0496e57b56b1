"""Rows of plain numbers, straight from the bytes of a large text: what programs write.

Arrow reads the same, and everything else. This reads a number of up to 15 digits as the nearest
double, as Arrow does: both parts of mantissa / 10^decimals are exact then, and one division rounds
once (Clinger 1990). Whatever is not plain ends it, and Arrow reads, and words the refusal.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradewind.kernels.compiled import compiled

__all__ = ["INTEGERS", "ISO_NAIVE", "ISO_ZONED", "PlainRows", "read_plain_rows"]

INTEGERS: Final = 0
ISO_NAIVE: Final = 1
ISO_ZONED: Final = 2

_FEWEST_BYTES: Final = 16 * 2**20  # for less, Arrow is as fast as it takes to load the kernels
_BLOCK: Final = 2**20
_MOST_THREADS: Final = 8
_LEFT_OUT: Final = -1
_TIME: Final = -2
_EXACT: Final = 2**53
_MOST_DIGITS: Final = 18
_POWERS: Final = np.array([10.0**power for power in range(_MOST_DIGITS + 1)])
_LINE, _RETURN, _QUOTE, _MINUS, _PLUS, _POINT, _COLON, _ZULU = b'\n\r"-+.:Z'

Text = NDArray[np.uint8]
Integers = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PlainRows:
    """Columns of a text.

    Attributes:
        times: Integers as written, or ns since the epoch of ISO times. Shape [n].
        columns: Numbers by name. Shape [n] each.
    """

    times: Integers
    columns: dict[str, Numbers]


def read_plain_rows(
    read_at: Callable[[int, int], bytes],
    size: int,
    offset: int,
    delimiter: str,
    width: int,
    time_place: int,
    time_kind: int,
    places: Mapping[str, int],
) -> PlainRows | None:
    """Reads all rows, each part of the text in a thread of its own, twice: to count, and to read.

    Never more than a block of text a thread is held beside the columns.

    Args:
        read_at: Gives so many bytes of the text (the first argument) from a place on (the second).
        size: Bytes of the text.
        offset: Where the first row begins.
        delimiter: What separates cells.
        width: Cells in every row.
        time_place: The column of times.
        time_kind: INTEGERS, ISO_NAIVE or ISO_ZONED.
        places: Columns of numbers.

    Returns:
        None where the text is small or some row is not plain.
    """
    if size - offset < _FEWEST_BYTES:
        return None
    roles = np.full(width, _LEFT_OUT, np.int64)
    roles[time_place] = _TIME
    for row, place in enumerate(places.values()):
        roles[place] = row
    if (roles >= 0).sum() != len(places):
        return None  # one column in two roles
    try:
        parts = _parts(read_at, size, offset)
        with ThreadPoolExecutor(len(parts)) as pool:

            def count(part: tuple[int, int]) -> int:
                return sum(_count_lines(text) for text in _blocks(read_at, *part))

            counts = list(pool.map(count, parts))
            ends = np.cumsum(counts)
            times = np.empty(ends[-1], np.int64)
            numbers = np.empty((len(places), ends[-1]))

            def read(part: tuple[int, int], end: int, count: int) -> None:
                row = end - count
                for text in _blocks(read_at, *part):
                    row = _read_rows(
                        text, ord(delimiter), roles, time_kind, _POWERS, times, numbers, row
                    )
                    if row < 0:
                        raise _NotPlainError
                if row != end:
                    raise _NotPlainError

            list(pool.map(read, parts, ends, counts))
    except _NotPlainError:
        return None
    return PlainRows(times, dict(zip(places, numbers, strict=True)))


class _NotPlainError(Exception):
    """Some row is for Arrow."""


def _parts(read_at: Callable[[int, int], bytes], size: int, offset: int) -> list[tuple[int, int]]:
    """As many parts as there are processors, each of whole lines."""
    wanted = min(_MOST_THREADS, os.cpu_count() or 1)
    starts = [offset]
    for part in range(1, wanted):
        near = offset + part * ((size - offset) // wanted)
        after = near + read_at(_BLOCK, near).find(b"\n") + 1
        if starts[-1] < near < after < size:
            starts.append(after)
    return list(zip(starts, [*starts[1:], size], strict=True))


def _blocks(read_at: Callable[[int, int], bytes], start: int, stop: int) -> Iterator[Text]:
    while start < stop:
        block = read_at(min(_BLOCK, stop - start), start)
        end = len(block) if start + len(block) == stop else block.rfind(b"\n") + 1
        if end == 0:
            raise _NotPlainError  # A line of more than a block; or the file has been cut.
        yield np.frombuffer(block, np.uint8, end)
        start += end


@compiled
def _count_lines(text: Text) -> int:
    count = 0
    for position in range(text.shape[0]):
        count += text[position] == _LINE
    if text.shape[0] and text[-1] != _LINE:
        count += 1
    return count


@compiled
def _read_rows(
    text: Text,
    delimiter: int,
    roles: Integers,
    time_kind: int,
    powers: Numbers,
    times: Integers,
    numbers: Numbers,
    row: int,
) -> int:
    """Fills times and numbers from a row on; the next row, negative where one is not plain."""
    position, stop, last = 0, text.shape[0], roles.shape[0] - 1
    while position < stop:
        if row >= times.shape[0]:
            return -1
        for column in range(last + 1):
            role = roles[column]
            if role >= 0:
                position, numbers[role, row] = _read_number(text, position, powers)
            elif role == _LEFT_OUT:
                position = _skip_cell(text, position, delimiter)
            elif time_kind == INTEGERS:
                position, times[row] = _read_integer(text, position)
            else:
                position, times[row] = _read_iso(text, position, time_kind == ISO_ZONED)
            if position < 0:
                return -1
            if column == last:
                if position < stop and text[position] == _RETURN:
                    position += 1
                if position < stop and text[position] != _LINE:
                    return -1
            elif position >= stop or text[position] != delimiter:
                return -1
            position += 1
        row += 1
    return row


@compiled
def _skip_cell(text: Text, position: int, delimiter: int) -> int:
    """Where a cell ends; negative where it has a quote or what is not ASCII."""
    while position < text.shape[0]:
        byte = text[position]
        if byte in (delimiter, _LINE, _RETURN):
            break
        if byte == _QUOTE or not 0 < byte < 128:
            return -1
        position += 1
    return position


@compiled
def _read_integer(text: Text, position: int) -> tuple[int, int]:
    """Where an integer ends, and the integer; negative where there is none."""
    negative = position < text.shape[0] and text[position] == _MINUS
    start = position + negative
    position, value = _read_digits(text, start, 0)
    if not 1 <= position - start <= _MOST_DIGITS + 1 or value < 0:  # ns since the epoch have 19
        return -1, 0
    return position, -value if negative else value


@compiled
def _read_number(text: Text, position: int, powers: Numbers) -> tuple[int, float]:
    """Where a number ends, and the number; negative where there is none, or one of many digits."""
    negative = position < text.shape[0] and text[position] == _MINUS
    start = position + negative
    position, value = _read_digits(text, start, 0)
    digits, decimals = position - start, 0
    if position < text.shape[0] and text[position] == _POINT:
        after = position + 1
        position, value = _read_digits(text, after, value)
        decimals = position - after
    if digits == 0 or digits + decimals > _MOST_DIGITS or value > _EXACT:
        return -1, 0.0
    number = value / powers[decimals]
    return position, -number if negative else number


@compiled
def _read_digits(text: Text, position: int, value: int) -> tuple[int, int]:
    """Where digits end, and the integer before them with them appended."""
    while position < text.shape[0]:
        digit = int(text[position]) - 48
        if not 0 <= digit <= 9:
            break
        value = value * 10 + digit
        position += 1
    return position, value


@compiled
def _read_field(text: Text, position: int, digits: int, sign: int) -> tuple[int, int]:
    """Where a sign and so many digits end, and the digits; negative where they are not there."""
    start = position + (sign != 0)
    stop = start + digits
    if position < 0 or stop >= text.shape[0] or (sign != 0 and text[position] != sign):
        return -1, 0
    end, value = _read_digits(text[:stop], start, 0)
    return (stop if end == stop else -1), value


@compiled
def _read_iso(text: Text, position: int, zoned: bool) -> tuple[int, int]:
    """Where 2019-02-25[ 10:30[:00[.5]]] ends, and the instant in ns; negative where it is none."""
    position, year = _read_field(text, position, 4, 0)
    position, month = _read_field(text, position, 2, _MINUS)
    position, day = _read_field(text, position, 2, _MINUS)
    if position < 0 or not (1700 <= year <= 2200 and _is_day(year, month, day)):
        return -1, 0
    # Days since the epoch in a calendar whose years begin in March (Hinnant 2013).
    shifted = year - (month <= 2)
    era, of_era = shifted // 400, shifted % 400
    of_year = (153 * (month + (9 if month <= 2 else -3)) + 2) // 5 + day - 1
    days = era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
    instant = days * 86_400_000_000_000
    timed = position < text.shape[0] and (text[position] == 32 or text[position] == 84)
    if timed:
        position, clock = _read_clock(text, position + 1)
        instant += clock
    if zoned and position > 0:
        position, offset = _read_offset(text, position) if timed else (-1, 0)
        instant -= offset
    return position, instant


@compiled
def _read_clock(text: Text, position: int) -> tuple[int, int]:
    """Where a time of day ends, and its nanoseconds; negative where it is none."""
    second, fraction = 0, 0
    position, hour = _read_field(text, position, 2, 0)
    position, minute = _read_field(text, position, 2, _COLON)
    if position > 0 and text[position] == _COLON:
        position, second = _read_field(text, position, 2, _COLON)
        if position > 0 and text[position] == _POINT:
            start = position + 1
            position, fraction = _read_digits(text, start, 0)
            if not 1 <= position - start <= 9:
                return -1, 0
            for _ in range(9 - (position - start)):
                fraction *= 10
    if position < 0 or hour > 23 or minute > 59 or second > 59:
        return -1, 0
    return position, (hour * 3_600 + minute * 60 + second) * 1_000_000_000 + fraction


@compiled
def _read_offset(text: Text, position: int) -> tuple[int, int]:
    """Where Z or +01:00 ends, and its nanoseconds; negative where it is none."""
    if position >= text.shape[0]:
        return -1, 0
    byte = text[position]
    if byte == _ZULU:
        return position + 1, 0
    if byte not in (_PLUS, _MINUS):
        return -1, 0
    east = byte == _PLUS
    position, hours = _read_field(text, position + 1, 2, 0)
    position, minutes = _read_field(text, position, 2, _COLON)
    if position < 0 or hours > 23 or minutes > 59:
        return -1, 0
    offset = (hours * 60 + minutes) * 60_000_000_000
    return position, offset if east else -offset


@compiled
def _is_day(year: int, month: int, day: int) -> bool:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return False
    if month == 2:
        return day <= 28 or (day == 29 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0))
    return day <= 30 or month not in (4, 6, 9, 11)
