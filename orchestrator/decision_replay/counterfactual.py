"""What another bundle would have done over a period of a decision log."""

import asyncio
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.brokers import Broker, Order
from orchestrator.decision_log import DecisionLog
from orchestrator.decision_replay.account import AccountTrail, book_account
from orchestrator.decision_replay.answers import targets_of
from orchestrator.decision_replay.bundles import OpenBundle, run_network
from orchestrator.decision_replay.decisions import DecisionGroup, group_decisions
from orchestrator.decision_replay.fills import open_paper_broker
from orchestrator.decision_replay.observations import MarketRows, build_observations
from orchestrator.decision_replay.ticks import LoggedTick, read_ticks
from orchestrator.decision_replay.verify import period_of
from orchestrator.feeds import BarFlag
from orchestrator.portfolio import Allocation, Portfolio
from orchestrator.settings import PaperBrokerSettings
from tradewind.errors import BundleFormatError, InvalidInputError
from tradewind.market.accounting import target_quantity
from tradewind.risk import FloatArray
from tradewind.risk.curve import CurveSummary, summarize_curve

__all__ = ["ActionComparison", "Counterfactual", "OtherAction", "replay_other"]

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class OtherAction:
    """A decision that the other bundle takes otherwise.

    Attributes:
        sequence: Number of the tick.
        close_ns: When its bars close.
        symbols: What was decided on.
        logged: Action as logged.
        other: Action of the other bundle on the same bars and positions.
    """

    sequence: int
    close_ns: int
    symbols: tuple[str, ...]
    logged: int | tuple[float, ...]
    other: int | tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ActionComparison:
    """The logged actions beside those of the other bundle, given the logged positions.

    Attributes:
        compared: Decisions with an answer.
        equal: Of these, with the same action.
        mean_target_distance: Mean absolute difference of the targets where both go somewhere, as a
            fraction of equity; None where there are none.
        confusion: How often which action stands beside which, `logged → other`; discrete ones.
        first: The first that differ, at most ten.
    """

    compared: int
    equal: int
    mean_target_distance: float | None
    confusion: Mapping[tuple[int, int], int]
    first: tuple[OtherAction, ...]


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """What another bundle would have done.

    Attributes:
        bundle: `policy/version`.
        ticks: Ticks of the period.
        actions: On the logged positions.
        logged: The logged account over the period.
        other: A paper account that the bundle trades from the begin of the period, flat; None
            when it cannot be simulated.
        fills: Fills of this account.
        notes: What the figures rest on.
        elapsed_s: How long it took.
    """

    bundle: str
    ticks: int
    actions: ActionComparison
    logged: CurveSummary
    other: CurveSummary | None
    fills: int
    notes: tuple[str, ...]
    elapsed_s: float


def replay_other(
    log: DecisionLog,
    bundle: OpenBundle,
    *,
    start_ns: int | None = None,
    stop_ns: int | None = None,
) -> Counterfactual:
    """Runs another bundle over the ticks whose bars close in [start_ns, stop_ns).

    Raises:
        StorageError: The log lacks its beginning.
        InvalidInputError: No tick is in the period, or the bundle takes no decision of it.
        BundleFormatError: The bundle is for bars of another length.
    """
    started = time.perf_counter()
    facts = log.facts
    interval_ns = facts["interval_ns"]
    if bundle.contract.features.interval_ns != interval_ns:
        raise BundleFormatError(
            f"{bundle.name} is for bars of {bundle.contract.features.bar_seconds:g} s, those of "
            f"the log take {interval_ns / 1e9:g} s"
        )
    rows = period_of(log, start_ns, stop_ns)
    ticks = read_ticks(log)[: rows.stop]
    symbols = tuple(item["symbol"] for item in facts["allocations"])
    market = MarketRows(ticks, symbols, interval_ns)
    period = log.ticks.slice(rows.start, len(rows))
    actions = _compare_actions(group_decisions(log, period), bundle, ticks, facts, market)
    equity = np.asarray(period["equity"], dtype=np.float64)
    seconds = np.array([tick.close_ns for tick in ticks[rows.start :]]) / 1e9
    notes = [
        "counterfactual: its orders were never sent, and no demand of the risk service, "
        "pre-trade limit or trouble of a service kept it from trading",
        "it begins flat with the allocations' cash at the first close of the period, and trades "
        "on the terms of the log's paper broker",
    ]
    other, fills = None, 0
    if bundle.symbols:
        notes = [f"no account: {bundle.name} trades {', '.join(bundle.symbols)} from one"]
    else:
        if "broker" not in facts:
            facts = {**facts, "broker": PaperBrokerSettings().model_dump(mode="json")}
            notes.append("the log does not say the broker's terms: the defaults were taken")
        values, fills = _trade(ticks, rows, facts, bundle, market)
        other = summarize_curve(values, seconds)
    return Counterfactual(
        bundle=bundle.name,
        ticks=len(rows),
        actions=actions,
        logged=summarize_curve(equity, seconds),
        other=other,
        fills=fills,
        notes=tuple(notes),
        elapsed_s=time.perf_counter() - started,
    )


