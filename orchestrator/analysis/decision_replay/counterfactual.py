"""What another bundle would have done over a period of a decision log."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.account.portfolio import read_allocations
from orchestrator.analysis.account_curve import summarize_account
from orchestrator.analysis.decision_replay.account import AccountTrail, book_account
from orchestrator.analysis.decision_replay.answers import targets_of
from orchestrator.analysis.decision_replay.bundles import OpenBundle, run_network
from orchestrator.analysis.decision_replay.decisions import DecisionGroup, group_decisions
from orchestrator.analysis.decision_replay.desk import trade_account
from orchestrator.analysis.decision_replay.fills import paper_stands_for
from orchestrator.analysis.decision_replay.observations import MarketRows, build_observations
from orchestrator.analysis.decision_replay.ticks import LoggedTick, period_of, read_ticks
from orchestrator.decision_log import DecisionLog
from tradewind.errors import BundleFormatError, InvalidInputError
from tradewind.risk import FloatArray
from tradewind.risk.curve import CurveSummary

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
        other: A paper account that the bundle trades from the begin of the period, flat.
        fills: Fills of this account.
        notes: What the figures rest on.
        elapsed_s: How long it took.
    """

    bundle: str
    ticks: int
    actions: ActionComparison
    logged: CurveSummary
    other: CurveSummary
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
    market = MarketRows(ticks, interval_ns)
    period = log.ticks.slice(rows.start, len(rows))
    actions = _compare_actions(group_decisions(log, period), bundle, ticks, facts, market)
    equity = np.asarray(period["equity"], dtype=np.float64)
    seconds = np.array([tick.close_ns for tick in ticks[rows.start :]]) / 1e9
    notes = [
        "counterfactual: its orders were never sent, and no demand of the risk service, "
        "pre-trade limit or trouble of a service kept it from trading",
        "it begins flat with the allocations' cash at the first close of the period, and trades "
        "on paper, on the terms of the log's broker",
    ]
    notes += paper_stands_for(facts)
    account = trade_account(ticks, rows, facts, bundle, market)
    if account.idle:
        notes.append(f"{', '.join(account.idle)} with their cash stay as they are: not its symbols")
    return Counterfactual(
        bundle=bundle.name,
        ticks=len(rows),
        actions=actions,
        logged=summarize_account(equity, seconds, facts),
        other=summarize_account(account.equity, seconds, facts),
        fills=account.fill_count,
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
    symbols = [symbol for item in read_allocations(facts) for symbol in item.symbols]
    trail = AccountTrail.empty(symbols, len(ticks))
    never = np.zeros(len(ticks), dtype=np.bool_)
    book_account(ticks, facts, trail, lambda _row, _inputs: None, never)
    compared = equal = 0
    distances: list[FloatArray] = []
    confusion: dict[tuple[int, int], int] = {}
    differing: list[OtherAction] = []
    for group in groups:
        own = bundle.contract.symbols
        takes = group.symbols == own if own else len(group.symbols) == 1
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
    return build_observations(market.at(group.symbols, spec)[rows], positions, spec)


def _logged_action(group: DecisionGroup, row: int) -> int | tuple[float, ...]:
    return int(group.actions[row]) if group.actions[row] >= 0 else tuple(group.action_values[row])
