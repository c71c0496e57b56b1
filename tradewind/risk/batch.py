"""BatchRiskTracker: trackers of many environments that step together, in one compiled call."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tradewind.errors import FieldViolation, RiskInputError
from tradewind.risk.engine.arrays import CONTRADICTION
from tradewind.risk.engine.plan import Plan
from tradewind.risk.engine.reporting import build_report, new_problem, raise_contradiction
from tradewind.risk.engine.result import CODE, VALUE
from tradewind.risk.engine.snapshot import (
    BOOK,
    HAS_CAPITAL_BASE,
    HAS_NOW,
    HAS_START_OF_DAY_VALUE,
    HEADER_SIZE,
    NO_BOOK,
    NO_VOLUME,
    OTHER_SYMBOLS,
    POSITION_COUNT,
    POSITION_WIDTH,
    PRICE,
    QUANTITY,
    SHOCK_ROW,
    VOLUME,
)
from tradewind.risk.engine.storage import grow_trades, new_storage, reset_row
from tradewind.risk.engine.tracking import NEEDS_ROOM, update_batch
from tradewind.risk.inputs import FloatArray, Position, RiskInputs
from tradewind.risk.report import RiskReport

__all__ = ["BatchRiskReport", "BatchRiskTracker"]

_NOTHING: Final = np.empty(0)


class BatchRiskReport:
    """What the metrics of every environment are after one step.

    Attributes:
        metrics: Names of the metrics, in the order of the columns.
        metric_values: NaN where unavailable. Shape [n, metrics].
        risk_scores: As RiskReport.risk_score, NaN for None. Shape [n].
        penalties: As RiskReport.penalty, NaN for None. Shape [n].
    """

    def __init__(self, plan: Plan, results: FloatArray, symbols: tuple[str, ...]) -> None:
        self.metrics = plan.metrics
        self.metric_values: FloatArray = results[:, VALUE, :-2]
        self.risk_scores: FloatArray = results[:, VALUE, -2]
        self.penalties: FloatArray = results[:, VALUE, -1]
        self._plan = plan
        self._results = results
        self._symbols = symbols

    def report(self, row: int) -> RiskReport:
        """The report of one environment, with reasons in words."""
        named = RiskInputs(positions=tuple(Position(name, 0.0, 0.0) for name in self._symbols))
        result = self._results[row]
        return build_report(self._plan, result, int(result[CODE].any()), named)


class BatchRiskTracker:
    """Trackers of environments on bars: each row is what a RiskTracker of its own would say.

    It takes what such environments have: values, times, trades, positions, capital. Order books,
    order flows, latencies, feeds and options need a RiskTracker an environment. What is left out
    of an update stays as it was, except `now`.

    Not safe to share between threads.

    Args:
        plan: What to calculate.
        count: Number of environments, n.
        symbols: What they trade, in the order of the columns of quantities and prices.
    """

    def __init__(self, plan: Plan, count: int, symbols: Sequence[str] = ()) -> None:
        if count < 1 or len(set(symbols)) < len(symbols):
            raise RiskInputError(
                f"a batch needs an environment and different symbols: {count}, {list(symbols)}"
            )
        self._plan = plan
        self._symbols = tuple(symbols)
        self._problem = new_problem()
        self._storage = new_storage(plan, count)
        self._snapshots = np.zeros((count, HEADER_SIZE + POSITION_WIDTH * len(symbols)))
        self._reset_snapshots(np.arange(count))

    def reset(self, rows: ArrayLike | None = None) -> None:
        """Forgets everything about some environments, by default about all.

        Args:
            rows: Indices or a mask. Shape [k] or [n].
        """
        count = len(self._snapshots)
        chosen = np.arange(count) if rows is None else np.arange(count)[np.asarray(rows)]
        for row in chosen:
            reset_row(self._storage.accounts, self._storage.ends, int(row))
        self._reset_snapshots(chosen)

    def update(
        self,
        portfolio_values: ArrayLike,
        *,
        timestamps: ArrayLike | None = None,
        trade_notionals: ArrayLike | None = None,
        start_of_day_values: ArrayLike | None = None,
        capital_bases: ArrayLike | None = None,
        quantities: ArrayLike | None = None,
        prices: ArrayLike | None = None,
        average_daily_volumes: ArrayLike | None = None,
        now: ArrayLike | None = None,
    ) -> BatchRiskReport:
        """Takes one bar of every environment and calculates every enabled metric.

        Args:
            portfolio_values: Account value at the close. Shape [n].
            timestamps: Time of the close; for every bar or for none. Shape [n] or one for all.
            trade_notionals: Signed notional traded within the bar, at its timestamp; 0 for none.
                Shape [n].
            start_of_day_values: Shape [n] or one for all.
            capital_bases: Shape [n] or one for all.
            quantities: Signed, with prices. Shape [n, symbols].
            prices: Shape [n, symbols] or [symbols].
            average_daily_volumes: In units of the asset. Shape [n, symbols] or [symbols].
            now: Shape [n] or one for all.

        Raises:
            RiskInputError: A shape does not fit, or time does not go on; nothing was taken.
        """
        values = self._column("portfolio_values", portfolio_values)
        times = _NOTHING if timestamps is None else self._column("timestamps", timestamps)
        traded = _NOTHING
        if trade_notionals is not None:
            if timestamps is None:
                raise _refuse("trade_notionals", "need the timestamps of the bars")
            traded = self._column("trade_notionals", trade_notionals)
        changes = any(
            given is not None
            for given in (start_of_day_values, capital_bases, quantities, average_daily_volumes)
        )
        snapshots = self._snapshots.copy()
        for name, has, column in (
            ("start_of_day_values", HAS_START_OF_DAY_VALUE, start_of_day_values),
            ("capital_bases", HAS_CAPITAL_BASE, capital_bases),
            ("now", HAS_NOW, now),
        ):
            if column is not None:
                snapshots[:, has] = 1.0
                snapshots[:, has + 1] = self._column(name, column)
        if (quantities is None) != (prices is None):
            raise _refuse("quantities", "go together with prices")
        if quantities is not None:
            snapshots[:, POSITION_COUNT] = len(self._symbols)
        for name, field, columns in (
            ("quantities", QUANTITY, quantities),
            ("prices", PRICE, prices),
            ("average_daily_volumes", VOLUME, average_daily_volumes),
        ):
            if columns is not None:
                self._positions(snapshots)[:, :, field] = self._columns(name, columns)
        return self._run(snapshots, changes, values, times, traded)

    def _run(
        self,
        snapshots: FloatArray,
        changes: bool,
        values: FloatArray,
        times: FloatArray,
        traded: FloatArray,
    ) -> BatchRiskReport:
        plan = self._plan
        status = NEEDS_ROOM
        while status == NEEDS_ROOM:
            status = update_batch(
                plan.config,
                plan.limits,
                plan.shocks,
                *self._storage,
                snapshots,
                changes,
                values,
                times,
                traded,
                self._problem,
            )
            if status == NEEDS_ROOM:
                self._storage = grow_trades(self._storage)
        if status == CONTRADICTION:
            raise_contradiction(self._problem, RiskInputs())
        snapshots[:, HAS_NOW] = 0.0
        self._snapshots = snapshots
        return BatchRiskReport(plan, self._storage.results.copy(), self._symbols)

    def _reset_snapshots(self, rows: NDArray[np.int64]) -> None:
        self._snapshots[rows] = 0.0
        positions = self._positions(self._snapshots)
        positions[rows, :, VOLUME] = NO_VOLUME
        positions[rows, :, BOOK] = NO_BOOK
        shock_rows = self._plan.shock_rows
        positions[rows, :, SHOCK_ROW] = [
            shock_rows.get(symbol, OTHER_SYMBOLS) for symbol in self._symbols
        ]

    def _positions(self, snapshots: FloatArray) -> FloatArray:
        """View of the rows of the positions. Shape [n, symbols, POSITION_WIDTH]."""
        rows: FloatArray = snapshots[:, HEADER_SIZE:]
        return rows.reshape(len(snapshots), len(self._symbols), POSITION_WIDTH)

    def _column(self, name: str, values: ArrayLike) -> FloatArray:
        return _fit(name, values, (len(self._snapshots),))

    def _columns(self, name: str, values: ArrayLike) -> FloatArray:
        return _fit(name, values, (len(self._snapshots), len(self._symbols)))


def _fit(name: str, values: ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    try:
        fitted = np.empty(shape)
        fitted[...] = values
        return fitted
    except (TypeError, ValueError):
        raise _refuse(name, f"must be numbers of shape {list(shape)}") from None


def _refuse(name: str, description: str) -> RiskInputError:
    return RiskInputError("risk inputs are refused", [FieldViolation(name, description)])