def _compare_actions(
    groups: Sequence[DecisionGroup],
    bundle: OpenBundle,
    ticks: Sequence[LoggedTick],
    facts: Mapping[str, Any],
    market: MarketRows,
) -> ActionComparison:
    """On the logged positions, decision by decision."""
    symbols = [item["symbol"] for item in facts["allocations"]]
    trail = AccountTrail.empty(symbols, len(ticks))
    never = np.zeros(len(ticks), dtype=np.bool_)
    book_account(ticks, facts, trail, lambda _row, _inputs: None, never)
    compared = equal = 0
    distances: list[FloatArray] = []
    confusion: dict[tuple[int, int], int] = {}
    differing: list[OtherAction] = []
    for group in groups:
        takes = group.symbols == bundle.symbols if bundle.symbols else len(group.symbols) == 1
        at = np.flatnonzero(group.answered) if takes else np.empty(0, dtype=np.int64)
        observed = _observe(group, at, bundle, trail, market)
        ready = np.isfinite(observed).all(axis=1)
        at, observed = at[ready], observed[ready]
        if not at.size:
            continue
        others = run_network(bundle.serving, observed)
        same = np.zeros(len(at), dtype=np.bool_)
        for place, (row, given) in enumerate(zip(at.tolist(), others, strict=True)):
            logged = _logged_action(group, row)
            other = int(given) if given.ndim == 0 else tuple(given.ravel().tolist())
            same[place] = logged == other
            if isinstance(logged, int) and isinstance(other, int):
                confusion[logged, other] = confusion.get((logged, other), 0) + 1
            if logged != other:
                where = (int(group.rows[row]), int(group.closes_ns[row]))
                differing.append(OtherAction(*where, group.symbols, logged, other))
        targets = targets_of(others, bundle.contract.terms, len(group.symbols))
        distances.append(np.abs(targets - group.targets[at]).ravel())
        compared += len(at)
        equal += int(same.sum())
    if not compared:
        raise InvalidInputError(f"{bundle.name} takes none of the decisions of this period")
    apart = np.concatenate(distances)
    apart = apart[np.isfinite(apart)]
    return ActionComparison(
        compared,
        equal,
        float(apart.mean()) if apart.size else None,
        confusion,
        tuple(sorted(differing, key=lambda item: item.sequence)[:_SHOWN]),
    )


def _observe(
    group: DecisionGroup,
    at: NDArray[np.int64],
    bundle: OpenBundle,
    trail: AccountTrail,
    market: MarketRows,
) -> NDArray[np.float32]:
    spec, rows = bundle.contract.features, group.rows[at]
    if not at.size:
        return np.empty((0, 1), dtype=np.float32)
    places = [trail.symbols.index(symbol) for symbol in group.symbols]
    positions = {
        name: [getattr(trail, name)[rows, place] for place in places]
        for name in ("exposure", "unrealized_return", "bars_held")
    }
    return build_observations(
        [market.at(symbol, spec)[rows] for symbol in group.symbols], positions, spec
    )


