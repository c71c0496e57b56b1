"""What a calculator from outside must show before it is let in: on a made-up account."""

import json
import logging
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from tradewind.process.stopwatch import stopwatch_ns
from tradewind.risk.inputs import SCALARS, FloatArray, OptionPosition, OrderBook, Position
from tradewind.risk.outside.declaration import TRADES, AccountView, PythonCalculator
from tradewind.settings import Settings

__all__ = ["Declared", "declared_by", "in_words", "read_answer", "tried"]

_LOG = logging.getLogger(__name__)

_MOST: Final = {
    "timestamps": 1_000_000,
    "drawdowns": 1_000_000,
    "returns": 1_000_000,
    "price_changes": 1_000_000,
    "order_flows": 1_000_000,
    "order_latencies_us": 1_000_000,
    TRADES: 86_400,
}
"""The longest window of each series."""
_OTHERS: Final = frozenset(
    {*SCALARS, "positions", "options", "order_books", "feed_timestamps", "average_daily_volumes"}
)
_METRIC: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_LONGEST_TEXT: Final = 200
_CALLS: Final = 9
_PATIENCE_US: Final = 1e6


@dataclass(frozen=True)
class Declared:
    """What a calculator declares under its settings, asked once: what it says later is not heard.

    Attributes:
        metrics: Unit of each.
        windows: How much of each series it looks back over.
        needs: The fewest elements of each input.
    """

    metrics: Mapping[str, str]
    windows: Mapping[str, int]
    needs: Mapping[str, int]


def declared_by(calculator: PythonCalculator[Any], settings: Settings) -> Declared:
    """Asks a calculator for what it declares.

    Raises:
        ValueError: It raises, or gives something else.
    """
    metrics = _asked(calculator, settings, "metrics", str)
    windows = _asked(calculator, settings, "windows", int)
    needs = {**dict.fromkeys(windows, 1), **_asked(calculator, settings, "needs", int)}
    bad = [name for name in metrics if not _METRIC.fullmatch(name)]
    if bad or not metrics or not all(metrics.values()):
        raise ValueError(
            f"metrics must give the unit of one or more, whose names match {_METRIC.pattern}, "
            f"not {metrics!r}"
        )
    for name, length in windows.items():
        if name not in _MOST or not 1 <= length <= _MOST[name]:
            known = ", ".join(f"{series} (at most {most:,})" for series, most in _MOST.items())
            raise ValueError(f"windows must be of {known}, not {name}: {length}")
    for name, count in needs.items():
        if name in _MOST and name not in windows:
            raise ValueError(f"needs {name}, of which windows does not say how much")
        if (name not in _MOST and name not in _OTHERS) or not 0 <= count <= _MOST.get(name, 1):
            known = ", ".join(sorted(_OTHERS))
            raise ValueError(f"needs must be of windows, or 0 or 1 of {known}, not {name}: {count}")
        if name in windows and name != TRADES and count > windows[name]:
            raise ValueError(f"needs {count} {name} of a window of {windows[name]}")
    return Declared(metrics, windows, needs)


def _asked(
    calculator: PythonCalculator[Any], settings: Settings, field: str, kind: type[Any]
) -> dict[str, Any]:
    try:
        found = getattr(calculator, field)(settings)
        given = dict(found) if isinstance(found, Mapping) else found
    except BaseException as no:  # it is someone's own code
        raise ValueError(f"{field} {in_words(no)}") from None
    if not isinstance(given, dict) or any(
        type(key) is not str or type(value) is not kind for key, value in given.items()
    ):
        what = "units" if kind is str else "whole numbers"
        raise ValueError(f"{field} must give a mapping of names to {what}, not {found!r}")
    return given


def tried(calculator: PythonCalculator[Any], settings: Settings, declared: Declared) -> float:
    """Microseconds of a call on a made-up account that has all it needs; said once a process.

    Raises:
        ValueError: It raises, gives something else than its metrics, a number that is not finite,
            or other values when it is asked again.
    """
    text = json.dumps(settings.model_dump(mode="json"), sort_keys=True)
    return _try(calculator, _Key(text, settings, declared))


@dataclass(frozen=True)
class _Key:
    """Settings that are equal when their text is."""

    text: str
    settings: Settings
    declared: Declared

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


