"""From cells to instants: which form the times of a table have, and their conversion."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tradewind.constants import TIMESTAMP
from tradewind.errors import MarketDataError
from tradewind.market.reading.options import ReadOptions
from tradewind.market.reading.written_dates import WrittenForm, is_compact, tell_written

__all__ = ["Cast", "TimeForm", "is_clock", "is_epoch", "is_text", "tell_times", "trimmed"]

Cast = Callable[[Any], Any]

_NS_PER_UNIT: Final = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
# From 1973 to 5138 the size of an epoch number tells its unit: the ranges do not overlap.
_SMALLEST_EPOCH: Final = {"s": 10**8, "ms": 10**11, "us": 10**14, "ns": 10**17}
_INTEGER: Final = re.compile(r"-?\d+$")
_FRACTION: Final = re.compile(r"-?\d+\.\d*$|-?\d+(\.\d+)?[eE]\+?\d+$")
_CLOCK: Final = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?$")
_ISO: Final = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d(:?\d\d(:?\d\d(\.\d+)?)?)?(Z|[+-][\d:]+)?)?$")
_DECIMAL: Final = pa.decimal128(38, 9)
_ROUNDED: Final = 8  # characters of 1.551398: too few for a time
_NAIVE_HINT: Final = "read as UTC; the option tz names another zone"


@dataclass(frozen=True, slots=True)
class TimeForm:
    """How the times of a table are written.

    Attributes:
        cast: From a column to nanoseconds since the epoch, null where a cell is none.
        needed: What each cell must be, for errors.
        label: How the times were read, for people.
        direct: The Arrow type as which a CSV reader gives the same, None where it cannot.
        factor: What the integers of `direct` are multiplied by.
        naive: There is neither an offset nor a zone: the times were taken to be UTC.
        settings: The options that say the same.
    """

    cast: Cast
    needed: str
    label: str
    direct: Any = None
    factor: int = 1
    naive: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)


def is_text(column: Any) -> bool:
    """Whether an Arrow column holds text."""
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def trimmed(cells: Any) -> Any:
    """Text without the white space around it; other cells as they are."""
    return pc.utf8_trim_whitespace(cells) if is_text(cells) else cells


def is_epoch(cell: str) -> bool:
    """Whether a cell is a number of s, ms, us or ns since the epoch, and no date."""
    cell = cell.strip()
    if not (_INTEGER.match(cell) or _FRACTION.match(cell)):
        return False
    return abs(float(cell)) >= _SMALLEST_EPOCH["s"] and not is_compact([cell])


def is_clock(cell: str) -> bool:
    """Whether a cell is a time of day."""
    return bool(_CLOCK.match(cell.strip()))


def tell_times(column: Any, options: ReadOptions) -> TimeForm:
    """Tells the form of the times of a column, by its first cells and, for dates, by all.

    Raises:
        MarketDataError: It cannot be told, or not without an option that the message names.
    """
    if is_text(column):
        head = [(cell or "").strip() for cell in column.slice(0, 200).to_pylist()]
        return tell_text(head, options, lambda: column)
    if pa.types.is_integer(column.type):
        head = [str(cell) for cell in column.slice(0, 200).to_pylist()]
        if options.timestamp_unit is None and is_compact(head):
            form = tell_written(head, options, lambda: pc.cast(column, pa.string()))
            return _written(form, options, lambda cells: pc.cast(cells, pa.string()))
        return _integers(head, options)
    if pa.types.is_floating(column.type):
        head = [repr(cell) for cell in column.slice(0, 200).to_pylist()]
        return _floats(head[0], options)
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return _stamps(column, options)
    raise MarketDataError(
        f"column {TIMESTAMP} must hold text, Arrow timestamps or numbers since the epoch, "
        f"not {column.type}"
    )


def tell_text(head: Sequence[str], options: ReadOptions, whole: Callable[[], Any]) -> TimeForm:
    """`tell_times` for text: its first cells, and how to get all of it."""
    first = head[0]
    if _INTEGER.match(first) and not (options.timestamp_unit is None and is_compact(head)):
        return _integers(head, options)
    if _FRACTION.match(first):
        if all(
            "e" in cell.lower() and len(cell.lower().split("e")[0]) <= _ROUNDED for cell in head
        ):
            raise MarketDataError(
                f"column {TIMESTAMP}: {first} was rounded by the program that saved it, as "
                "spreadsheets do: save the times with all their digits"
            )
        return _fractions(first, options)
    if _ISO.match(first):
        return _iso(first, options)
    return _written(tell_written(head, options, whole), options, lambda cells: cells)


def _integers(head: Sequence[str], options: ReadOptions) -> TimeForm:
    unit = options.timestamp_unit or _unit_of(head[0])
    _refuse_zone(options, "numbers since the epoch are UTC")
    if options.timestamp_unit is None and is_compact(head, hours=True):
        raise MarketDataError(
            f"column {TIMESTAMP}: {head[0]} may be seconds since the epoch, or year, month, day "
            f"and hour; say timestamp_unit: {unit}, or write the times as ISO 8601"
        )
    factor = _NS_PER_UNIT[unit]
    return TimeForm(
        cast=lambda cells: pc.multiply_checked(pc.cast(trimmed(cells), pa.int64()), factor),
        needed=f"an integer number of {unit} since the epoch",
        label=f"integers, {unit} since the epoch",
        direct=pa.int64(),
        factor=factor,
        settings={"timestamp_unit": unit},
    )


def _fractions(first: str, options: ReadOptions) -> TimeForm:
    unit = options.timestamp_unit or _unit_of(first)
    _refuse_zone(options, "numbers since the epoch are UTC")
    digits = len(str(_NS_PER_UNIT[unit]))
    factor = pa.scalar(_NS_PER_UNIT[unit], pa.decimal128(digits, 0))
    # The product has the digits of both, and one more; Arrow has 38.
    narrow = pa.decimal128(_DECIMAL.precision - digits - 1, _DECIMAL.scale)

    def cast(cells: Any) -> Any:
        # As decimals: a double of 1.5e9 seconds holds no more than a quarter of a microsecond.
        exact = pc.cast(pc.cast(trimmed(cells), _DECIMAL), narrow)
        return pc.cast(pc.round(pc.multiply(exact, factor)), pa.int64())

    return TimeForm(
        cast=cast,
        needed=f"a number of {unit} since the epoch",
        label=f"numbers with decimals, {unit} since the epoch",
        settings={"timestamp_unit": unit},
    )


def _floats(first: str, options: ReadOptions) -> TimeForm:
    unit = options.timestamp_unit or _unit_of(first)
    _refuse_zone(options, "numbers since the epoch are UTC")
    factor = _NS_PER_UNIT[unit]

    def cast(cells: Any) -> Any:
        whole = pc.floor(cells)
        # What a double of seconds holds ends at a quarter of a microsecond.
        part = pc.multiply(pc.round(pc.multiply(pc.subtract(cells, whole), factor / 1e3)), 1e3)
        exact = pc.multiply_checked(pc.cast(whole, pa.int64()), factor)
        return pc.add_checked(exact, pc.cast(part, pa.int64()))

    return TimeForm(
        cast=cast,
        needed=f"a number of {unit} since the epoch",
        label=f"floating-point numbers, {unit} since the epoch",
        settings={"timestamp_unit": unit},
    )


def _iso(first: str, options: ReadOptions) -> TimeForm:
    # Arrow wants to know beforehand whether there are offsets from UTC.
    zoned = bool(re.search(r":.*(Z|[+-][\d:]+)$", first))
    if zoned:
        _refuse_zone(options, f"{first!r} carries its offset from UTC")
    kind = pa.timestamp("ns", "UTC" if zoned else None)
    form = "with an offset from UTC" if zoned else "without an offset from UTC"
    zone = None if zoned else options.tz
    return TimeForm(
        cast=lambda cells: _instants(pc.cast(trimmed(cells), kind), zone),
        needed=f"an ISO 8601 time {form} (as in the first row) from 1677 to 2262{_once(zone)}",
        label="ISO 8601 " + (form if zoned else _zone_label(zone)),
        direct=None if zone else kind,
        naive=not zoned and zone is None,
        settings={} if zoned else {"tz": zone or "UTC"},
    )


def _written(form: WrittenForm, options: ReadOptions, as_text: Cast) -> TimeForm:
    zone = form.zone or options.tz
    if form.zone or form.has_offset:
        _refuse_zone(options, "the times carry their offset from UTC or their zone")
    return TimeForm(
        cast=lambda cells: _instants(form.to_stamps(trimmed(as_text(cells))), zone),
        needed=f"a time written as {form.label} (as in the first row){_once(zone)}",
        label=form.label + ("" if form.has_offset else ", " + _zone_label(zone)),
        naive=not form.has_offset and zone is None,
        settings=_settings_of(form, options),
    )


def _settings_of(form: WrittenForm, options: ReadOptions) -> dict[str, str]:
    settings = {}
    if "month/" in form.label and "day/" in form.label:
        settings["dates"] = "month_first" if form.month_first else "day_first"
    if not form.has_offset and form.zone is None:
        settings["tz"] = options.tz or "UTC"
    return settings


def _stamps(column: Any, options: ReadOptions) -> TimeForm:
    stored = getattr(column.type, "tz", None)
    if stored is not None:
        _refuse_zone(options, f"the times are of the zone {stored}")
    zone = options.tz if stored is None else None
    kind = pa.timestamp("ns", stored)
    return TimeForm(
        cast=lambda cells: _instants(pc.cast(cells, kind), zone),
        needed=f"a time from 1677 to 2262{_once(zone)}",
        label=f"{column.type}" + ("" if stored else f", {_zone_label(zone)}"),
        naive=stored is None and zone is None,
        settings={} if stored else {"tz": zone or "UTC"},
    )


def _instants(stamps: Any, zone: str | None) -> Any:
    if zone is not None and zone != "UTC":
        stamps = pc.assume_timezone(stamps, zone, ambiguous="raise", nonexistent="raise")
    return pc.cast(stamps, pa.int64())


def _unit_of(first: str) -> str:
    try:
        size = abs(float(first))
    except ValueError:
        raise MarketDataError(f"column {TIMESTAMP}: its first cell is missing") from None
    fitting = [name for name, smallest in _SMALLEST_EPOCH.items() if size >= smallest]
    if not fitting:
        raise MarketDataError(
            f"column {TIMESTAMP}: the unit of {first} cannot be told by its size "
            f"(times since 1973 can); say timestamp_unit: {', '.join(_NS_PER_UNIT)}"
        )
    return fitting[-1]


def _refuse_zone(options: ReadOptions, why: str) -> None:
    if options.tz is not None:
        raise MarketDataError(f"column {TIMESTAMP}: leave out tz: {why}")


def _zone_label(zone: str | None) -> str:
    return f"in {zone}" if zone else _NAIVE_HINT


def _once(zone: str | None) -> str:
    return f", which the clocks of {zone} show once" if zone and zone != "UTC" else ""
