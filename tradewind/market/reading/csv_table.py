"""Separated text through Arrow: numbers at once where they are plain, else as text."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from tradewind.constants import CLOSE, HIGH, LOW, OPEN_PRICE, TIMESTAMP
from tradewind.errors import FieldViolation, MarketDataError
from tradewind.market.checks import MAX_REPORTED_VIOLATIONS
from tradewind.market.reading.amounts import tell_decimal_mark
from tradewind.market.reading.dialect import Dialect, numbered_rows, tell_dialect
from tradewind.market.reading.options import DecimalMark, ReadOptions
from tradewind.market.reading.plain_rows import (
    INTEGERS,
    ISO_NAIVE,
    ISO_ZONED,
    read_plain_rows,
)
from tradewind.market.reading.roles import Roles, roles_of_header, roles_of_rows
from tradewind.market.reading.source import MOST_LINE_BYTES
from tradewind.market.reading.times import TimeForm, is_clock, is_epoch, tell_text

__all__ = ["CsvTable"]

ReadAt = Callable[[int, int], bytes]
Cells = tuple[Any, TimeForm, dict[str, Any], Any]

_ADJUSTED: Final = "adjusted close"
_SYMBOL: Final = pa.dictionary(pa.int32(), pa.string())
_FOOTER: Final = re.compile(rb'\n"?(?:Downloaded from|Source:|Copyright|\xc2\xa9)[^\n]*\s*$', re.I)
_THREE_DECIMALS: Final = re.compile(r"\d{1,3}\.\d{3}$")


@dataclass(frozen=True, eq=False)
class CsvTable:
    """A text with bars in it.

    Attributes:
        subject: The file, for errors.
        data: All of the text.
        dialect: How it is cut.
        roles: Which columns are which.
        names: Names of all columns.
        notes: What was left out.
        wants_adjusted: Adjusted closes are read, too.
    """

    subject: str
    data: bytes
    dialect: Dialect
    roles: Roles
    names: tuple[str, ...]
    notes: tuple[str, ...]
    wants_adjusted: bool

    @classmethod
    def open(cls, subject: str, data: bytes, options: ReadOptions) -> Self:
        """Tells how a text is cut and which columns it has.

        Raises:
            MarketDataError: It cannot be told, or not without an option that the message names.
        """
        if b"\n" not in data and b"\r" in data:
            data = data.replace(b"\r", b"\n")
        dialect = tell_dialect(subject, data)
        notes = dialect.skipped
        footer = _FOOTER.search(data, max(dialect.offset, len(data) - 1000))
        if footer:
            notes = (*notes, f"the last line was left out: {footer[0].decode().strip()[:80]!r}")
            data = data[: footer.start() + 1]
        if dialect.names is not None:
            names = dialect.names
            roles = roles_of_header(subject, names, options)
        else:
            names = tuple(f"column {place + 1}" for place in range(dialect.width))
            roles = roles_of_rows(subject, dialect.sample, options, is_epoch, is_clock)
        return cls(subject, data, dialect, roles, names, notes, options.adjusted)

    @property
    def unnamed(self) -> bool:
        """There is no header."""
        return self.dialect.names is None

    @property
    def whole_prices(self) -> bool:
        """The first prices have no decimals."""
        place = self.roles.columns[OPEN_PRICE]
        return all(row[place].strip().isdigit() for row in self.dialect.sample)

    @property
    def form(self) -> str:
        """What was recognised, for people."""
        known = self.roles.form
        return f"{known}, {self.dialect.label}" if known else self.dialect.label

    def read(self, options: ReadOptions) -> Cells:
        """Reads the columns that bars need.

        Returns:
            Times, their form, the other columns by name (numbers, or text where some are not
            plain), and the symbols where there is a column of them.

        Raises:
            MarketDataError: Rows have a wrong number of cells, or times have no known form.
        """
        self._refuse_doubtful_decimals(options)
        times = self._places()
        head = [" ".join(row[place].strip() for place in times) for row in self.dialect.sample]
        try:
            form = tell_text(head, options, self._time_text)
        except MarketDataError as problem:
            raise MarketDataError(f"{self.subject}, {self.labels([0])[0]}: {problem}") from None
        direct = form.direct if len(times) == 1 else None
        mark = self._likely_mark(options)
        if mark is not None:
            plain = self._plain(form, options, self._read_at, len(self.data))
            if plain is not None:
                return plain
            try:
                table = self._fetch(direct or pa.string(), pa.float64(), mark)
                columns, symbols = self._split(table)
                if direct is None:
                    return self._joined(table), form, columns, symbols
                return table.column(0), _of_numbers(form), columns, symbols
            except pa.ArrowInvalid:
                pass  # Some cell is not plain: read as text, it can be quoted.
        try:
            table = self._fetch(pa.string(), pa.string())
        except pa.ArrowException as problem:
            self._refuse_long_line()
            raise MarketDataError(f"cannot read {self.subject}: {problem}") from None
        columns, symbols = self._split(table)
        return self._joined(table), form, columns, symbols

    def labels(self, rows: Sequence[int]) -> dict[int, str]:
        """The lines of rows, as an editor counts them."""
        wanted, last = set(rows), max(rows, default=-1)
        found = {}
        for row, (line, _) in enumerate(numbered_rows(self.data, self.dialect)):
            if row in wanted:
                found[row] = f"line {line}"
            if row >= last:
                break
        return found

    def _places(self) -> tuple[int, ...]:
        clock = self.roles.clock
        place = self.roles.columns[TIMESTAMP]
        return (place,) if clock is None else (place, clock)

    def _time_text(self) -> Any:
        return self._joined(self._fetch(pa.string(), None))

    def _joined(self, table: Any) -> Any:
        if self.roles.clock is None:
            return table.column(0)
        date, clock = (pc.utf8_trim_whitespace(table.column(place)) for place in (0, 1))
        return pc.binary_join_element_wise(date, clock, " ")

    def _split(self, table: Any) -> tuple[dict[str, Any], Any]:
        columns = {
            name: table.column(name) for name in self._numbers() if name in table.column_names
        }
        return columns, table.column("symbol") if self.roles.symbol is not None else None

    def _numbers(self) -> dict[str, int]:
        numbers = {name: place for name, place in self.roles.columns.items() if name != TIMESTAMP}
        if self.wants_adjusted and self.roles.adjusted is not None:
            numbers[_ADJUSTED] = self.roles.adjusted
        return numbers

    def _likely_mark(self, options: ReadOptions) -> DecimalMark | None:
        """What separates decimals in the first rows: where all agree, no text is needed."""
        if options.decimal is not None:
            return options.decimal
        first = {
            name: pa.array([row[place] for row in self.dialect.sample])
            for name, place in self._numbers().items()
        }
        try:
            return tell_decimal_mark(self.subject, first)
        except MarketDataError:
            return None  # Later rows may tell.

    def read_plain(self, read_at: ReadAt, size: int, options: ReadOptions) -> Cells | None:
        """`read`, where `data` is but the beginning of a large text whose rows are all plain.

        Args:
            read_at: Gives so many bytes of the text from a place on.
            size: Bytes of the text.
            options: What the user says.

        Returns:
            None where `read` with all of the text is needed.

        Raises:
            MarketDataError: As `read`, which must then see all of it.
        """
        self._refuse_doubtful_decimals(options)
        place = self._places()[0]
        head = [row[place].strip() for row in self.dialect.sample]
        form = tell_text(head, options, self._time_text)
        return self._plain(form, options, read_at, size)

    def _plain(
        self, form: TimeForm, options: ReadOptions, read_at: ReadAt, size: int
    ) -> Cells | None:
        direct = form.direct
        if direct is None or len(self._places()) > 1 or self.roles.symbol is not None:
            return None
        if self._likely_mark(options) != ".":
            return None
        kind = INTEGERS
        if not pa.types.is_integer(direct):
            kind = ISO_NAIVE if direct.tz is None else ISO_ZONED
        rows = read_plain_rows(
            read_at,
            size,
            self.dialect.offset,
            self.dialect.delimiter,
            self.dialect.width,
            self.roles.columns[TIMESTAMP],
            kind,
            self._numbers(),
        )
        if rows is None:
            return None
        columns = {name: pa.array(column) for name, column in rows.columns.items()}
        return pa.array(rows.times), _of_numbers(form), columns, None

    def _read_at(self, count: int, place: int) -> bytes:
        return self.data[place : place + count]

    def _fetch(self, time_type: Any, number_type: Any, mark: DecimalMark = ".") -> Any:
        """Reads columns: times first; without a type for numbers, times alone."""
        types = dict.fromkeys((("time", place) for place in self._places()), time_type)
        if number_type is not None:
            types |= dict.fromkeys(self._numbers().items(), number_type)
            if self.roles.symbol is not None:
                types["symbol", self.roles.symbol] = _SYMBOL
        width = self.dialect.width
        torn: list[Any] = []

        def collect(row: Any) -> str:
            torn.append(row)
            return "skip"

        table = pyarrow.csv.read_csv(
            pa.BufferReader(pa.py_buffer(self.data).slice(self.dialect.offset)),
            pyarrow.csv.ReadOptions(column_names=[str(place) for place in range(width)]),
            pyarrow.csv.ParseOptions(delimiter=self.dialect.delimiter, invalid_row_handler=collect),
            pyarrow.csv.ConvertOptions(
                include_columns=list(dict.fromkeys(str(place) for _, place in types)),
                column_types={str(place): kind for (_, place), kind in types.items()},
                null_values=[],
                strings_can_be_null=False,
                decimal_point=mark,
            ),
        )
        if torn or self._lost_lines(table.num_rows):
            raise self._torn(width)
        columns = [table.column(str(place)) for _, place in types]
        return pa.table(columns, names=[name for name, _ in types])

    def _lost_lines(self, row_count: int) -> bool:
        """Whether a quote that was left open has swallowed rows."""
        if self.data.find(b'"', self.dialect.offset) < 0:
            return False
        lines = self.data[self.dialect.offset :].splitlines()
        return sum(1 for line in lines if line) != row_count

    def _refuse_long_line(self) -> None:
        start = self.dialect.offset
        while len(self.data) - start > MOST_LINE_BYTES:
            end = self.data.rfind(b"\n", start, start + MOST_LINE_BYTES)
            if end < 0:
                line = self.data.count(b"\n", 0, start) + 1
                raise MarketDataError(
                    f"cannot read {self.subject}: line {line} has more than {MOST_LINE_BYTES:,} "
                    "bytes: no row of a table of bars"
                )
            start = end + 1

    def _torn(self, width: int) -> MarketDataError:
        self._refuse_long_line()
        violations: list[FieldViolation] = []
        count = 0
        delimiter = self.dialect.delimiter
        for line, row in numbered_rows(self.data, self.dialect):
            text = delimiter.join(row)
            if len(row) == width and "\n" not in text:
                continue
            count += 1
            if len(violations) < MAX_REPORTED_VIOLATIONS:
                fault = f"{len(row)} cells instead of {width}: {text[:200]!r}"
                violations.append(FieldViolation(f"line {line}", fault))
        return MarketDataError(
            f"{self.subject} has {count} row(s) with a wrong number of cells", violations
        )

    def _refuse_doubtful_decimals(self, options: ReadOptions) -> None:
        """11.234;11.240 may be points of thousands, as such tables come from such countries."""
        if options.decimal is not None or self.dialect.delimiter != ";":
            return
        places = [self.roles.columns[name] for name in (OPEN_PRICE, HIGH, LOW, CLOSE)]
        prices = [row[place].strip() for row in self.dialect.sample for place in places]
        if all(_THREE_DECIMALS.match(cell) for cell in prices):
            raise MarketDataError(
                f"{self.subject}: points separate decimals or thousands ({prices[0]}), and no "
                'number says which; say decimal: "," or decimal: "."'
            )


def _of_numbers(form: TimeForm) -> TimeForm:
    """The form for times that the CSV reader has converted already."""
    if form.factor == 1 and not pa.types.is_integer(form.direct):
        return replace(form, cast=lambda cells: pc.cast(cells, pa.int64()))
    return form
