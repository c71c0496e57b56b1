"""From columns as they stand in a table to bars: order, repetitions, rounding, checks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradewind.constants import CLOSE, HIGH, LOW, OPEN_PRICE, TIMESTAMP, VOLUME
from tradewind.errors import MarketDataError
from tradewind.market.checks import MAX_REPORTED_VIOLATIONS, refusal, series_defects
from tradewind.market.reading.options import ADJUSTMENT, ReadOptions

__all__ = ["Assembled", "RawColumns", "assemble"]

Numbers = NDArray[np.float64]
_PRICES: Final = (OPEN_PRICE, HIGH, LOW, CLOSE)
_ROUNDING: Final = 1e-9
_HOUR_NS: Final = 3_600 * 10**9
_FIXED_POINT: Final = 1e9  # dividing by it rounds once
_CROSSED: Final = 0.2


@dataclass(frozen=True, eq=False)
class RawColumns:
    """Columns of a table, in its order.

    Attributes:
        subject: The table, for errors.
        timestamps_ns: Starts of bars. Shape [n].
        columns: Open, high, low, close and volume. Shape [n] each.
        adjusted: Adjusted closes, where there are any. Shape [n].
        rows: The rows that these are in the table. Shape [n].
        labels: Names rows of the table as their user finds them.
        naive: Times were written without offset or zone, and nobody named one.
        unnamed: There is no header.
        fixed_point: Prices are integers of 1e-9.
    """

    subject: str
    timestamps_ns: NDArray[np.int64]
    columns: dict[str, Numbers]
    adjusted: Numbers | None
    rows: NDArray[np.int64]
    labels: Callable[[Sequence[int]], dict[int, str]]
    naive: bool
    unnamed: bool
    fixed_point: bool


@dataclass(frozen=True, eq=False)
class Assembled:
    """Valid bars, oldest first, what was done to have them, and the order in which they stood."""

    timestamps_ns: NDArray[np.int64]
    columns: dict[str, Numbers]
    notes: tuple[str, ...] = field(default=())
    order: str = "oldest_first"


def assemble(raw: RawColumns, options: ReadOptions) -> Assembled:
    """Brings the rows into order and checks them.

    Raises:
        MarketDataError: A row cannot be used, or the table contradicts itself; names the row.
    """
    notes: list[str] = []
    times, columns, rows = raw.timestamps_ns, dict(raw.columns), raw.rows
    if options.adjusted:
        columns = _adjusted(raw, columns, notes)
    order = _order(raw, options, notes)
    if order is not None:
        times, rows = times[order], rows[order]
        columns = {name: column[order] for name, column in columns.items()}
    kept = _without_repetitions(times, columns)
    if kept is not None:
        notes.append(f"{len(times) - int(kept.sum())} rows repeat the one before: left out")
        times, rows = times[kept], rows[kept]
        columns = {name: column[kept] for name, column in columns.items()}
    if raw.fixed_point:
        for name in _PRICES:
            # 2^63 − 1 stands for no price: NaN, which the checks refuse with its row.
            price = columns[name]
            columns[name] = np.where(price >= 2.0**63, np.nan, price / _FIXED_POINT)
        notes.append("prices are integers of 1e-9: multiplied")
    found, count = series_defects(times, columns)
    if found and _clamp(columns, notes):
        found, count = series_defects(times, columns)
    if found:
        places = raw.labels([int(rows[index]) for index, _, _ in found])
        raise refusal(raw.subject, found, count, lambda index: places[int(rows[index])])
    if raw.unnamed and len(times) > 2:
        _refuse_misplaced(raw.subject, columns)
    if raw.naive:
        _refuse_skipped_hour(raw, times, rows)
    for column in (times, *columns.values()):
        column.setflags(write=False)  # They are nobody else's: `Bars` need not copy them.
    order_was = options.order or ("oldest_first" if order is None else "newest_first")
    return Assembled(times, columns, tuple(notes), order_was)


def _order(raw: RawColumns, options: ReadOptions, notes: list[str]) -> NDArray[np.int64] | None:
    earlier, later = raw.timestamps_ns[:-1], raw.timestamps_ns[1:]
    falls = later < earlier
    rising = not falls.any()
    if options.order == "unsorted":
        notes.append("sorted by time")
        return np.argsort(raw.timestamps_ns, kind="stable")
    wanted = options.order
    if rising and wanted != "newest_first":
        return None
    rises = later > earlier
    if wanted is None:
        wanted = "newest_first" if falls.sum() > rises.sum() else "oldest_first"
    if wanted == "newest_first" and not rises.any():
        notes.append("newest first: turned round")
        return np.arange(len(raw.timestamps_ns))[::-1]
    # Most rows say what the order is; the others are the ones that break it.
    oldest_first = wanted == "oldest_first"
    wrong = np.flatnonzero(falls if oldest_first else rises) + 1
    places = raw.labels([int(raw.rows[index]) for index in wrong[:MAX_REPORTED_VIOLATIONS]])
    fault = "is earlier" if oldest_first else "is later"
    hint = " (the option order sorts rows"
    hint += "; local times need an offset where clocks are set back)" if raw.naive else ")"
    raise refusal(
        raw.subject,
        [
            (int(index), TIMESTAMP, f"{fault} than the row before it{hint}")
            for index in wrong[:MAX_REPORTED_VIOLATIONS]
        ],
        len(wrong),
        lambda index: places[int(raw.rows[index])],
    )


def _without_repetitions(
    times: NDArray[np.int64], columns: dict[str, Numbers]
) -> NDArray[np.bool_] | None:
    """Which rows to keep; None where none repeats the whole of the row before it."""
    same = times[1:] == times[:-1]
    if not same.any():
        return None
    for column in columns.values():
        same &= column[1:] == column[:-1]
    return np.concatenate(([True], ~same)) if same.any() else None


def _adjusted(raw: RawColumns, columns: dict[str, Numbers], notes: list[str]) -> dict[str, Numbers]:
    if raw.adjusted is None:
        raise MarketDataError(f"{raw.subject} has no column of adjusted closes: leave out adjusted")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        factor = raw.adjusted / columns[CLOSE]
        adjusted = {name: columns[name] * factor for name in (OPEN_PRICE, HIGH, LOW)}
    notes.append("prices multiplied by adjusted close / close")
    return {**columns, **adjusted, CLOSE: raw.adjusted, ADJUSTMENT: factor}


def _clamp(columns: dict[str, Numbers], notes: list[str]) -> bool:
    """Mends what rounding leaves of adjusted prices: a high that is a bit below the close.

    Returns:
        Whether there was something to mend.
    """
    opened, high, low, close = (columns[name] for name in _PRICES)
    with np.errstate(invalid="ignore", over="ignore"):
        top = np.maximum(opened, close)
        bottom = np.minimum(opened, close)
        short = (high < top) & (high >= top * (1.0 - _ROUNDING))
        tall = (low > bottom) & (low <= bottom * (1.0 + _ROUNDING))
    count = int((short | tall).sum())
    if count:
        columns[HIGH] = np.where(short, top, high)
        columns[LOW] = np.where(tall, bottom, low)
        notes.append(f"{count} bars whose high or low was off by rounding (1e-9): clamped")
    return count > 0


def _refuse_misplaced(subject: str, columns: dict[str, Numbers]) -> None:
    """Without a header, the numbers themselves must fit their places."""
    volume = columns[VOLUME]
    if ((volume >= columns[LOW]) & (volume <= columns[HIGH])).all():
        raise MarketDataError(
            f"{subject} has no header, and what stands where volume is expected seems to be "
            "a price: say columns, by position"
        )
    # A bar opens where the one before closed: that tells open from close.
    opened, close = columns[OPEN_PRICE], columns[CLOSE]
    straight = np.abs(opened[1:] - close[:-1]).sum()
    crossed = np.abs(close[1:] - opened[:-1]).sum()
    if crossed < _CROSSED * straight:
        raise MarketDataError(
            f"{subject} has no header, and its opens and closes seem to be the other way round: "
            "say columns, by position"
        )


def _refuse_skipped_hour(
    raw: RawColumns, times: NDArray[np.int64], rows: NDArray[np.int64]
) -> None:
    """An hour that is missing just when clocks are set forward says that times are local."""
    spacings = np.diff(times)
    if not spacings.size or spacings.min() == spacings.max():
        return
    interval = int(np.median(spacings))
    if interval > _HOUR_NS:
        return
    for index in np.flatnonzero(spacings == interval + _HOUR_NS):
        start = datetime.fromtimestamp((int(times[index]) + interval) // 10**9, UTC)
        day = start.date()
        if start.minute or start.second or (day, start.hour) not in _skipped_hours(day.year):
            continue
        row = int(rows[index + 1])
        place = raw.labels([row])[row]
        raise MarketDataError(
            f"{raw.subject}, {place}: the hour before it is missing, which clocks skip on that "
            "day: say tz: the zone of the times, or tz: UTC"
        )


def _skipped_hours(year: int) -> set[tuple[date, int]]:
    end = date(year, 3, 31)
    european = end - timedelta(days=(end.weekday() + 1) % 7)
    start = date(year, 3, 8)
    american = start + timedelta(days=(6 - start.weekday()) % 7)
    return {(american, 2), *((european, hour) for hour in (1, 2, 3))}
