"""Every enabled calculator in one compiled call on one state, written from their declarations."""

import inspect
from collections.abc import Callable, Iterator
from math import inf, isnan, nan
from typing import Any, Final

from tradewind.kernels.compiled import compiled, inlined
from tradewind.risk.calculators.base import CompiledCalculator
from tradewind.risk.calculators.order_statistics import find_largest_losses
from tradewind.risk.calculators.registry import CALCULATORS
from tradewind.risk.engine.result import AT, CODE, OTHER, VALUE
from tradewind.risk.engine.snapshot import HAS_PERIODS_PER_YEAR
from tradewind.risk.engine.state import Series, State, Touched
from tradewind.risk.inputs import FloatArray

__all__ = ["arguments_of", "calculate", "score"]

TAIL: Final = "tail"
_GIVEN: Final = {
    "config": "config",
    **{name: f"state.{name}" for name in State._fields},
    **{name: f"state.series.{name}" for name in Series._fields},
    "account": "account",
    TAIL: TAIL,
    "out": "out",
}
"""What a kernel's arguments may be named, and what each is given."""

_CHANGED: Final = {
    **{name: f"touched.{name}" for name in Touched._fields},
    "periods": "periods != account.periods_per_year",
    "time": "True",
}
"""When each change of those that a calculator names has happened."""

_HEAD: Final = '''
def calculate(config, limits, state, touched, out):
    """Runs the enabled calculators that something has changed for; other results still hold.

    Args:
        config: Settings (plan.CONFIG).
        limits: Limits and weights. Shape [2, metrics].
        state: The account.
        touched: What to calculate anew; what depends on the time always is.
        out: The last result, brought up to date. Shape [4, metrics + 2].

    Returns:
        How many metrics are unavailable or have a note.
    """
    account, header, workspace = state.account[0], state.header, state.workspace
    periods = header[HAS_PERIODS + 1] if header[HAS_PERIODS] != 0.0 else -inf
    tail, tail_window = state.series.sorted_losses, config.losses_window
    if tail.size == 0:
        tail_window = 0
'''
_FOOT: Final = """
    account.periods_per_year = periods
    return score(limits, out)
"""
_FIND_TAIL: Final = """
        if tail_window != config.{name}_window_bars:
            tail_window = config.{name}_window_bars
            tail = workspace[: find_largest_losses(state.series.returns, tail_window, workspace)]
"""


def arguments_of(calculator: CompiledCalculator[Any]) -> tuple[str, ...]:
    """Names of the arguments of a calculator's kernel."""
    return tuple(inspect.signature(calculator.kernel).parameters)


def _source() -> Iterator[str]:
    yield _HEAD
    for calculator in CALCULATORS:
        name, arguments = calculator.name, arguments_of(calculator)
        changed = " or ".join(_CHANGED[change] for change in calculator.after)
        yield f"    if config.{name} >= 0 and ({changed}):"
        if TAIL in arguments:
            yield _FIND_TAIL.format(name=name)
        yield f"        calculate_{name}({', '.join(_GIVEN[argument] for argument in arguments)})"
        if "workspace" in arguments and TAIL not in arguments:
            yield "        tail_window = 0  # it may have been overwritten"
    yield _FOOT


@compiled
def score(limits: FloatArray, out: FloatArray) -> int:
    """Writes risk_score, penalty (NaN: unknown) and where the remarks are, and counts these."""
    metrics = limits.shape[1]
    remarks = 0
    first = end = 0
    largest = nan
    weighted = 0.0
    weights = 0.0
    for metric in range(metrics):
        if out[CODE, metric] != 0.0:
            first = metric if remarks == 0 else first
            end = metric + 1
            remarks += 1
        if out[CODE, metric] <= 0.0 and not isnan(limits[0, metric]):
            utilisation = out[VALUE, metric] / limits[0, metric]
            if isnan(largest) or utilisation > largest:
                largest = utilisation
            # Not even an infinite utilisation counts without a weight.
            if limits[1, metric] > 0.0:
                weighted += limits[1, metric] * utilisation
                weights += limits[1, metric]
    out[AT, metrics] = first
    out[OTHER, metrics] = end
    out[VALUE, metrics] = largest if isnan(largest) else min(max(largest, 0.0), 1.0)
    out[VALUE, metrics + 1] = weighted / weights if weights > 0.0 else nan
    return remarks


def _compile() -> Callable[..., int]:
    """The function that `_source` is the text of; compiled into whatever kernel calls it.

    It bears the name of this file, which decides where Numba looks for its cache.
    """
    names: dict[str, Any] = {
        "HAS_PERIODS": HAS_PERIODS_PER_YEAR,
        "find_largest_losses": find_largest_losses,
        "inf": inf,
        "score": score,
        **{f"calculate_{calculator.name}": calculator.kernel for calculator in CALCULATORS},
    }
    exec(compile("\n".join(_source()), __file__, "exec"), names)  # noqa: S102  text of our own
    calculate: Callable[..., int] = names["calculate"]
    return inlined(calculate)


calculate: Final = _compile()
