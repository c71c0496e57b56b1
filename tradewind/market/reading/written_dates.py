"""Dates that are not ISO 8601: 03/01/2019 01:30 PM, 01.03.2019, 20190301 093000, Mar 01, 2019."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tradewind.constants import TIMESTAMP
from tradewind.errors import MarketDataError
from tradewind.market.reading.options import DateOrder, ReadOptions

__all__ = ["WrittenForm", "is_compact", "tell_written"]

_YEAR, _MONTH, _DAY = r"(?P<y>\d{4})", r"(?P<m>\d{1,2})", r"(?P<d>\d{1,2})"
_NAME: Final = r"(?P<name>[A-Za-z]{3,9})\.?"
_CLOCK: Final = (
    r"(?:[T ,;]+(?P<H>\d{1,2})(?::(?P<M>\d{2})(?::(?P<S>\d{2})(?P<f>[.,]\d{1,9})?)?)?"
    r"(?:[ -]?(?P<half>[AaPp])\.?[Mm]\.?)?)?"
)
_COMPACT_CLOCK: Final = r"(?:[T ]*(?P<H>\d{2})(?P<M>\d{2})(?:(?P<S>\d{2})(?P<ms>\d{3})?)?)?"
_ZONE: Final = (
    r"(?: ?(?:UTC|GMT)? ?(?P<sign>[+-])(?P<zh>\d{1,2}):?(?P<zm>\d{2})?"
    r"| ?(?P<utc>Z|UTC|GMT)| (?P<zone>[A-Za-z]+/[A-Za-z_/]+))?"
)
_FORMS: Final = {
    # The order of the first two numbers of this one is another question.
    "numbers": (r"(?P<a>\d{1,2})[/-](?P<b>\d{1,2})[/-]" + _YEAR, _CLOCK),
    "day.month.year": (_DAY + r"\." + _MONTH + r"\." + _YEAR, _CLOCK),
    "year month day": (_YEAR + r"[-./]" + _MONTH + r"[-./]" + _DAY, _CLOCK),
    "year month day, clock without colons": (
        _YEAR + r"[-./]" + _MONTH + r"[-./]" + _DAY, _COMPACT_CLOCK
    ),
    "yyyymmdd": (r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})", _CLOCK),
    "yyyymmddhhmmss": (r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})", _COMPACT_CLOCK),
    "day, name of month, year": (_DAY + "[- ]" + _NAME + "[- ,]+" + _YEAR, _CLOCK),
    "name of month, day, year": (_NAME + " " + _DAY + ",? +" + _YEAR, _CLOCK),
}  # fmt: skip
_LONG_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_MONTHS: Final = tuple(name[:3] for name in _LONG_MONTHS)
_OVER_TWELVE: Final = r"(1[3-9]|[2-9]\d)"
_WORTH_PARTS: Final = 10_000
_DAY_NS: Final = 86_400 * 10**9
_CLOSED_AT_MOST: Final = 7 * _DAY_NS
_OTHER_MONTH: Final = 20 * _DAY_NS


@dataclass(frozen=True, slots=True)
class WrittenForm:
    """A form of written dates.

    Attributes:
        label: The form, for people.
        date_pattern: What matches the date at its beginning.
        rest_pattern: What matches everything behind it.
        month_first: How `numbers` are to be read.
        zone: The name of the zone that every cell carries.
        has_offset: Every cell carries its offset from UTC.
    """

    label: str
    date_pattern: str
    rest_pattern: str
    month_first: bool
    zone: str | None
    has_offset: bool

    @property
    def pattern(self) -> str:
        """What matches a cell."""
        return self.date_pattern + self.rest_pattern

    def to_stamps(self, cells: Any) -> Any:
        """Arrow timestamps in nanoseconds; null, or an error, where a cell is not of this form."""
        whole = self._from_parts(cells) if len(cells) >= _WORTH_PARTS else None
        return self._stamps(cells) if whole is None else whole

    def _stamps(self, cells: Any) -> Any:
        return pc.cast(self.to_iso(cells), pa.timestamp("ns", "UTC" if self.has_offset else None))

    def _from_parts(self, cells: Any) -> Any:
        """The same from the few dates and the few times of day that many cells are made of.

        Dates are cut off where that of the first cell ends. A cell that is cut elsewhere gives no
        time here, and then all of them are read one by one.
        """
        first = cells[0].as_py() or ""
        date = re.match(self.date_pattern, first)
        if date is None or date.end() == len(first):
            return None
        dates, clocks = (
            pc.dictionary_encode(pc.utf8_slice_codeunits(cells, *ends)).unify_dictionaries()
            for ends in ((0, date.end()), (date.end(), None))
        )
        known_dates, known_clocks = dates.chunk(0).dictionary, clocks.chunk(0).dictionary
        if len(known_dates) + len(known_clocks) > len(cells) / 4:
            return None
        try:
            days = pc.cast(self._stamps(_joined(known_dates, known_clocks[0])), pa.int64())
            times = pc.cast(self._stamps(_joined(known_dates[0], known_clocks)), pa.int64())
        except pa.ArrowException:
            return None
        if days.null_count or times.null_count or dates.null_count or clocks.null_count:
            return None
        day, time = (
            values.to_numpy()[part.combine_chunks().indices.to_numpy()]
            for values, part in ((days, dates), (times, clocks))
        )
        instants = day + (time - days[0].as_py())
        return pa.array(instants).cast(pa.timestamp("ns", "UTC" if self.has_offset else None))

    def to_iso(self, cells: Any) -> Any:
        """ISO 8601 text; null where a cell is not of this form."""
        parts = pc.extract_regex(cells, self.pattern)
        groups = list(re.compile(self.pattern).groupindex)

        def part(name: str, default: str = "") -> Any:
            if name not in groups:
                return pa.scalar(default)
            # Arrow gives empty text for a group that took no part.
            found = pc.struct_field(parts, name)
            return pc.if_else(pc.equal(found, ""), default, found) if default else found

        def padded(found: Any) -> Any:
            return pc.utf8_lpad(found, 2, "0")

        day, month = part("d"), part("m")
        if "a" in groups:
            day, month = part("a"), part("b")
            if self.month_first:
                day, month = month, day
        if "name" in groups:
            month = _month_numbers(part("name"))
        date = pc.binary_join_element_wise(part("y"), padded(month), padded(day), "-")
        hours = _hours(padded(part("H", "00")), part("half"))
        clock = pc.binary_join_element_wise(hours, part("M", "00"), part("S", "00"), ":")
        if "f" in groups:
            fraction = pc.replace_substring(part("f"), ",", ".")
            clock = pc.binary_join_element_wise(clock, fraction, "")
        if "ms" in groups:
            fraction = pc.if_else(pc.equal(part("ms"), ""), "000", part("ms"))
            clock = pc.binary_join_element_wise(clock, fraction, ".")
        iso = pc.binary_join_element_wise(date, clock, " ")
        # A cell with another zone than the first one, or with one beside cells without, is none.
        if self.has_offset:
            offset = pc.binary_join_element_wise(
                part("sign", "+"), padded(part("zh", "00")), part("zm", "00"), ""
            )
            known = pc.or_(pc.not_equal(part("sign"), ""), pc.not_equal(part("utc"), ""))
            iso = pc.binary_join_element_wise(iso, offset, "")
        else:
            bare = pc.and_(pc.equal(part("sign"), ""), pc.equal(part("utc"), ""))
            known = pc.and_(bare, pc.equal(part("zone"), self.zone or ""))
        if "half" in groups:
            # An hour alone is the beginning of a time that was cut.
            minutes = pc.or_(pc.not_equal(part("M"), ""), pc.not_equal(part("half"), ""))
            known = pc.and_(known, pc.or_(pc.equal(part("H"), ""), minutes))
        return pc.if_else(known, iso, pa.scalar(None, pa.string()))


def is_compact(cells: Sequence[str], *, hours: bool = False) -> bool:
    """Whether all cells are dates without separators: yyyymmdd, with hhmm or hhmmss.

    Args:
        cells: Text.
        hours: Looks for yyyymmddhh instead, which seconds of the years 2032 to 2035 look like.
    """
    formats = {10: "%Y%m%d%H"} if hours else {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
    for cell in cells:
        if len(cell) not in formats or not cell.isascii() or not cell.isdigit():
            return False
        if not "1875" <= cell[:4] <= "2064":
            return False
        try:
            datetime.strptime(cell, formats[len(cell)])
        except ValueError:
            return False
    return True


def tell_written(
    head: Sequence[str], options: ReadOptions, whole: Callable[[], Any]
) -> WrittenForm:
    """Tells the form of written dates by the first cell, and the order of day and month by all.

    Raises:
        MarketDataError: There is no such form, or the order cannot be told.
    """
    first = head[0]
    for name, (date, clock) in _FORMS.items():
        match = re.match(f"^{date}{clock}{_ZONE}$", first)
        if match is None or _hour_alone(match):
            continue
        found = match.groupdict()
        form = WrittenForm(
            label=name,
            date_pattern=f"^{date}",
            rest_pattern=f"{clock}{_ZONE}$",
            month_first=True,
            zone=found["zone"],
            has_offset=bool(found["sign"] or found["utc"]),
        )
        return form if "a" not in found else _ordered(form, first, options, whole)
    raise MarketDataError(
        f"column {TIMESTAMP}: {first!r} is of no known form of time; ISO 8601 is always known, "
        "as in 2019-03-01 09:30:00"
    )


def _ordered(
    form: WrittenForm, first: str, options: ReadOptions, whole: Callable[[], Any]
) -> WrittenForm:
    def reading(order: DateOrder) -> WrittenForm:
        label = f"{order.removesuffix('_first')}/{'day' if order[0] == 'm' else 'month'}/year"
        return replace(form, label=label, month_first=order == "month_first")

    if options.dates is not None:
        return reading(options.dates)
    cells = pc.utf8_trim_whitespace(whole())
    # Another row may contradict: with the month of the one that was found, it is refused.
    if pc.any(pc.match_substring_regex(cells, rf"^{_OVER_TWELVE}[/-]")).as_py():
        return reading("day_first")
    if pc.any(pc.match_substring_regex(cells, rf"^\d{{1,2}}[/-]{_OVER_TWELVE}[/-]")).as_py():
        return reading("month_first")
    both: tuple[tuple[DateOrder, DateOrder], ...] = (
        ("month_first", "day_first"),
        ("day_first", "month_first"),
    )
    regular = [
        order
        for order, other in both
        if _follow(_stamps(reading(order), cells), _stamps(reading(other), cells))
    ]
    if len(regular) == 1:
        return reading(regular[0])
    raise MarketDataError(
        f"column {TIMESTAMP}: {first!r} may be read month first or day first, and no row says "
        "which; say dates: month_first or dates: day_first"
    )


def _stamps(form: WrittenForm, cells: Any) -> Any:
    try:
        return pc.cast(form.to_stamps(cells), pa.int64())
    except pa.ArrowException:
        return None


def _follow(times: Any, otherwise: Any) -> bool:
    """Whether days follow each other in this reading, and lie a month apart in the other one.

    Bars of less than a day alone can show it: daily bars of one order are monthly ones of the
    other.
    """
    if times is None or times.null_count or otherwise is None or otherwise.null_count:
        return False
    mine, other = (np.abs(np.diff(column.to_numpy())) for column in (times, otherwise))
    changes = mine != other
    if mine.size == 0 or np.median(mine) >= _DAY_NS or not changes.any():
        return False
    return bool(mine.max() <= _CLOSED_AT_MOST and other[changes].min() >= _OTHER_MONTH)


def _joined(date: Any, clock: Any) -> Any:
    return pc.binary_join_element_wise(date, clock, "")


def _hour_alone(match: re.Match[str]) -> bool:
    """09 alone is no time of day, 09 AM is."""
    found = match.groupdict()
    return bool(found["H"] and not found["M"] and not found.get("half"))


def _hours(hours: Any, half: Any) -> Any:
    if isinstance(half, pa.Scalar):
        return hours
    number = pc.cast(hours, pa.int64())
    turned = pc.if_else(pc.equal(number, 12), 0, number)
    turned = pc.if_else(pc.equal(pc.utf8_lower(half), "p"), pc.add(turned, 12), turned)
    # 13 PM is no time: left as 99, which no conversion takes.
    fits = pc.and_(pc.greater_equal(number, 1), pc.less_equal(number, 12))
    turned = pc.if_else(pc.equal(half, ""), number, pc.if_else(fits, turned, 99))
    return pc.utf8_lpad(pc.cast(turned, pa.string()), 2, "0")


def _month_numbers(names: Any) -> Any:
    lower = pc.utf8_lower(names)
    short = pc.index_in(lower, pa.array(_MONTHS))
    long = pc.index_in(lower, pa.array(_LONG_MONTHS))
    number = pc.coalesce(short, long, pc.if_else(pc.equal(lower, "sept"), 8, None))
    return pc.cast(pc.add(number, 1), pa.string())
