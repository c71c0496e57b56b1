"""How a text is cut into lines and cells, told from how it begins."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tradewind.errors import FieldViolation, MarketDataError
from tradewind.market.checks import MAX_REPORTED_VIOLATIONS
from tradewind.market.reading.options import NoRowsError

__all__ = ["Dialect", "numbered_rows", "tell_dialect"]

# In this order: a text with ';' may have ',' in its numbers, hardly the other way round.
_DELIMITERS: Final = {"\t": "tab", ";": "';'", "|": "'|'", ",": "','"}
_FEWEST_CELLS: Final = 5  # a time and four prices
_LOOKED_AT: Final = 512 * 1024
_MOST_LINES: Final = 200
_MOST_PREAMBLE_LINES: Final = 30
_VALUE: Final = re.compile(r"^[$€£]?[-+]?[\d.,:/' \u00a0\u202f-]*\d[\d.,:/' \u00a0\u202f-]*$")
_DATED: Final = re.compile(r"\d{1,4}[-./ ](\d{1,2}|[^\W\d]{3,})[-./ ]\d{1,4}|\d{1,2}:\d\d")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a text is cut.

    Attributes:
        delimiter: What separates cells.
        names: The header, None without one.
        width: Cells in a row.
        offset: Where the first row of bars begins, in bytes.
        first_line: The line of that row, as an editor counts.
        skipped: What stood before the header.
        sample: The first rows of bars.
    """

    delimiter: str
    names: tuple[str, ...] | None
    width: int
    offset: int
    first_line: int
    skipped: tuple[str, ...]
    sample: tuple[tuple[str, ...], ...]

    @property
    def label(self) -> str:
        """The delimiter, for people."""
        return f"text separated by {_DELIMITERS[self.delimiter]}"


def tell_dialect(subject: str, data: bytes, *, fewest_cells: int = _FEWEST_CELLS) -> Dialect:
    """Finds delimiter, header and first row.

    Args:
        subject: The file, for errors.
        data: The text, or its beginning.
        fewest_cells: Cells in a row of such a table.

    Raises:
        MarketDataError: There is no table, or what stands above it may be a row that was cut.
    """
    head = data[:_LOOKED_AT]
    whole = len(head) == len(data)
    lines = head.decode(errors="replace").splitlines(keepends=True)
    if not whole and len(lines) > 1:
        lines.pop()  # it may be cut
    lines = lines[:_MOST_LINES]
    delimiter, width = _tell_delimiter(subject, lines, fewest_cells)
    rows = [_cells(line, delimiter) for line in lines]
    first = next(index for index, row in enumerate(rows) if len(row) == width)
    skipped = _checked_preamble(subject, lines[:first], delimiter)
    names: tuple[str, ...] | None = None
    start = first
    if _is_header(rows[first]):
        names = tuple(cell.strip() for cell in rows[first])
        start = first + 1
        # yfinance writes three lines of header: what, of which ticker, and the index's name.
        if names[0].casefold() == "price" and [row[:1] for row in rows[start : start + 2]] == [
            ["Ticker"],
            ["Date"],
        ]:
            names = ("Date", *names[1:])
            _refuse_several_tickers(subject, rows[start], start + 1)
            start += 2
    if names is None:
        _refuse_short_header(subject, rows[:first], width)
    elif start < len(rows) and _is_header(rows[start]):
        text = lines[start].strip()[:200]
        raise MarketDataError(
            f"{subject} has two header lines; the other is line {start + 1}: {text!r}"
        )
    offset = len("".join(lines[:start]).encode())
    sample = tuple(tuple(row) for row in rows[start:] if len(row) == width)
    if not sample:
        if not whole:
            raise MarketDataError(
                f"{subject} has no bars: no row ends within the first {_LOOKED_AT:,} bytes"
            )
        raise NoRowsError(f"{subject} has no bars: there is no row after the header")
    return Dialect(delimiter, names, width, offset, start + 1, skipped, sample)


def numbered_rows(data: bytes, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """Every row of bars with its line, as an editor counts; slow, for errors."""
    text = data[dialect.offset :].decode(errors="replace")
    reader = csv.reader(text.splitlines(keepends=True), delimiter=dialect.delimiter)
    before = dialect.first_line - 1
    line = before
    try:
        for row in reader:
            line, started = before + reader.line_num, line + 1
            if row:
                yield started, row
    except csv.Error as problem:
        raise MarketDataError(f"line {line + 1}: {problem}: is a quote left open?") from None


def _tell_delimiter(subject: str, lines: list[str], fewest: int) -> tuple[str, int]:
    for delimiter in _DELIMITERS:
        counts = Counter(len(_cells(line, delimiter)) for line in lines if line.strip())
        if not counts:
            raise MarketDataError(f"cannot read {subject}: there is nothing but empty lines")
        width, times = counts.most_common(1)[0]
        if len(counts) > 1 and times == 1:
            # One row and what stands above it: the longest is the table.
            width = max(counts)
        if width >= fewest and counts[width] >= min(2, counts.total() / 2):
            return delimiter, width
    raise MarketDataError(
        f"cannot read {subject}: no table of bars: its lines have no {fewest} or more cells "
        f"separated by {', '.join(_DELIMITERS.values())}"
    )


def _cells(line: str, delimiter: str) -> list[str]:
    bare = line.rstrip("\r\n")
    if not bare:
        return []
    if '"' not in bare:
        return bare.split(delimiter)
    return next(csv.reader([bare], delimiter=delimiter), [])


def _is_value(cell: str) -> bool:
    cell = cell.strip()
    return bool(_VALUE.match(cell) or _DATED.search(cell)) or cell.casefold() in {"nan", "null"}


def _is_header(row: list[str]) -> bool:
    filled = [cell for cell in row if cell.strip()]
    return bool(filled) and not any(_is_value(cell) for cell in filled)


def _checked_preamble(subject: str, lines: list[str], delimiter: str) -> tuple[str, ...]:
    skipped = []
    for number, line in enumerate(lines, start=1):
        cells = _cells(line, delimiter)
        if sum(_is_value(cell) for cell in cells) > 1 or number > _MOST_PREAMBLE_LINES:
            raise MarketDataError(
                f"{subject} has row(s) with a wrong number of cells",
                [FieldViolation(f"line {number}", f"{len(cells)} cells: {line.strip()[:200]!r}")],
            )
        if line.strip():
            skipped.append(f"line {number} is no row and was left out: {line.strip()[:80]!r}")
    return tuple(skipped[:MAX_REPORTED_VIOLATIONS])


def _refuse_short_header(subject: str, rows: list[list[str]], width: int) -> None:
    """A header of another width must not be left out as if it were prose."""
    for number, row in enumerate(rows, start=1):
        if len(row) > 2:
            raise MarketDataError(
                f"{subject} has row(s) with a wrong number of cells",
                [
                    FieldViolation(
                        f"line {number}", f"{len(row)} cells, the rows below have {width}"
                    )
                ],
            )


def _refuse_several_tickers(subject: str, row: list[str], line: int) -> None:
    tickers = sorted(set(row[1:]))
    if len(tickers) != 1:
        raise MarketDataError(
            f"{subject} has columns of {len(tickers)} symbols ({', '.join(tickers[:5])}) in line "
            f"{line}: write one file for each"
        )
