"""Runs groups of features, which are code of anyone's own, and lets only their numbers out."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from tradewind.errors import ComponentError, FieldViolation, ObservationError
from tradewind.market.bars import Bars, FloatArray, format_time
from tradewind.market.feature_group import BarWindow, FeatureGroup
from tradewind.market.feature_kernels import ObservationArray
from tradewind.part_options import told

__all__ = ["GroupRunner", "check_groups", "trial_window"]

_COMPARED_ROWS: Final = 16
_TIMED_CALLS: Final = 5
_NS_PER_HOUR: Final = 3_600_000_000_000


class GroupRunner:
    """Groups of one specification, one after the other.

    Args:
        groups: The groups.
        clip: Largest magnitude of a component.

    Attributes:
        size: How many components they have together.
    """

    def __init__(self, groups: Sequence[FeatureGroup], clip: float) -> None:
        # Asked once: what a group says of itself must not change under way.
        self._groups = [(each, each.lookback, each.component_names) for each in groups]
        self._clip = clip
        self.size = sum(len(names) for _, _, names in self._groups)

    def write_row(self, window: BarWindow, out: ObservationArray) -> None:
        """Writes the row after the last bar of a window. Shape of `out` [size].

        Raises:
            ObservationError: A group fails, or gives something else than its numbers; the whole row
                is NaN then.
        """
        at, count = 0, len(window.close)
        for group, lookback, names in self._groups:
            own = window.part(count - lookback, count)
            try:
                values = _row(group, own, names)
            except ValueError as problem:
                out[:] = np.nan
                raise ObservationError(str(problem)) from problem
            out[at : at + len(names)] = np.clip(values, -self._clip, self._clip)
            at += len(names)

    def write_rows(self, bars: Bars, out: ObservationArray) -> None:
        """Writes the row after each bar of a series. Shape of `out` [n, size].

        Raises:
            ComponentError: A group fails, or gives something else than its numbers, or other ones
                for all bars at once than for each alone.
        """
        window = window_of(bars)
        at = 0
        for place, (group, lookback, names) in enumerate(self._groups):
            try:
                values = _rows(group, window, lookback, names)
            except ValueError as problem:
                raise _refused(place, f"{problem} ({bars.symbol})") from problem
            out[:, at : at + len(names)] = np.clip(values, -self._clip, self._clip)
            at += len(names)

    def write_what_there_is(self, bars: Bars, lookback: int, out: ObservationArray) -> None:
        """Writes the rows one by one as production does, from a lookback on; NaN where one fails.

        Shape of `out` [n, size].
        """
        window = window_of(bars)
        for stop in range(lookback, len(bars) + 1):
            with contextlib.suppress(ObservationError):
                self.write_row(window.part(stop - lookback, stop), out[stop - 1])


def window_of(bars: Bars) -> BarWindow:
    """All bars of a series."""
    return BarWindow(bars.timestamps_ns, bars.open, bars.high, bars.low, bars.close, bars.volume)


def trial_window(count: int) -> BarWindow:
    """Possible bars of no market, the same each time: what groups are tried on at a start."""
    random = np.random.default_rng(17)
    close = 100.0 * np.exp(np.cumsum(random.normal(0.0, 0.003, count)))
    opened = np.concatenate([[100.0], close[:-1]])
    spread = np.exp(random.uniform(0.0, 0.002, (2, count)))
    columns = (
        np.arange(count, dtype=np.int64) * _NS_PER_HOUR + 1_700_000_000_000_000_000,
        opened,
        np.maximum(opened, close) * spread[0],
        np.minimum(opened, close) / spread[1],
        close,
        random.lognormal(3.0, 1.0, count),
    )
    for column in columns:
        column.setflags(write=False)
    return BarWindow(*columns)


def check_groups(groups: Sequence[FeatureGroup]) -> None:
    """Tries groups on possible bars before anything is built with them.

    Raises:
        ComponentError: One fails, gives something else than its numbers, remembers what it was
            asked before, writes to what it was given, or takes longer than its budget.
    """
    for place, group in enumerate(groups):
        for problem in _faults(group):
            raise _refused(place, problem)


def _faults(group: FeatureGroup) -> Iterator[str]:
    names, lookback = group.component_names, group.lookback
    bars = trial_window(lookback + 1)
    before = [column.copy() for column in bars]
    first, second = bars.part(0, lookback), bars.part(1, lookback + 1)
    try:
        wanted = _row(group, first, names)
        took_us = []
        for _ in range(_TIMED_CALLS):
            _row(group, second, names)
            started = time.perf_counter_ns()
            found = _row(group, first, names)
            took_us.append((time.perf_counter_ns() - started) / 1e3)
            if found.tobytes() != wanted.tobytes():
                yield (
                    f"{group.identity} gave {found.tolist()} for bars for which it gave "
                    f"{wanted.tolist()} before: it must be a function of its window alone"
                )
    except ValueError as problem:
        yield str(problem)
    else:
        if any(old.tobytes() != new.tobytes() for old, new in zip(before, bars, strict=True)):
            yield f"{group.identity} writes to the bars that it is given: it must copy them"
        if min(took_us) > group.budget_us:
            yield (
                f"{group.identity} takes {min(took_us):,.0f} µs for one bar at best, more than its "
                f"budget of {group.budget_us:,.0f} µs: make it faster, or raise budget_us of its "
                "class where a tick has the time"
            )


def _rows(group: FeatureGroup, bars: BarWindow, lookback: int, names: Sequence[str]) -> FloatArray:
    count = len(bars.close)
    given = _called(group, group.rows, bars)
    if given is None:
        values = np.full((count, len(names)), np.nan)
        for stop in range(lookback, count + 1):
            values[stop - 1] = _row(group, bars.part(stop - lookback, stop), names)
        return values
    if given.shape != (count, len(names)):
        raise ValueError(
            f"{group.identity} gave rows of shape {given.shape} for {count} bars, not "
            f"({count}, {len(names)})"
        )
    wrong = np.argwhere(~np.isfinite(given[lookback - 1 :]))
    if len(wrong):
        row, column = int(wrong[0, 0]) + lookback - 1, int(wrong[0, 1])
        raise ValueError(_not_finite(group, names[column], given[row, column], bars, row))
    for row in np.linspace(lookback - 1, count - 1, _COMPARED_ROWS).astype(int).tolist():
        compare_row(group, given[row], bars, row)
    return given


def compare_row(group: FeatureGroup, found: FloatArray, bars: BarWindow, row: int) -> None:
    """Refuses a row of `rows` that is another one than `row` gives.

    Raises:
        ValueError: It is.
    """
    names = group.component_names
    alone = _row(group, bars.part(row + 1 - group.lookback, row + 1), names)
    for name, one, other in zip(names, found.tolist(), alone.tolist(), strict=True):
        if one != other:
            raise ValueError(
                f"{group.identity} gave {one!r} for {name} after bar {row} when it had all bars, "
                f"and {other!r} when it had its last {group.lookback}: rows() must give what row() "
                "gives, to the last bit"
            )


def _row(group: FeatureGroup, window: BarWindow, names: Sequence[str]) -> FloatArray:
    values = _called(group, group.row, window)
    if values is None or values.shape != (len(names),):
        given = "nothing" if values is None else f"an array of shape {values.shape}"
        raise ValueError(
            f"{group.identity} gave {given} for one bar, not one number for each of its "
            f"{len(names)} component_names"
        )
    for name, value in zip(names, values.tolist(), strict=True):
        if not math.isfinite(value):
            raise ValueError(_not_finite(group, name, value, window, -1))
    return values


def _called(
    group: FeatureGroup, function: Callable[[BarWindow], Any], bars: BarWindow
) -> FloatArray | None:
    try:
        given = function(bars)
        return None if given is None else np.asarray(given, dtype=np.float64)
    except MemoryError:
        raise
    except Exception as problem:  # it is someone's own code
        raise ValueError(
            f"{group.identity} raised {told(problem)}, with bars up to that of "
            f"{format_time(bars.timestamps_ns[-1])}"
        ) from problem


def _not_finite(group: FeatureGroup, name: str, value: float, bars: BarWindow, row: int) -> str:
    when = format_time(bars.timestamps_ns[row])
    return f"{group.identity} gave {value} for {name} after the bar of {when}: it must be finite"


def _refused(place: int, said: str) -> ComponentError:
    violation = FieldViolation(f"features.groups[{place}]", said)
    return ComponentError("feature group is refused", [violation])