@lru_cache(maxsize=64)
def _try(calculator: PythonCalculator[Any], key: _Key) -> float:
    settings, declared = key.settings, key.declared
    answers: list[list[float | str]] = []
    times_us: list[float] = []
    while len(answers) < 2 or (len(answers) <= _CALLS and sum(times_us) < _PATIENCE_US):
        view = AccountView(_made_up(declared))
        started = stopwatch_ns()
        try:
            answer = calculator.calculate(settings, view)
            answers.append(read_answer(answer, declared.metrics))
        except BaseException as no:  # it is someone's own code
            raise ValueError(f"on a made-up account, it {in_words(no)}") from None
        times_us.append((stopwatch_ns() - started) / 1e3)
    if any(repr(answer) != repr(answers[0]) for answer in answers):
        raise ValueError("asked twice about the same account, it gives different answers")
    cost_us = min(times_us[1:])
    _LOG.info("calculator %s@%d takes %.1f µs a call", calculator.name, calculator.version, cost_us)
    return cost_us


class WrongAnswerError(ValueError):
    """A calculator gave something else than values or words for its metrics."""


def in_words(no: BaseException) -> str:
    """What someone's own code did instead of answering, in one short line.

    Raises:
        KeyboardInterrupt: It is one, of the main thread: somebody wants the process to end.
    """
    if isinstance(no, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        raise no
    try:
        said = str(no) if isinstance(no, WrongAnswerError) else f"raised {type(no).__name__}: {no}"
    except Exception:  # its __str__ is its own, too
        said = f"raised {type(no).__name__}"
    return one_line(said)


def one_line(text: str) -> str:
    """A text of someone's own, as short as a reason may be."""
    return " ".join(text.split())[:_LONGEST_TEXT]


def read_answer(answer: Any, metrics: Mapping[str, str]) -> list[float | str]:
    """What a calculator answered, in the order of its metrics.

    Raises:
        WrongAnswerError: It is no answer of these metrics.
    """
    if not isinstance(answer, Mapping):
        raise WrongAnswerError(f"gave {_kind(answer)} instead of a mapping of its metrics")
    given = dict(answer)
    if given.keys() != metrics.keys():
        raise WrongAnswerError(
            f"gave the metrics {sorted(map(str, given))}, and declares {sorted(metrics)}"
        )
    return [_read(name, given[name]) for name in metrics]


def _read(name: str, value: Any) -> float | str:
    if isinstance(value, str):
        return one_line(value) or "no reason given"
    if not isinstance(value, Real) or isinstance(value, bool):
        raise WrongAnswerError(f"gave {_kind(value)} instead of a number for {name}")
    number = float(value)
    if not np.isfinite(number):
        raise WrongAnswerError(f"gave {number} for {name}")
    return number


def _kind(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ + (f" of shape {shape}" if isinstance(shape, tuple) else "")


def _made_up(declared: Declared) -> dict[str, Any]:
    """What an account could be that has everything a calculator may need."""
    rng = np.random.default_rng(7)
    now = 1.6e9
    given: dict[str, Any] = {}
    for name, length in declared.windows.items():
        if name == "timestamps":
            given[name] = now - 60.0 * np.arange(length, dtype=np.float64)[::-1]
        elif name == TRADES:
            count = max(declared.needs[name], 20)
            given["trade_timestamps"] = np.linspace(now - length * 0.9, now, count)
            given["trade_notionals"] = rng.normal(0.0, 1e3, count)
        else:
            given[name] = _series(rng, name, length)
    for array in given.values():
        array.flags.writeable = False
    symbols = ("S0", "S1")
    others = {
        **dict.fromkeys(SCALARS, 1.0),
        "start_of_day_value": 1e5,
        "capital_base": 1e5,
        "now": now,
        "periods_per_year": 17_520.0,
        "positions": tuple(Position(name, 2.0, 100.0) for name in symbols),
        "options": (OptionPosition("S0", "call", 1.0, 1.0, 100.0, 110.0, 0.2, 0.5),),
        "order_books": MappingProxyType({name: _book() for name in symbols}),
        "feed_timestamps": MappingProxyType(dict.fromkeys(symbols, now)),
        "average_daily_volumes": MappingProxyType(dict.fromkeys(symbols, 1e4)),
    }
    return {**given, **{name: others[name] for name in declared.needs if name in others}}


def _series(rng: np.random.Generator, name: str, length: int) -> FloatArray:
    if name == "drawdowns":
        return rng.uniform(0.0, 0.2, length)
    if name == "order_latencies_us":
        return rng.lognormal(4.0, 0.5, length)
    return rng.normal(0.0, 0.01 if name == "returns" else 1.0, length)


def _book() -> OrderBook:
    steps = 0.01 * np.arange(1.0, 11.0)
    sizes = np.full(10, 50.0)
    return OrderBook(100.0 - steps, sizes, 100.0 + steps, sizes.copy())
