"""BatchRiskTracker: trackers of many accounts that step together, in one compiled call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isnan
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import ConflictError, FieldViolation, RiskInputError
from tradewind.risk.engine.arrays import CONTRADICTION
from tradewind.risk.engine.plan import Plan
from tradewind.risk.engine.reporting import build_report, new_problem, raise_contradiction
from tradewind.risk.engine.result import CODE, VALUE
from tradewind.risk.engine.snapshot import (
    BOOK,
    CAPITAL_BASE_AT,
    FEED_COUNT,
    HAS_CAPITAL_BASE,
    HAS_NOW,
    HAS_PERIODS_PER_YEAR,
    HAS_START_OF_DAY_VALUE,
    HEADER_SIZE,
    NO_BOOK,
    OTHER_SYMBOLS,
    PERIODS_PER_YEAR_AT,
    POSITION_COUNT,
    POSITION_WIDTH,
    SHOCK_ROW,
)
from tradewind.risk.engine.stepping import begin_rows, is_judged, update_rows
from tradewind.risk.engine.storage import copy_storage, grow_trades, new_storage, stored_series
from tradewind.risk.engine.tracking import NEEDS_ROOM
from tradewind.risk.inputs import FloatArray, Position, RiskInputs
from tradewind.risk.outside.inputs import Account
from tradewind.risk.outside.running import OutsideRunner
from tradewind.risk.report import RiskReport

__all__ = ["BatchBar", "BatchRiskTracker", "StepRisk"]


class BatchBar(NamedTuple):
    """One bar of n accounts that hold the same s symbols; contiguous arrays of float64.

    Attributes:
        portfolio_values: Account value at the close. Shape [n].
        timestamps: Time of the close, which is also now and the time of every feed. Shape [n].
        start_of_day_values: Account value at the start of the trading day. Shape [n].
        trade_timestamps: Time of the trades within the bar. Shape [n].
        trade_notionals: Signed notional of each trade; 0 for none. Shape [n, s].
        quantities: Signed position at the close. Shape [n, s].
        prices: Close. Shape [n, s].
        average_daily_volumes: In units of the asset; NaN where unknown. Shape [n, s].
    """

    portfolio_values: FloatArray
    timestamps: FloatArray
    start_of_day_values: FloatArray
    trade_timestamps: FloatArray
    trade_notionals: FloatArray
    quantities: FloatArray
    prices: FloatArray
    average_daily_volumes: FloatArray

    @classmethod
    def zeros(cls, count: int, symbol_count: int) -> Self:
        """Room for the bars of `count` accounts."""
        columns = [np.zeros(count) for _ in range(4)]
        return cls(*columns, *(np.zeros((count, symbol_count)) for _ in range(4)))


@dataclass(frozen=True, slots=True, eq=False)
class StepRisk:
    """Risk of every account after one bar; NaN where unavailable.

    Attributes:
        metric_names: In the order of the columns of `values`.
        values: Shape [n, metrics].
        risk_score: As RiskReport.risk_score. Shape [n].
        penalty: As RiskReport.penalty. Shape [n].
        judged: Whether the score is known and every limit of the policy was checked. Shape [n].
    """

    metric_names: tuple[str, ...]
    values: FloatArray
    risk_score: FloatArray
    penalty: FloatArray
    judged: NDArray[np.bool_]

    def metric(self, name: str) -> FloatArray:
        """One metric of every account. Shape [n].

        Raises:
            KeyError: There is no such metric.
        """
        try:
            return self.values[:, self.metric_names.index(name)]
        except ValueError:
            raise KeyError(name) from None


class BatchRiskTracker:
    """Trackers of accounts on bars: each row is, to the last bit, what `calculate_only` says.

    It takes what a trading environment has: values, times, trades, positions, volumes. Order
    books, order flows, latencies and options need a RiskTracker an account.

    Not safe to share between threads.

    Args:
        plan: What to calculate.
        count: Number of accounts, n.
        symbols: What they trade, in the order of the columns of a bar.
        capital_base: Capital that turnover and leverage are fractions of.
        periods_per_year: Bars in a year; None where the policy states them.

    Raises:
        RiskInputError: There is no account or no symbol, or a symbol is repeated.
    """

    def __init__(
        self,
        plan: Plan,
        count: int,
        symbols: Sequence[str],
        capital_base: float,
        periods_per_year: float | None = None,
    ) -> None:
        if count < 1 or not symbols or len(set(symbols)) < len(symbols):
            raise RiskInputError(
                f"a batch needs an account and different symbols: {count}, {list(symbols)}"
            )
        self._plan = plan
        self._holding = (tuple(symbols), capital_base, periods_per_year)
        self._shapes = [(count,)] * 4 + [(count, len(symbols))] * 4
        self._named = RiskInputs(
            positions=tuple(Position(symbol, 0.0, 0.0) for symbol in symbols),
            feed_timestamps=dict.fromkeys(symbols, 0.0),
        )
        self._problem = new_problem()
        self._config = plan.config_of_bars()
        self._storage = new_storage(plan, count, self._config)
        self._workspace = np.empty(plan.workspace_size)
        self._snapshots = _snapshots(plan, count, symbols, capital_base, periods_per_year)
        self._checked: BatchBar | None = None
        self._said: list[tuple[str, ...]] = [()] * count

    @property
    def policy_digest(self) -> str:
        """Digest of the risk policy that is calculated under."""
        return self._plan.digest

    def begin(self, rows: NDArray[np.int64], bar: BatchBar) -> None:
        """Forgets some accounts, and takes their rows of a bar as the first of new ones.

        Args:
            rows: Which accounts. Shape [k].
            bar: Values and times are looked at; nothing has been traded.

        Raises:
            RiskInputError: The bar has arrays of other shapes, or there is no such row.
        """
        self._check(bar)
        if rows.size and not 0 <= rows.min() <= rows.max() < len(self._snapshots):
            raise RiskInputError(f"a batch of {len(self._snapshots)} has no rows {rows}")
        begin_rows(
            self._config,
            *self._storage,
            rows,
            bar.portfolio_values,
            bar.timestamps,
            bar.trade_timestamps,
            self._workspace,
        )

    def update(self, bar: BatchBar) -> StepRisk:
        """Takes one bar of every account and calculates every enabled metric.

        Raises:
            RiskInputError: The bar has arrays of other shapes, or time does not go on; nothing
                was taken.
        """
        self._check(bar)
        plan = self._plan
        count, metrics = len(self._snapshots), len(plan.metrics)
        values, scores = np.empty((count, metrics)), np.empty((2, count))
        judged = np.empty(count, dtype=np.bool_)
        status = NEEDS_ROOM
        while status == NEEDS_ROOM:
            status = update_rows(
                self._config,
                plan.limits,
                plan.shocks,
                *self._storage,
                self._snapshots,
                *bar,
                values,
                scores,
                judged,
                self._workspace,
                self._problem,
            )
            if status == NEEDS_ROOM:
                self._storage = grow_trades(self._storage)
        if status == CONTRADICTION:
            raise_contradiction(self._problem)
        if plan.outside is not None:
            self._run_outside(plan.outside, bar, judged)
            results = self._storage.results[:, VALUE]
            values, scores = results[:, :metrics].copy(), results[:, metrics:].T.copy()
        return StepRisk(plan.metrics, values, scores[0], scores[1], judged)

    def _run_outside(
        self, outside: OutsideRunner, bar: BatchBar, judged: NDArray[np.bool_]
    ) -> None:
        """Completes the result of every account, one after the other."""
        config, storage, symbols = self._config[0], self._storage, self._holding[0]
        for row, packed in enumerate(self._snapshots):
            result, holdings = storage.results[row], partial(_holdings_of, bar, row, symbols)
            series = stored_series(config, storage, row)
            told = Account(config, storage.accounts[row], packed, series, holdings)
            _, self._said[row] = outside.run(told, result)
            judged[row] = is_judged(self._plan.limits, result)

    def report(self, row: int) -> RiskReport:
        """The report of one account after the last update, with reasons in words."""
        result = self._storage.results[row]
        remarks = int(result[CODE].any())
        return build_report(self._plan, result, remarks, self._named, self._said[row])

    def get_state(self) -> dict[str, Any]:
        """All that is remembered, as copies: what `set_state` takes."""
        arrays = {name: array.copy() for name, array in self._storage._asdict().items()}
        return {
            "policy_digest": self.policy_digest,
            "holding": self._holding,
            **arrays,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state that a batch of the same policy, accounts and symbols gave.

        Raises:
            ConflictError: It is the state of another policy, of other symbols, of another capital
                base or of another number of accounts; nothing was taken.
        """
        if not self._plan.policy.has_digest(state.get("policy_digest")):
            raise ConflictError("the state is that of another risk policy")
        if state.get("holding") != self._holding:
            raise ConflictError(
                f"the state is that of the symbols and the capital base {state.get('holding')}, "
                f"not of {self._holding}"
            )
        self._storage = copy_storage(state, self._storage)
        self._said = [()] * len(self._said)

    def _check(self, bar: BatchBar) -> None:
        # A kernel would read beyond an array that is too short. Whoever fills the same arrays at
        # every bar has them looked at once.
        if bar is self._checked:
            return
        for name, array, shape in zip(BatchBar._fields, bar, self._shapes, strict=True):
            if array.shape != shape:
                violation = FieldViolation(name, f"must have shape {list(shape)}")
                raise RiskInputError("risk inputs are refused", [violation])
        self._checked = bar


