"""Re-runs a period of a decision log against what decided, and compares it bit by bit."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestrator.account.portfolio import read_allocations
from orchestrator.analysis.decision_replay.account import AccountTrail, book_account
from orchestrator.analysis.decision_replay.answers import compare_answers
from orchestrator.analysis.decision_replay.bundles import OpenBundle, find_bundle, open_bundle
from orchestrator.analysis.decision_replay.decisions import DecisionGroup, group_decisions
from orchestrator.analysis.decision_replay.fills import (
    hold_against_terms,
    not_traded_again,
    trade_again,
)
from orchestrator.analysis.decision_replay.findings import (
    ColumnFinding,
    Difference,
    Findings,
    same_value,
)
from orchestrator.analysis.decision_replay.formulas import (
    other_feature_formulas,
    other_trading_formulas,
)
from orchestrator.analysis.decision_replay.observations import (
    MarketRows,
    build_observations,
    component_names,
)
from orchestrator.analysis.decision_replay.risk_check import RiskCheck
from orchestrator.analysis.decision_replay.ticks import LoggedTick, integers, period_of, read_ticks
from orchestrator.brokers import read_terms
from orchestrator.decision_log import DecisionLog, FillRecord, LogPart, Outcome
from orchestrator.decision_log.digest import inputs_digest
from tradewind.bundle import BundleStore
from tradewind.market import FeatureSpec
from tradewind.market.feature_group import KnownGroups
from tradewind.risk.policy import RiskPolicy
from tradewind.showing import Table, html_of

__all__ = ["NEVER_COMPARED", "Verification", "verify"]

NEVER_COMPARED: Final = (
    "orders against targets (demands and pre-trade limits change them), what the risk service "
    "demanded and why (that is in its audit trail), refused bars, ids, and times"
)
_ACCOUNT_FACTS: Final = ("allocations", "capital_base", "interval_ns", "history_length")
_LATER_FACTS: Final = ("markets", "carried")  # that older logs have not
_FILL_FIELDS: Final = tuple(FillRecord.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Verification:
    """What a replay against the bundles that decided found.

    Attributes:
        account: Whose log it is.
        first_sequence: First tick that was compared.
        last_sequence: Last tick that was compared.
        first_close_ns: When its bars close.
        last_close_ns: When its bars close.
        recovered_ticks: Ticks without observations and answers, lost in a crash.
        bundles: What decided, `policy/version`.
        columns: Every column that was compared.
        not_checked: What was not compared, in sentences.
        elapsed_s: How long reading, replaying and comparing took.
    """

    account: str
    first_sequence: int
    last_sequence: int
    first_close_ns: int
    last_close_ns: int
    recovered_ticks: int
    bundles: tuple[str, ...]
    columns: tuple[ColumnFinding, ...]
    not_checked: tuple[str, ...]
    elapsed_s: float

    def __repr__(self) -> str:
        equal = "equal" if self.equal else "DIFFERENT"
        return f"Verification({self.account}, {self.ticks:,} ticks, {equal})"

    def _repr_html_(self) -> str:
        facts = {
            "account": self.account,
            "ticks": f"{self.first_sequence:,} to {self.last_sequence:,}",
            "decided by": ", ".join(self.bundles),
            "not checked": "; ".join(self.not_checked),
        }
        rows = tuple(
            (each.column, f"{each.compared:,}", f"{each.different:,}") for each in self.columns
        )
        title = "Replay: equal to the bit" if self.equal else "Replay: DIFFERENT"
        return html_of(title, facts, Table(("column", ">compared", ">different"), rows))

    @property
    def equal(self) -> bool:
        """Whether every value that was compared is equal to the last bit."""
        return not any(column.different for column in self.columns)

    @property
    def ticks(self) -> int:
        """How many ticks were compared."""
        return self.last_sequence - self.first_sequence + 1

    @property
    def first_difference(self) -> tuple[str, Difference] | None:
        """Column and place of the earliest difference."""
        found = [(column.column, column.first) for column in self.columns if column.first]
        return min(found, key=lambda item: item[1].sequence, default=None)


def verify(
    log: DecisionLog,
    store: BundleStore,
    *,
    start_ns: int | None = None,
    stop_ns: int | None = None,
    risk_policies: Sequence[RiskPolicy] = (),
    known: KnownGroups | None = None,
    on_stage: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Re-runs the ticks whose bars close in [start_ns, stop_ns) and compares all that they say.

    Earlier ticks are booked too, for the account and the features begin with the first bar.

    Args:
        log: The decision log.
        store: Where the bundles that decided lie.
        start_ns: Nanoseconds since the epoch; from the first tick by default.
        stop_ns: Nanoseconds since the epoch; to the last tick by default.
        risk_policies: Risk policies that were in force beside those in the log's facts.
        known: The feature groups that the bundles may need; by default Tradewind's own.
        on_stage: Called with what is compared next.

    Raises:
        StorageError: The log lacks its beginning, or the store cannot be read.
        VersionNotFoundError: A bundle that decided is not in the store.
        ConflictError: A version has another network than the one that decided, or fills cannot
            be booked.
        BundleError: A bundle must not be used.
        InvalidInputError: No tick is in the period.
    """
    started = time.perf_counter()
    run = _Run(log, store, period_of(log, start_ns, stop_ns), known)
    ticks = f"of {len(run.rows):,} ticks"
    if run.books_as_then():
        on_stage(f"account {ticks}")
        run.compare_account(risk_policies)
        on_stage(f"fills {ticks}")
        run.compare_fills()
    on_stage(f"decisions {ticks}")
    run.compare_decisions()
    first, last = run.rows.start, run.rows.stop - 1
    return Verification(
        account=str(log.facts.get("account", "")),
        first_sequence=run.ticks[first].sequence,
        last_sequence=run.ticks[last].sequence,
        first_close_ns=run.ticks[first].close_ns,
        last_close_ns=run.ticks[last].close_ns,
        recovered_ticks=run.count_recovered(),
        bundles=tuple(sorted(bundle.name for bundle in run.bundles.values())),
        columns=run.findings.columns,
        not_checked=(*run.not_checked, NEVER_COMPARED),
        elapsed_s=time.perf_counter() - started,
    )


