"""What a test of a calculator of one's own calls: `check_calculator(MY_CALCULATOR)`."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, Final

import numpy as np

from tradewind.risk.agent import RiskAgentV2
from tradewind.risk.batch import BatchBar
from tradewind.risk.inputs import OptionPosition, OrderBook, Position, RiskInputs
from tradewind.risk.outside.declaration import PythonCalculator
from tradewind.risk.policy import RiskPolicy
from tradewind.risk.report import RiskReport

__all__ = ["check_calculator"]

_SYMBOLS: Final = ("BTC", "ETH")
_STEPS: Final = 40
_NO_BUDGET_US: Final = 1e9
_BOOK: Final = 0.01 * np.arange(1.0, 7.0)


def check_calculator(
    calculator: PythonCalculator[Any],
    settings: Mapping[str, Any] | None = None,
    *,
    accounts: int = 5,
    seed: int = 0,
) -> None:
    """Holds a calculator against what it promises, on random accounts with bad data in them.

    Args:
        calculator: The calculator.
        settings: Its settings, as a risk policy has them.
        accounts: How many accounts grow step by step.
        seed: Of what is random.

    Raises:
        AssertionError: Whole arrays, a tracker and a batch do not give the same bits; the same
            account gives another answer; it raised, or gave something else than numbers and words
            for its metrics; or a metric never had a value.
        RiskPolicyError: No risk policy would let it in.
    """
    entry = {"use": calculator, "settings": settings or {}, "budget_us": _NO_BUDGET_US}
    policy = RiskPolicy.parse({"calculators": {calculator.name: entry}})
    check = _Check(calculator.name, policy)
    for number in range(accounts):
        check.grow(np.random.default_rng([seed, number]))
        check.step_together(np.random.default_rng([seed, number, 1]))
    never = check.metrics - check.seen
    assert not never, f"never had a value: {sorted(never)}; it was unavailable for {check.reasons}"


class _Check:
    def __init__(self, name: str, policy: RiskPolicy) -> None:
        self._name, self._agent = name, RiskAgentV2(policy)
        loaded = policy.calculators.outside[name].loaded
        assert loaded is not None, "it was given as an object"
        self.metrics = set(loaded.declared.metrics)
        self._chunk = 1 + max([0, *loaded.declared.needs.values()]) // (_STEPS // 4)
        self.seen: set[str] = set()
        self.reasons: set[str] = set()

    def grow(self, rng: np.random.Generator) -> None:
        """Whole arrays against a tracker, twice."""
        tracker, history = self._agent.tracker(), RiskInputs()
        for new in _increments(rng, self._chunk):
            history = _joined(history, new)
            grown = self._bits(tracker.update(new))
            assert grown == self._bits(self._agent.calculate_only(history)), (
                f"a tracker and whole arrays give different bits: {grown}"
            )
            again = self._bits(self._agent.calculate_only(history))
            assert grown == again, f"the same account gives {again} after {grown}"

    def step_together(self, rng: np.random.Generator) -> None:
        """A batch against a tracker a row."""
        rows = 2
        batch, bar = self._agent.batch(rows, _SYMBOLS, 1e5, 17_520.0), BatchBar.zeros(rows, 2)
        trackers = [self._agent.tracker() for _ in range(rows)]
        values = np.full(rows, 1e5)
        for step in range(_STEPS):
            values *= rng.normal(1.0, 0.01, rows)
            _fill(bar, rng, values, 1.6e9 + 1_800.0 * step)
            if step == 0:
                bar.trade_notionals[:] = 0.0
                batch.begin(np.arange(rows), bar)
                for row, tracker in enumerate(trackers):
                    tracker.update(_first_of(bar, row))
                continue
            batch.update(bar)
            for row, tracker in enumerate(trackers):
                alone, together = tracker.update(_row_of(bar, row)), batch.report(row)
                assert self._bits(alone) == self._bits(together), (
                    f"a tracker and a batch give different bits: {self._bits(together)}"
                )

    def _bits(self, report: RiskReport) -> dict[str, str]:
        """What a report says of the calculator, to the last bit."""
        failures = self._agent.costs()[self._name].failures
        found = {name: report.unavailable.get(name, "") for name in self.metrics}
        assert not failures, f"it failed: {sorted(set(found.values()))}"
        self.reasons |= set(found.values()) - {""}
        for name in self.metrics & report.metric_values.keys():
            self.seen.add(name)
            found[name] = report.metric_values[name].hex()
        return found


def _increments(rng: np.random.Generator, chunk: int) -> Iterator[RiskInputs]:
    time, value = 1.6e9, 1e5
    for step in range(_STEPS):
        size = chunk if step < _STEPS // 2 else int(rng.integers(0, 2 * chunk + 1))
        times = time + np.cumsum(rng.uniform(60.0, 3_600.0, size))
        values = value * np.cumprod(1.0 + rng.normal(0.0, 0.01, size))
        time, value = (float(times[-1]), float(values[-1])) if size else (time, value)
        trades = int(rng.integers(0, 3)) if size else 0
        given: dict[str, Any] = {
            "portfolio_values": values,
            "timestamps": times,
            "trade_timestamps": np.full(trades, time),
            "trade_notionals": rng.normal(0.0, 1e4, trades),
            "price_changes": rng.normal(0.0, 1.0, size),
            "order_flows": rng.normal(0.0, 5.0, size),
            "order_latencies_us": rng.lognormal(4.0, 1.0, size),
            "now": time + 1.0 if rng.random() < 0.7 else None,
        }
        if rng.random() < 0.6:
            given |= _holdings(rng, time)
        if rng.random() < 0.03 and size:
            name = str(rng.choice(["portfolio_values", "order_flows", "order_latencies_us"]))
            given[name][-1] = rng.choice([np.nan, np.inf, -1.0])
        yield RiskInputs(**given)


def _holdings(rng: np.random.Generator, time: float) -> dict[str, Any]:
    sizes = rng.uniform(1.0, 10.0, _BOOK.size)
    return {
        "positions": tuple(
            Position(symbol, float(rng.normal(0.0, 20.0)), float(rng.uniform(1.0, 100.0)))
            for symbol in _SYMBOLS
        ),
        "capital_base": 1e5,
        "start_of_day_value": float(rng.uniform(9e4, 1.1e5)),
        "periods_per_year": 17_520.0,
        "order_books": {"ETH": OrderBook(50.0 - _BOOK, sizes, 50.0 + _BOOK, sizes)},
        "feed_timestamps": {symbol: time - float(rng.uniform(0.0, 5.0)) for symbol in _SYMBOLS},
        "average_daily_volumes": {"BTC": float(rng.uniform(50.0, 500.0))},
        "options": (OptionPosition("BTC", "call", float(rng.normal()), 1.0, 50.0, 55.0, 0.2, 0.8),),
    }


def _joined(history: RiskInputs, new: RiskInputs) -> RiskInputs:
    """Everything known after an increment."""
    changes: dict[str, Any] = {}
    for field in fields(RiskInputs):
        old, value = getattr(history, field.name), getattr(new, field.name)
        if isinstance(value, np.ndarray):
            value = np.concatenate([old, value])
        elif isinstance(value, Mapping):
            value = {**old, **value}
        elif field.name != "now" and value in (None, ()):
            value = old
        changes[field.name] = value
    return replace(history, **changes)


def _fill(bar: BatchBar, rng: np.random.Generator, values: Any, time: float) -> None:
    rows, symbols = bar.quantities.shape
    bar.portfolio_values[:] = values
    bar.timestamps[:] = time
    bar.start_of_day_values[:] = 1e5
    bar.trade_timestamps[:] = time - 60.0
    traded = rng.random((rows, symbols)) < 0.4
    bar.trade_notionals[:] = rng.normal(0.0, 1e4, (rows, symbols)) * traded
    bar.quantities[:] = rng.normal(0.0, 3.0, (rows, symbols))
    bar.prices[:] = rng.uniform(1.0, 9.0, (rows, symbols))
    bar.average_daily_volumes[:] = [80.0, np.nan]


def _first_of(bar: BatchBar, row: int) -> dict[str, Any]:
    """What a batch takes when it begins an account: its value and its time, and no trade so far."""
    return {
        "portfolio_values": bar.portfolio_values[[row]],
        "timestamps": bar.timestamps[[row]],
        "trade_timestamps": bar.trade_timestamps[[row]],
        "trade_notionals": [0.0],
        "periods_per_year": 17_520.0,
    }


def _row_of(bar: BatchBar, row: int) -> dict[str, Any]:
    """One account of a bar, as a tracker takes it."""
    now = float(bar.timestamps[row])
    traded = bar.trade_notionals[row][bar.trade_notionals[row] != 0.0]
    holdings = zip(_SYMBOLS, bar.quantities[row].tolist(), bar.prices[row].tolist(), strict=True)
    return {
        "portfolio_values": bar.portfolio_values[[row]],
        "timestamps": [now],
        "trade_timestamps": np.repeat(bar.trade_timestamps[row], traded.size),
        "trade_notionals": traded,
        "capital_base": 1e5,
        "start_of_day_value": float(bar.start_of_day_values[row]),
        "positions": [Position(*holding) for holding in holdings],
        "feed_timestamps": dict.fromkeys(_SYMBOLS, now),
        "average_daily_volumes": {"BTC": 80.0},
        "now": now,
    }