def _holdings_of(bar: BatchBar, row: int, symbols: Sequence[str]) -> RiskInputs:
    """What a bar says of one account that is not a series, as objects."""
    now = float(bar.timestamps[row])
    holdings = zip(symbols, bar.quantities[row].tolist(), bar.prices[row].tolist(), strict=True)
    volumes = zip(symbols, bar.average_daily_volumes[row].tolist(), strict=True)
    return RiskInputs(
        positions=tuple(Position(*holding) for holding in holdings),
        feed_timestamps=dict.fromkeys(symbols, now),
        average_daily_volumes={name: volume for name, volume in volumes if not isnan(volume)},
    )


def _snapshots(
    plan: Plan,
    count: int,
    symbols: Sequence[str],
    capital_base: float,
    periods_per_year: float | None,
) -> FloatArray:
    """Packed snapshots in which only what a bar brings is left to fill in. Shape [n, size]."""
    end = HEADER_SIZE + POSITION_WIDTH * len(symbols)
    snapshots = np.zeros((count, end + len(symbols)))
    snapshots[:, [HAS_START_OF_DAY_VALUE, HAS_CAPITAL_BASE, HAS_NOW]] = 1.0
    snapshots[:, CAPITAL_BASE_AT] = capital_base
    if periods_per_year is not None:
        snapshots[:, HAS_PERIODS_PER_YEAR] = 1.0
        snapshots[:, PERIODS_PER_YEAR_AT] = periods_per_year
    snapshots[:, [POSITION_COUNT, FEED_COUNT]] = len(symbols)
    positions = snapshots[:, HEADER_SIZE:end].reshape(count, len(symbols), POSITION_WIDTH)
    positions[:, :, BOOK] = NO_BOOK
    positions[:, :, SHOCK_ROW] = [plan.shock_rows.get(name, OTHER_SYMBOLS) for name in symbols]
    return snapshots
