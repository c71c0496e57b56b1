"""What each variant earned from bar to bar, out of the decision log."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestrator.decision_log import DecisionLog
from tradewind.errors import FieldViolation, InvalidInputError

__all__ = ["VariantSeries", "read_account", "split_variants"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class VariantSeries:
    """One variant as it traded.

    Attributes:
        name: Its name.
        close_ns: When each bar closed, nanoseconds since the epoch, rising. Shape [n].
        returns: Simple return of each bar on what the variant had to trade with, fees paid and
            positions marked at the close. Shape [n].
        model_compute_ns: Of every answer; a call that failed has none.
        predict_ns: Round trip of the Predict calls of a tick that the variant decided in.
        bar_to_order_ns: From the last bar to the order, of those ticks.
    """

    name: str
    close_ns: IntArray
    returns: FloatArray
    model_compute_ns: IntArray
    predict_ns: IntArray
    bar_to_order_ns: IntArray


def read_account(log: DecisionLog, name: str) -> VariantSeries:
    """A whole account as one variant.

    Args:
        log: Its decision log.
        name: What to call it.

    Raises:
        InvalidInputError: The log has fewer than two ticks, or the account lost everything.
    """
    equity = _equity(log)
    decisions = log.flat("decisions")
    decided = np.isin(_integers(log.ticks["sequence"]), _integers(decisions["sequence"]))
    return VariantSeries(
        name=name,
        close_ns=_integers(log.ticks["close_ns"])[1:],
        returns=equity[1:] / equity[:-1] - 1.0,
        model_compute_ns=_integers(decisions.filter(_answered(decisions))["model_compute_ns"]),
        predict_ns=_timing(log, "predict_ns")[decided],
        bar_to_order_ns=_timing(log, "bar_to_order_ns")[decided],
    )


def split_variants(log: DecisionLog, policy: str = "") -> tuple[VariantSeries, ...]:
    """The variants that shared an account, each on its symbols.

    What a symbol earned in a bar, its fees paid, belongs to the variant whose answer was last used
    for it; the capital of a variant is the share of its symbols in the account. What the variants
    earned adds up to what the account did.

    Args:
        log: The account's decision log.
        policy: Only the variants of this policy; of all of them when empty.

    Returns:
        In the order of their names: of the routing where it chose, else of the policies.

    Raises:
        InvalidInputError: The log has fewer than two ticks, the account lost everything, or no
            answer of a policy was used.
    """
    equity = _equity(log)
    sequences = _integers(log.ticks["sequence"])
    decisions = log.flat("decisions")
    symbols = sorted({symbol for row in decisions["symbols"].to_pylist() for symbol in row})
    if policy:
        decisions = decisions.filter(pc.equal(decisions["policy"], policy))
    names = [
        variant or its_policy
        for variant, its_policy in zip(
            decisions["variant"].to_pylist(), decisions["policy"].to_pylist(), strict=True
        )
    ]
    used = [reason == "" for reason in decisions["reason"].to_pylist()]
    variants = sorted({name for name, kept in zip(names, used, strict=True) if kept})
    if not variants:
        raise _refusal("no answer of a policy was used in it")
    rows = np.searchsorted(sequences, _integers(decisions["sequence"]))
    owners = np.full((len(equity), len(symbols)), -1, dtype=np.int64)
    for row, name, kept, traded in zip(
        rows, names, used, decisions["symbols"].to_pylist(), strict=True
    ):
        if kept:
            owners[row, [symbols.index(symbol) for symbol in traded]] = variants.index(name)
    owners = _carried(owners)[:-1]
    gains = _gains(log, sequences, symbols)
    close_ns = _integers(log.ticks["close_ns"])
    computes, decided_by = _integers(decisions["model_compute_ns"]), np.array(names)
    answered = np.asarray(_answered(decisions))
    found = []
    for number, name in enumerate(variants):
        own = owners == number
        shares = own.mean(axis=1)
        traded = shares > 0.0
        gained = np.where(own, gains, 0.0).sum(axis=1)[traded]
        mine = decided_by == name
        ticks = np.unique(rows[mine])
        found.append(
            VariantSeries(
                name=name,
                close_ns=close_ns[1:][traded],
                returns=gained / (equity[:-1] * shares)[traded],
                model_compute_ns=computes[mine & answered],
                predict_ns=_timing(log, "predict_ns")[ticks],
                bar_to_order_ns=_timing(log, "bar_to_order_ns")[ticks],
            )
        )
    return tuple(found)


def _answered(decisions: pa.Table) -> pa.ChunkedArray:
    """Whether the inference service answered: the log's times of other calls are 0."""
    return pc.not_equal(decisions["version"], "")


def _gains(log: DecisionLog, sequences: IntArray, symbols: list[str]) -> FloatArray:
    """What each symbol earned from close to close. Shape [ticks - 1, symbols]."""
    positions, fills = log.flat("positions"), log.flat("fills")
    worth = _floats(positions["quantity"]) * _floats(positions["mark_price"])
    paid = _floats(fills["quantity"]) * _floats(fills["price"]) + _floats(fills["fee"])
    values = _sums(positions, worth, sequences, symbols)
    gains: FloatArray = np.diff(values, axis=0) - _sums(fills, paid, sequences, symbols)[1:]
    return gains


def _sums(
    table: pa.Table, amounts: FloatArray, sequences: IntArray, symbols: list[str]
) -> FloatArray:
    """Amounts by tick and symbol; of other symbols they are left out. Shape [ticks, symbols]."""
    places = {symbol: place for place, symbol in enumerate(symbols)}
    columns = np.array([places.get(name, -1) for name in table["symbol"].to_pylist()], np.int64)
    rows = np.searchsorted(sequences, _integers(table["sequence"]))
    kept = columns >= 0
    sums = np.zeros((len(sequences), len(symbols)))
    np.add.at(sums, (rows[kept], columns[kept]), amounts[kept])
    return sums


def _carried(owners: IntArray) -> IntArray:
    """Each symbol's last owner so far; -1 before there is one."""
    places = np.where(owners >= 0, np.arange(len(owners))[:, np.newaxis], 0)
    carried: IntArray = np.take_along_axis(owners, np.maximum.accumulate(places), axis=0)
    return carried


def _equity(log: DecisionLog) -> FloatArray:
    equity = _floats(log.ticks["equity"])
    if len(equity) < 2:
        raise _refusal("it has fewer than two ticks")
    if not (equity > 0.0).all():
        raise _refusal("the account lost everything: it has no returns from there on")
    return equity


def _refusal(description: str) -> InvalidInputError:
    violation = FieldViolation("log", description)
    return InvalidInputError("the decision log cannot be compared", [violation])


def _timing(log: DecisionLog, name: str) -> IntArray:
    return _integers(log.ticks["timings"].combine_chunks().field(name))


def _integers(column: pa.ChunkedArray | pa.Array) -> IntArray:
    values: IntArray = np.asarray(column.cast(pa.int64()))
    return values


def _floats(column: pa.ChunkedArray | pa.Array) -> FloatArray:
    values: FloatArray = np.asarray(column, dtype=np.float64)
    return values
