"""What a tearsheet shows, read out of a decision log."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestrator.account.portfolio import read_allocations
from orchestrator.analysis.account_curve import logged_risk_policy, summarize_account
from orchestrator.analysis.comparison import (
    VariantFigures,
    VariantSeries,
    measure_variant,
    split_variants,
)
from orchestrator.decision_log import DecisionLog
from tradewind.errors import InvalidInputError, RiskInputError
from tradewind.risk import FloatArray
from tradewind.risk.curve import CurveSummary
from tradewind.risk.policy import RiskPolicy

__all__ = ["Halt", "Sheet", "SymbolTrades", "read_sheet"]

_TIMINGS = {
    "Predict call": "predict_ns",
    "Evaluate call": "evaluate_ns",
    "Bar to order": "bar_to_order_ns",
}


@dataclass(frozen=True, slots=True)
class Halt:
    """A stretch of ticks at which the risk service said that the account is halted.

    Attributes:
        first_s: Close of the first one, seconds since the epoch.
        last_s: Close of the last one.
        ticks: How many.
        cause: The breaches at the first one.
    """

    first_s: float
    last_s: float
    ticks: int
    cause: str


@dataclass(frozen=True, slots=True, eq=False)
class SymbolTrades:
    """One symbol of the account.

    Attributes:
        symbol: Its name.
        prices: Last close at each tick; NaN before its first bar. Shape [n].
        exposures: Marked position as a signed fraction of the account's equity. Shape [n].
        fill_count: Fills.
        notional: Absolute notional of all fills.
        fees: Paid on them.
        slippage: What they cost beyond their reference prices.
    """

    symbol: str
    prices: FloatArray
    exposures: FloatArray
    fill_count: int
    notional: float
    fees: float
    slippage: float


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """A log, summed up. Arrays have one value for each of its n ticks.

    Attributes:
        account: Whose log it is.
        facts: Of the last run.
        risk_policy: Of the last run.
        run_count: Starts of the orchestrator.
        bundles: What answered: `policy/version`.
        seconds: Closes, seconds since the epoch.
        equity: Account value.
        summary: Return and risk of the whole curve.
        fees: Paid so far.
        slippage: Paid so far.
        symbols: Each symbol of the account.
        outcomes: Ticks by outcome.
        reasons: Ticks by reason code; a tick may have several.
        demands: Ticks by what the risk service demanded.
        bar_faults: Refused bars by fault.
        latencies_us: By what was timed, of each tick or answer, in microseconds.
        halts: When the account was halted.
        variants: Each variant's series and figures, None for one that lost everything; empty when
            no answer was used.
    """

    account: str
    facts: Mapping[str, Any]
    risk_policy: RiskPolicy
    run_count: int
    bundles: tuple[str, ...]
    seconds: FloatArray
    equity: FloatArray
    summary: CurveSummary
    fees: FloatArray
    slippage: FloatArray
    symbols: tuple[SymbolTrades, ...]
    outcomes: Mapping[str, int]
    reasons: Mapping[str, int]
    demands: Mapping[str, int]
    bar_faults: Mapping[str, int]
    latencies_us: Mapping[str, FloatArray]
    halts: tuple[Halt, ...]
    variants: tuple[tuple[VariantSeries, VariantFigures | None], ...]


def read_sheet(log: DecisionLog) -> Sheet:
    """Sums a log up.

    Raises:
        RiskInputError: The account's curve has no drawdown: it lost everything.
        InvalidInputError: The log has fewer than two ticks.
    """
    if len(log.ticks) < 2:
        raise InvalidInputError("a tearsheet needs two ticks at least")
    seconds = _integers(log.ticks["close_ns"]) / 1e9
    equity = _floats(log.ticks["equity"])
    policy = logged_risk_policy(log.facts)
    fills = log.flat("fills")
    beyond = _floats(fills["quantity"]) * (
        _floats(fills["price"]) - _floats(fills["reference_price"])
    )
    first = int(_integers(log.ticks["sequence"])[0])
    slippage = np.zeros(len(equity))
    np.add.at(slippage, _integers(fills["sequence"]) - first, beyond)
    decisions = log.flat("decisions")
    answered = pc.not_equal(decisions["version"], "")
    names = {
        f"{policy_name}/{version}"
        for policy_name, version in zip(
            decisions["policy"].to_pylist(), decisions["version"].to_pylist(), strict=True
        )
        if version
    }
    timings = log.ticks["timings"].combine_chunks()
    latencies = {
        "Model compute": _floats(decisions.filter(answered)["model_compute_ns"]) / 1e3,
        **{
            name: values[values > 0.0] / 1e3
            for name, field in _TIMINGS.items()
            for values in (_floats(timings.field(field)),)
        },
    }
    return Sheet(
        account=str(log.facts["account"]),
        facts=log.facts,
        risk_policy=policy,
        run_count=len(set(log.ticks["run_id"].to_pylist())),
        bundles=tuple(sorted(names)),
        seconds=seconds,
        equity=equity,
        summary=summarize_account(equity, seconds, log.facts),
        fees=_floats(log.ticks["fees_paid"]),
        slippage=np.cumsum(slippage),
        symbols=_symbols(log, equity, first, beyond),
        outcomes=_counts(log.ticks["outcome"]),
        reasons=_counts(pc.list_flatten(log.ticks["reasons"])),
        demands=_counts(
            pc.drop_null(pc.struct_field(log.ticks["risk"].combine_chunks(), "action"))
        ),
        bar_faults=_counts(log.flat("refused_bars")["fault"]),
        latencies_us={name: values for name, values in latencies.items() if values.size},
        halts=_halts(log, seconds),
        variants=_variants(log),
    )


def _symbols(
    log: DecisionLog, equity: FloatArray, first: int, beyond: FloatArray
) -> tuple[SymbolTrades, ...]:
    positions, fills = log.flat("positions"), log.flat("fills")
    rows = _integers(positions["sequence"]) - first
    names, filled = np.array(positions["symbol"]), np.array(fills["symbol"])
    quantity, mark = _floats(positions["quantity"]), _floats(positions["mark_price"])
    notional = np.abs(_floats(fills["quantity"]) * _floats(fills["price"]))
    fees = _floats(fills["fee"])
    found = []
    there = set(names.tolist())
    allocated = [symbol for item in read_allocations(log.facts) for symbol in item.symbols]
    for symbol in (*(each for each in allocated if each in there), *sorted(there - {*allocated})):
        own, traded = names == symbol, filled == symbol
        prices, worth = np.full(len(equity), np.nan), np.zeros(len(equity))
        prices[rows[own]] = mark[own]
        worth[rows[own]] = quantity[own] * mark[own]
        found.append(
            SymbolTrades(
                symbol,
                prices,
                worth / equity,
                int(traded.sum()),
                float(notional[traded].sum()),
                float(fees[traded].sum()),
                float(beyond[traded].sum()),
            )
        )
    return tuple(found)


def _halts(log: DecisionLog, seconds: FloatArray) -> tuple[Halt, ...]:
    risk = log.ticks["risk"].combine_chunks()
    halted = np.array(pc.fill_null(pc.struct_field(risk, "halted"), False))
    edges = np.flatnonzero(np.diff(halted.astype(np.int8), prepend=0, append=0))
    halts = []
    for start, stop in list(pairwise(edges.tolist()))[::2]:
        breaches = risk[start].as_py()["breaches"]
        cause = "; ".join(breaches) or "halted before"
        last = float(seconds[stop - 1])
        halts.append(Halt(float(seconds[start]), last, stop - start, cause))
    return tuple(halts)


def _variants(log: DecisionLog) -> tuple[tuple[VariantSeries, VariantFigures | None], ...]:
    try:
        found = split_variants(log)
    except InvalidInputError:  # no answer was used: there is nothing to tell apart
        return ()
    return tuple((series, _figures(series)) for series in found if len(series.returns))


def _figures(series: VariantSeries) -> VariantFigures | None:
    try:
        return measure_variant(series)
    except RiskInputError:
        return None


def _counts(column: pa.ChunkedArray | pa.Array) -> dict[str, int]:
    """How often each text is there, most often first."""
    return dict(Counter(column.to_pylist()).most_common())


def _integers(column: pa.ChunkedArray | pa.Array) -> NDArray[np.int64]:
    return np.asarray(column.cast(pa.int64()))


def _floats(column: pa.ChunkedArray | pa.Array) -> FloatArray:
    return np.asarray(column, dtype=np.float64)
