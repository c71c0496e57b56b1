"""RiskTracker: the metrics of an account that grows, from what is new about it."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any, Final

from tradewind.errors import FieldViolation, RiskInputError
from tradewind.risk.engine.arrays import CONTRADICTION
from tradewind.risk.engine.plan import Plan
from tradewind.risk.engine.reporting import (
    Calculation,
    build_report,
    new_problem,
    raise_contradiction,
)
from tradewind.risk.engine.snapshot import HAS_NOW, NOW_AT, check_symbols, names_of
from tradewind.risk.engine.state import NEEDS_WORKSPACE
from tradewind.risk.engine.storage import grow_trades, new_storage, stored_series
from tradewind.risk.engine.tracking import NEEDS_ROOM, update_row
from tradewind.risk.inputs import SCALARS, FloatArray, RiskInputs
from tradewind.risk.outside.inputs import Account
from tradewind.risk.report import RiskReport

__all__ = ["RiskTracker"]


_NAMED: Final = (
    "positions",
    "order_books",
    "feed_timestamps",
    "average_daily_volumes",
    "options",
)
_STATED: Final = tuple(name for name in SCALARS if name != "now")
_named_of, _stated_of = attrgetter(*_NAMED), attrgetter(*_STATED)
_NONE_STATED: Final = (None,) * len(_STATED)


class RiskTracker:
    """Keeps what the metrics of one account need and takes only what is new about it.

    After any updates, the report is the one, to the last bit, that `calculate_only` gives for all
    of them together: series appended, positions, order books, feeds and volumes replaced symbol by
    symbol, everything else by the latest that was given. Only `now` is not remembered: a clock
    belongs to the update that read it. An update looks back over the configured windows, never
    over the history.

    Not safe to share between threads.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._problem = new_problem()
        self.reset()

    def reset(self) -> None:
        """Forgets everything about the account."""
        self._storage = new_storage(self._plan, 1, self._plan.config)
        self._holdings = RiskInputs()
        self._packed = self._plan.pack(self._holdings)

    def update(self, increment: RiskInputs | Mapping[str, Any]) -> RiskReport:
        """Takes what is new and calculates every enabled metric.

        Args:
            increment: New elements of series, and whatever else changed; a mapping with the
                fields of RiskInputs will do. The first one may carry a whole history.

        Raises:
            RiskInputError: The increment contradicts itself or what came before; nothing of it
                was taken.
        """
        holdings, remark_count, said = self._take(increment)
        return build_report(self._plan, self._storage.results[0], remark_count, holdings, said)

    def calculate(self, increment: RiskInputs | Mapping[str, Any]) -> Calculation:
        """Does what `update` does and leaves the words for later, before the next update."""
        holdings, remark_count, said = self._take(increment)
        result = self._storage.results[0]
        return Calculation(
            self._plan, result, remark_count, lambda: holdings, lambda: names_of(holdings), said
        )

    def _take(
        self, increment: RiskInputs | Mapping[str, Any]
    ) -> tuple[RiskInputs, int, tuple[str, ...]]:
        """The holdings after it, how many metrics have a remark, and reasons in words."""
        if not isinstance(increment, RiskInputs):
            increment = RiskInputs.from_mapping(increment)
        now = increment.now
        if now is not None and not isinstance(now, int | float):
            violation = FieldViolation("now", f"must be a number, not {now!r}")
            raise RiskInputError("risk inputs are refused", [violation])
        holdings, packed = self._holdings, self._packed
        changes = _changes_holdings(increment)
        if changes:
            holdings = _merge(holdings, increment)
            packed = self._plan.pack(holdings)
        packed[HAS_NOW] = now is not None
        packed[NOW_AT] = now or 0.0
        remark_count = self._run(increment, packed, changes)
        if remark_count == CONTRADICTION:
            raise_contradiction(self._problem)
        self._holdings, self._packed = holdings, packed
        if self._plan.outside is None:
            return holdings, remark_count, ()
        config, storage = self._plan.config[0], self._storage
        series = stored_series(config, storage, 0)
        told = Account(config, storage.accounts[0], packed, series, lambda: holdings)
        return holdings, *self._plan.outside.run(told, storage.results[0])

    def _run(self, new: RiskInputs, packed: FloatArray, changes: bool) -> int:
        while True:
            remark_count = update_row(
                self._plan.config,
                self._plan.limits,
                self._plan.shocks,
                *self._storage,
                0,
                packed,
                changes,
                new.portfolio_values,
                new.timestamps,
                new.returns,
                new.price_changes,
                new.order_flows,
                new.order_latencies_us,
                new.trade_timestamps,
                new.trade_notionals,
                self._plan.workspace,
                self._problem,
            )
            if remark_count == NEEDS_ROOM:
                self._storage = grow_trades(self._storage)
            elif remark_count == NEEDS_WORKSPACE:
                self._plan.grow_workspace()
            else:
                return remark_count


def _changes_holdings(new: RiskInputs) -> bool:
    return any(_named_of(new)) or _stated_of(new) != _NONE_STATED


def _merge(old: RiskInputs, new: RiskInputs) -> RiskInputs:
    check_symbols(new)
    positions = {position.symbol: position for position in old.positions}
    positions.update((position.symbol, position) for position in new.positions)
    merged: dict[str, Any] = {
        "positions": tuple(positions.values()),
        "order_books": {**old.order_books, **new.order_books},
        "feed_timestamps": {**old.feed_timestamps, **new.feed_timestamps},
        "average_daily_volumes": {**old.average_daily_volumes, **new.average_daily_volumes},
        "options": new.options or old.options,
    }
    for name, before, now in zip(_STATED, _stated_of(old), _stated_of(new), strict=True):
        merged[name] = before if now is None else now
    return RiskInputs.of_holdings(merged)