class _Run:
    """One verification under way."""

    def __init__(
        self, log: DecisionLog, store: BundleStore, rows: range, known: KnownGroups | None
    ) -> None:
        self.log = log
        self.known = known
        self.store = store
        self.rows = rows
        self.table: pa.Table = log.ticks.slice(rows.start, len(rows))
        self.ticks: list[LoggedTick] = read_ticks(log)[: rows.stop]
        self.findings = Findings()
        self.not_checked: list[str] = []
        self.booked = True
        self.bundles: dict[str, OpenBundle] = {}
        self.symbols = tuple(
            dict.fromkeys(
                symbol
                for part in log.parts
                for allocation in read_allocations(part.facts)
                for symbol in allocation.symbols
            )
        )
        self.trail = AccountTrail.empty(self.symbols, rows.stop)
        self.sequences = np.arange(rows.start, rows.stop, dtype=np.int64)
        self.closes = integers(self.table["close_ns"])

    def count_recovered(self) -> int:
        outcomes: list[str] = self.table["outcome"].to_pylist()
        return outcomes.count(Outcome.RECOVERED)

    def books_as_then(self) -> bool:
        """Whether accounts are booked by the formulas of the log; says so if not."""
        changed = [text for part in self.log.parts for text in other_trading_formulas(part.facts)]
        self.booked = not changed
        if changed:
            self.not_checked.append(
                f"account, fills, risk and observations: {'; '.join(dict.fromkeys(changed))}"
            )
        return self.booked

    def compare_account(self, risk_policies: Sequence[RiskPolicy]) -> None:
        risk = RiskCheck(self.log, self.table, self.rows.start, self.findings, risk_policies)
        for facts, first, stop in self._spans():
            trail = AccountTrail.empty(self.symbols, stop)
            wanted = np.zeros(stop, dtype=np.bool_)
            wanted[first:stop] = risk.asked[first - self.rows.start : stop - self.rows.start]
            book_account(self.ticks[:stop], facts, trail, risk.compare, wanted)
            self.trail.take(trail, first, stop)
        self.not_checked += risk.not_checked()
        period = slice(self.rows.start, self.rows.stop)
        for name in ("cash", "equity", "fees_paid", "start_of_day_equity"):
            replayed = getattr(self.trail, name)[period]
            logged = np.asarray(self.table[name], dtype=np.float64)
            self._compare(name, logged, replayed, self.sequences, self.closes)
        self._compare_positions()

    def compare_fills(self) -> None:
        parts = [part for part in self.log.parts if part.first_row < self.rows.stop]
        said = [read_terms(part.facts) for part in parts]
        if None in said:
            self.not_checked.append(
                "fills against orders and bars: the log does not say on what terms its paper "
                "broker traded"
            )
        elif all(terms is not None and terms.paper is not None for terms in said):
            self._trade_again(parts)
        else:
            self._hold_against_terms(parts)
            told = (not_traded_again(terms) for terms in said if terms is not None)
            self.not_checked += dict.fromkeys(told)

    def _trade_again(self, parts: Sequence[LogPart]) -> None:
        given = trade_again(self.ticks, parts)[self.rows.start :]
        logged = [tick.fills for tick in self.ticks[self.rows.start :]]
        for row, (ours, theirs) in enumerate(zip(logged, given, strict=True)):
            where = (self.rows.start + row, int(self.closes[row]))
            for number in range(max(len(ours), len(theirs))):
                one = ours[number] if number < len(ours) else None
                other = theirs[number] if number < len(theirs) else None
                self._compare_fill(where, one, other)

    def _hold_against_terms(self, parts: Sequence[LogPart]) -> None:
        held = hold_against_terms(self.ticks, parts)[self.rows.start :]
        for row, fills in enumerate(held):
            where = (self.rows.start + row, int(self.closes[row]))
            for fill, compared in fills:
                self.findings.add("fills", 1)
                for name, (ours, theirs) in compared.items():
                    same = same_value(ours, theirs)
                    first = None if same else Difference(*where, fill.symbol, ours, theirs)
                    self.findings.add(f"fills.{name}", 1, int(not same), first)

    def compare_decisions(self) -> None:
        recovered = self.count_recovered()
        if recovered:
            self.not_checked.append(
                f"observations, answers and risk of {recovered:,} RECOVERED ticks: a crash came "
                "before they were written; their account, orders and fills are compared"
            )
        groups = group_decisions(self.log, self.table)
        market = MarketRows(self.ticks, self.log.facts["interval_ns"])
        unanswered = 0
        for group in groups:
            bundle = self._bundle(group)
            spec = self._spec(group) if bundle is None else bundle.contract.features
            if self._observes_as_then(group, spec):
                self._compare_observations(group, spec, market)
            unanswered += int((~group.answered).sum())
            if bundle is not None:
                self.not_checked += compare_answers(group, bundle, self.findings)
        self._compare_digests()
        if unanswered:
            self.not_checked.append(f"actions of {unanswered:,} decisions without an answer")

    def _spans(self) -> list[tuple[Mapping[str, Any], int, int]]:
        """Facts of the account, and the rows of the period that were traded under them."""
        spans: list[tuple[Mapping[str, Any], int, int]] = []
        for part in self.log.parts:
            first = max(part.first_row, self.rows.start)
            stop = min(part.stop_row, self.rows.stop)
            if first < stop:
                later = [name for name in _LATER_FACTS if name in part.facts]
                facts = {name: part.facts[name] for name in (*_ACCOUNT_FACTS, *later)}
                if spans and spans[-1][0] == facts:
                    first = spans.pop()[1]
                spans.append((facts, first, stop))
        return spans

    def _compare(
        self,
        column: str,
        logged: NDArray[Any],
        replayed: NDArray[Any],
        rows: NDArray[np.int64],
        closes: NDArray[np.int64],
        symbols: Sequence[str] | None = None,
        items: Sequence[str] | None = None,
    ) -> None:
        self.findings.compare_arrays(
            column,
            logged,
            replayed,
            sequences=rows,
            closes_ns=closes,
            symbols=symbols,
            items=items,
        )

    def _compare_positions(self) -> None:
        flat = self.log.flat("positions", self.table)
        rows, closes = integers(flat["sequence"]), integers(flat["close_ns"])
        names = flat["symbol"].to_pylist()
        places = {symbol: place for place, symbol in enumerate(self.symbols)}
        columns = np.array([places[name] for name in names], dtype=np.int64)
        logged = np.zeros((len(self.rows), len(self.symbols)), dtype=np.bool_)
        logged[rows - self.rows.start, columns] = True
        known = self.trail.known[self.rows.start :]
        self._compare(
            "positions",
            logged.ravel(),
            known.ravel(),
            np.repeat(self.sequences, len(self.symbols)),
            np.repeat(self.closes, len(self.symbols)),
            list(self.symbols) * len(self.rows),
        )
        for name in ("quantity", "entry_price", "mark_price"):
            values = np.asarray(flat[name].to_numpy(), dtype=np.float64)
            replayed = getattr(self.trail, name)[rows, columns]
            self._compare(f"positions.{name}", values, replayed, rows, closes, names)

    def _compare_fill(
        self, where: tuple[int, int], logged: FillRecord | None, replayed: FillRecord | None
    ) -> None:
        symbol = (logged or replayed).symbol  # type: ignore[union-attr]  # one of them is there
        if logged is None or replayed is None:
            self.findings.add("fills", 1, 1, Difference(*where, symbol, logged, replayed))
            return
        self.findings.add("fills", 1)
        for name in _FILL_FIELDS:
            ours, theirs = getattr(logged, name), getattr(replayed, name)
            same = same_value(ours, theirs)
            first = None if same else Difference(*where, symbol, ours, theirs)
            self.findings.add(f"fills.{name}", 1, int(not same), first)

    def _bundle(self, group: DecisionGroup) -> OpenBundle | None:
        sha256 = group.bundle_sha256
        if not sha256:
            return None
        if sha256 not in self.bundles:
            path = find_bundle(self.store, group.policy, group.version, sha256)
            self.bundles[sha256] = open_bundle(path, self.known, any_formulas=True)
        return self.bundles[sha256]

    def _observes_as_then(self, group: DecisionGroup, spec: FeatureSpec) -> bool:
        facts = self._facts_at(int(group.rows[0]))
        changed = other_feature_formulas(facts, group.policy, spec)
        if changed:
            said = f"observations of {group.policy}: {'; '.join(changed)}"
            self.not_checked += [] if said in self.not_checked else [said]
        return self.booked and not changed

    def _facts_at(self, row: int) -> Mapping[str, Any]:
        return next(part.facts for part in self.log.parts if row < part.stop_row)

    def _spec(self, group: DecisionGroup) -> FeatureSpec:
        """How the run built observations for a policy that did not answer."""
        row = int(group.rows[0])
        part = next(part for part in self.log.parts if row < part.stop_row)
        return FeatureSpec.read(part.facts["features"][group.policy], self.known)

    def _compare_observations(
        self, group: DecisionGroup, spec: FeatureSpec, market: MarketRows
    ) -> None:
        places = [self.symbols.index(symbol) for symbol in group.symbols]
        columns: dict[str, list[NDArray[Any]]] = {}
        for name, logged in (
            ("exposure", group.exposures),
            ("unrealized_return", group.unrealized_returns),
            ("bars_held", group.bars_held),
        ):
            found = [getattr(self.trail, name)[group.rows, place] for place in places]
            columns[name] = found
            for at, symbol in enumerate(group.symbols):
                names = [symbol] * len(group.rows)
                shown = f"decisions.{name}"
                self._compare(shown, logged[:, at], found[at], group.rows, group.closes_ns, names)
        built = build_observations(market.at(group.symbols, spec)[group.rows], columns, spec)
        size = built.shape[1]
        self._compare(
            "decisions.observation",
            group.observed(size).ravel(),
            built.ravel(),
            np.repeat(group.rows, size),
            np.repeat(group.closes_ns, size),
            [" ".join(group.symbols)] * built.size,
            component_names(spec, group.symbols) * len(built),
        )

    def _compare_digests(self) -> None:
        flat = self.log.flat("decisions", self.table)
        seen: dict[int, list[bytes]] = {}
        for row, data in zip(
            flat["sequence"].to_pylist(), flat["observation"].to_pylist(), strict=True
        ):
            seen.setdefault(row, []).append(data)
        rows, pairs = [], []
        for row, logged in zip(self.rows, self.table["inputs_digest"].to_pylist(), strict=True):
            if logged:  # a RECOVERED tick has none
                rows.append(row)
                pairs.append((logged, inputs_digest(self.ticks[row].bars, seen.get(row, ()))))
        closes = [int(self.closes[row - self.rows.start]) for row in rows]
        self.findings.compare_objects("inputs_digest", pairs, sequences=rows, closes_ns=closes)
