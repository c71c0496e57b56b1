"""Trades in text, a block of lines at a time."""

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.csv

from tradewind.constants import TIMESTAMP
from tradewind.errors import FieldViolation, MarketDataError
from tradewind.market.reading.dialect import Dialect, tell_dialect
from tradewind.market.reading.options import ReadOptions
from tradewind.market.reading.times import TimeForm, tell_text
from tradewind.market.trades.forms import (
    EventsOf,
    TradeRoles,
    roles_of_names,
    roles_of_plain_rows,
)

__all__ = ["CLOCK", "Cells", "TradeText"]

CLOCK: Final = "clock"

_BLOCK: Final = 8 * 2**20
_HEAD: Final = 2**20
_FEWEST_CELLS: Final = 3
_UTF8_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, eq=False)
class Cells:
    """Some rows of a table of trades.

    Attributes:
        columns: By role: text, numbers or times.
        label: Names a row of these as its user finds it.
        refusal: The error for a conversion of these that failed, given the conversion.
    """

    columns: dict[str, Any]
    label: Callable[[int], str]
    refusal: Callable[[Callable[["Cells"], object]], MarketDataError]


@dataclass(frozen=True, eq=False)
class TradeText:
    """A text with trades or quotes in it.

    Attributes:
        subject: The file, for errors.
        dialect: How it is cut.
        roles: Which columns are which.
        form: How its times are written.
    """

    subject: str
    dialect: Dialect
    roles: TradeRoles
    form: TimeForm

    @classmethod
    def open(
        cls,
        subject: str,
        file: IO[bytes],
        columns: dict[str, str | int],
        options: ReadOptions,
        of: EventsOf | None,
    ) -> tuple["TradeText", bytes]:
        """Tells how a text is cut and which columns it has.

        Returns:
            The text, and what was read of it: the rows in its beginning.

        Raises:
            MarketDataError: It cannot be told, or not without an option that the message names.
        """
        head = file.read(_HEAD)
        while len(head) < _HEAD and (more := file.read(_HEAD - len(head))):
            head += more
        head = head.removeprefix(_UTF8_MARK)
        if b"\0" in head:
            raise MarketDataError(
                f"cannot read {subject}: it is not text: byte {head.index(0)} is zero"
            )
        if not head:
            raise MarketDataError(f"cannot read {subject}: the file is empty")
        text, encoding = _as_utf8(head)
        dialect = tell_dialect(subject, text, fewest_cells=_FEWEST_CELLS)
        if dialect.names is None:
            roles = roles_of_plain_rows(subject, dialect.sample, columns, of)
        else:
            roles = roles_of_names(subject, dialect.names, columns, of)
        places = [roles.columns[TIMESTAMP], *([] if roles.clock is None else [roles.clock])]
        times = [" ".join(row[place].strip() for place in places) for row in dialect.sample]
        try:
            form = tell_text(times, options, lambda: pa.array(times))
        except MarketDataError as problem:
            raise MarketDataError(f"{subject}, line {dialect.first_line}: {problem}") from None
        offset = len(text[: dialect.offset].decode().encode(encoding))
        return cls(subject, dialect, roles, form), head[offset:]

    @property
    def whole_prices(self) -> bool:
        """The first prices have no decimals."""
        place = self.roles.columns["price" if self.roles.of == "trades" else "bid"]
        return all(row[place].strip().isdigit() for row in self.dialect.sample)

    def read(self, file: IO[bytes], begun: bytes) -> Iterator[Cells]:
        """All rows, some at a time.

        Args:
            file: What follows.
            begun: What was read already.

        Raises:
            MarketDataError: A row has a wrong number of cells; names its line.
        """
        line, rest = self.dialect.first_line, begun
        while True:
            more = file.read(_BLOCK)
            block = rest + more
            end = len(block) if not more else block.rfind(b"\n") + 1
            if end == 0 and len(block) > _BLOCK:
                raise MarketDataError(
                    f"{self.subject}, line {line}: it has more than {_BLOCK:,} bytes and no end"
                )
            rest = block[end:]
            if end and block[:end].strip():
                yield self._cells(block[:end], line)
            line += block.count(b"\n", 0, end)
            if not more:
                return

    def _cells(self, block: bytes, line: int) -> Cells:
        def label(row: int) -> str:
            return f"line {self._line_of(block, line, row)}"

        def refusal(convert: Callable[[Cells], object]) -> MarketDataError:
            return self._refusal(block, line, convert)

        try:
            return Cells(self._parsed(block), label, refusal)
        except pa.ArrowException:
            raise self._refusal(block, line, lambda _: None) from None

    def _parsed(self, block: bytes) -> dict[str, Any]:
        roles, form = self.roles, self.form
        time_type = form.direct if form.direct and roles.clock is None else pa.string()
        wanted: dict[str, tuple[int, Any]] = {
            role: (place, time_type if role == TIMESTAMP else pa.float64())
            for role, place in roles.columns.items()
        }
        for role, place in (
            (CLOCK, roles.clock), ("symbol", roles.symbol), ("action", roles.action)
        ):  # fmt: skip
            if place is not None:
                wanted[role] = (place, pa.string())
        table = pyarrow.csv.read_csv(
            pa.BufferReader(block),
            pyarrow.csv.ReadOptions(
                column_names=[str(place) for place in range(self.dialect.width)]
            ),
            pyarrow.csv.ParseOptions(delimiter=self.dialect.delimiter),
            pyarrow.csv.ConvertOptions(
                include_columns=[str(place) for place, _ in wanted.values()],
                column_types={str(place): kind for place, kind in wanted.values()},
                # A side without an order is empty; a trade without a price is a fault.
                null_values=[""] if roles.of == "quotes" else [],
                strings_can_be_null=False,
            ),
        )
        return {role: table.column(str(place)) for role, (place, _) in wanted.items()}

    def _refusal(
        self, block: bytes, line: int, convert: Callable[[Cells], object]
    ) -> MarketDataError:
        """Finds the first line that does not convert: the shortest beginning that fails."""
        lines = block.splitlines(keepends=True)

        def fails(count: int) -> bool:
            beginning = b"".join(lines[:count])
            if not beginning.strip():
                return False
            try:
                convert(Cells(self._parsed(beginning), str, _no_refusal))
            except (pa.ArrowException, ValueError, MarketDataError):
                return True
            return False

        low, high = 0, len(lines)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if fails(middle) else (middle, high)
        text = lines[high - 1].decode(errors="replace").strip()
        return MarketDataError(
            f"{self.subject} has rows that cannot be used",
            [FieldViolation(f"line {line + high - 1}", self._fault(text))],
        )

    def _fault(self, text: str) -> str:
        cells = next(csv.reader(io.StringIO(text), delimiter=self.dialect.delimiter), [])
        if len(cells) != self.dialect.width:
            return f"{len(cells)} cells instead of {self.dialect.width}: {text[:200]!r}"
        numbers = " and ".join(role for role in self.roles.columns if role != TIMESTAMP)
        return (
            f"{text[:200]!r} needs {self.form.needed}, and {numbers} that are plain numbers, a "
            "price above 0, a size not below 0"
        )

    def _line_of(self, block: bytes, line: int, row: int) -> int:
        for number, text in enumerate(block.splitlines()):
            if text:
                row -= 1
            if row < 0:
                return line + number
        return line


def _as_utf8(head: bytes) -> tuple[bytes, str]:
    """A beginning of a text as UTF-8, and its encoding: any other than UTF-8 is read as Latin-1."""
    try:
        head.decode()
    except UnicodeDecodeError as problem:
        if problem.start < len(head) - 3:  # not a character that the beginning cuts
            return head.decode("latin-1").encode(), "latin-1"
    return head, "utf-8"


def _no_refusal(_: Callable[[Cells], object]) -> MarketDataError:
    return MarketDataError("a row cannot be used")