def _logged_action(group: DecisionGroup, row: int) -> int | tuple[float, ...]:
    return int(group.actions[row]) if group.actions[row] >= 0 else tuple(group.action_values[row])


def _trade(
    ticks: Sequence[LoggedTick],
    rows: range,
    facts: Mapping[str, Any],
    bundle: OpenBundle,
    market: MarketRows,
) -> tuple[FloatArray, int]:
    """Equity at each close of the period, and the number of fills."""

    async def run(path: Path) -> tuple[FloatArray, int]:
        broker = open_paper_broker(path, facts)
        try:
            desk = _Desk(broker, facts, bundle, market)
            for row in range(rows.start):
                desk.portfolio.close_bars(ticks[row].bars)
            return np.array([await desk.trade(row, ticks[row]) for row in rows]), desk.fill_count
        finally:
            await broker.close()

    with tempfile.TemporaryDirectory(prefix="tradewind-replay-") as folder:
        return asyncio.run(run(Path(folder) / "books"))


class _Desk:
    """A paper account whose every symbol the bundle trades."""

    def __init__(
        self, broker: Broker, facts: Mapping[str, Any], bundle: OpenBundle, market: MarketRows
    ) -> None:
        self._broker = broker
        self._bundle = bundle
        self._account = facts["account"]
        self._interval_ns = facts["interval_ns"]
        self.portfolio = Portfolio([Allocation(**dict(item)) for item in facts["allocations"]])
        spec = bundle.contract.features
        self._market = {symbol: market.at(symbol, spec) for symbol in self.portfolio.symbols}

    @property
    def fill_count(self) -> int:
        return self.portfolio.last_fill_sequence

    async def trade(self, row: int, tick: LoggedTick) -> float:
        """Takes in a tick and sends what the bundle decides; gives the equity at its close."""
        await self._broker.observe(tick.bars)
        self.portfolio.apply(await self._broker.fills(self.portfolio.last_fill_sequence))
        self.portfolio.close_bars(tick.bars)
        busy = {state.order.symbol for state in await self._broker.open_orders()}
        ready = [
            bar.symbol
            for bar in tick.bars
            if BarFlag.LATE not in bar.flags
            and bar.symbol not in busy
            and np.isfinite(self._market[bar.symbol][row]).all()
        ]
        orders = self._orders(row, tick, ready) if ready else []
        if orders:
            await self._broker.submit(orders)
        return self.portfolio.equity

    def _orders(self, row: int, tick: LoggedTick, symbols: list[str]) -> list[Order]:
        spec, terms = self._bundle.contract.features, self._bundle.contract.terms
        held = [self.portfolio.position(symbol) for symbol in symbols]
        observed = build_observations(
            [np.stack([self._market[symbol][row] for symbol in symbols])],
            {
                "exposure": [np.array([item.exposure for item in held])],
                "unrealized_return": [np.array([item.unrealized_return for item in held])],
                "bars_held": [np.array([item.bars_held for item in held])],
            },
            spec,
        )
        targets = targets_of(run_network(self._bundle.serving, observed), terms, 1)[:, 0]
        orders = []
        for symbol, target in zip(symbols, targets.tolist(), strict=True):
            account = self.portfolio.account(symbol)
            assert account is not None  # it has had a bar
            if np.isnan(target):
                continue
            price = account.mark_price
            wanted = target_quantity(
                account.state, target, price, terms.transaction_cost, terms.slippage
            )
            quantity = wanted - account.quantity
            smallest = terms.rebalance_threshold * account.equity
            if quantity and (wanted == 0.0 or abs(quantity) * price >= smallest):
                # Named as the log's: the same order then meets the same paper market.
                name = f"{self._account}-{tick.sequence}-{symbol}"
                until_ns = tick.close_ns + self._interval_ns
                orders.append(Order(name, symbol, quantity, price, tick.close_ns, until_ns))
        return orders
