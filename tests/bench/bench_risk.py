"""Latency of the risk library: calculate_only, a tracker's update and a batch of environments.

    python -m tests.bench.bench_risk [--quick]

Beside them, in the same run and on the same real bars: the same 36 metrics by plain NumPy (checked
to be equal), and the metrics that empyrical-reloaded and quantstats have, with our calculators of
the same metrics alone. Rounds of each take turns. Every calculator is enabled; an account has 20
trades, 5,000 order latencies, 2 stress scenarios, 5 options, and 5 symbols with a position, a book
of 2 × 20 levels and a feed each. A large one has 10 options and 10 symbols, with books of 2 × 50.
"""

import argparse
import importlib
import itertools
import os
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import empyrical
import numba
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tests.bench.numpy_metrics import PERIODS_PER_YEAR, numpy_metrics
from tradewind.market import load_sample
from tradewind.risk import (
    BatchBar,
    FloatArray,
    OptionPosition,
    OrderBook,
    Position,
    RiskAgentV2,
    RiskInputs,
    RiskPolicy,
)

FIRST_BAR = 3_600
ENVIRONMENTS = 64
ROUNDS = 10
LIMITS = {"max_drawdown": 0.25, "var_95": 0.02, "volatility": 1.2, "gross_leverage": 2.0}


@dataclass
class Row:
    """One thing measured.

    Each call counts as `calls` of what is reported; slow things are called less often.
    """

    name: str
    call: Callable[[], object]
    beside: str = ""
    calls: int = 1
    slowness: int = 1
    latencies: list[NDArray[np.float64]] = field(default_factory=list)

    def measure(self, count: int) -> None:
        """Takes a round of latencies, in nanoseconds."""
        clock, call = time.perf_counter_ns, self.call
        latencies = np.empty(max(count // self.slowness, 10))
        for index in range(latencies.size):
            start = clock()
            call()
            latencies[index] = clock() - start
        self.latencies.append(latencies / self.calls)

    def percentiles(self) -> NDArray[np.float64]:
        """p50, p99 and p99.9 in microseconds."""
        return np.percentile(np.concatenate(self.latencies), [50.0, 99.0, 99.9]) / 1e3


def policy_of(window: int, only: tuple[str, ...] = ()) -> RiskPolicy:
    """All calculators, or only some, looking back over `window` bars."""
    windows: dict[str, dict[str, Any]] = {
        "ulcer_index": {"window_bars": window},
        "volatility": {"window_bars": window},
        "var": {"window_bars": window},
        "expected_shortfall": {"window_bars": window},
        "kyle_lambda": {"window_intervals": window},
    }
    for name in type(RiskPolicy().calculators).model_fields:
        windows.setdefault(name, {})["enabled"] = not only or name in only
    limits = {metric: {"limit": limit} for metric, limit in LIMITS.items()}
    return RiskPolicy.parse({"calculators": windows, "limits": {} if only else limits})


def account(window: int, symbols: int = 5, levels: int = 20) -> RiskInputs:
    """Everything about an account whose value is the close of BTC."""
    rng = np.random.default_rng(7)
    bars = load_sample("BTC")
    values = bars.close[FIRST_BAR : FIRST_BAR + window + 1].copy()
    timestamps = bars.timestamps_ns[FIRST_BAR : FIRST_BAR + window + 1] / 1e9
    price = float(values[-1])
    names = [f"S{number}" for number in range(symbols)]
    steps: FloatArray = 1e-4 * np.arange(1, levels + 1, dtype=np.float64)
    sizes = np.full(levels, 100.0)
    return RiskInputs(
        portfolio_values=values,
        timestamps=timestamps,
        start_of_day_value=float(values[-20]),
        trade_timestamps=timestamps[-20:],
        trade_notionals=rng.normal(0.0, 5e3, 20),
        capital_base=1e5,
        positions=tuple(Position(name, 3.0, price) for name in names),
        price_changes=rng.normal(size=window),
        order_flows=rng.normal(size=window),
        order_books={
            name: OrderBook(price * (1 - steps), sizes.copy(), price * (1 + steps), sizes.copy())
            for name in names
        },
        feed_timestamps=dict.fromkeys(names, float(timestamps[-1]) - 1.0),
        now=float(timestamps[-1]),
        order_latencies_us=rng.lognormal(5.0, 0.5, 5_000),
        average_daily_volumes=dict.fromkeys(names, 1e4),
        options=tuple(
            OptionPosition("S0", "put", 1.0, 1.0, price, price * (0.7 + 0.05 * number), 0.1, 0.8)
            for number in range(symbols)
        ),
        periods_per_year=PERIODS_PER_YEAR,
    )


def check_equal(agent: RiskAgentV2, inputs: RiskInputs, window: int) -> None:
    """Fails unless the baseline calculates what we do."""
    ours, theirs = agent.calculate_only(inputs).metric_values, numpy_metrics(inputs, window)
    for metric, value in ours.items():
        np.testing.assert_allclose(value, theirs[metric], rtol=1e-9, atol=1e-12, err_msg=metric)


def calculation_rows(window: int) -> list[Row]:
    """calculate_only over one window, beside NumPy."""
    inputs, agent = account(window), RiskAgentV2(policy_of(window))
    agent.warm_up()
    check_equal(agent, inputs, window)
    ours = f"calculate_only, {window} bars"
    large = account(window, symbols=10, levels=50)
    check_equal(agent, large, window)
    return [
        Row(ours, lambda: agent.calculate_only(inputs)),
        Row(f"{ours}, a large account", lambda: agent.calculate_only(large)),
        Row(
            f"plain NumPy, {window} bars",
            lambda: numpy_metrics(inputs, window),
            beside=ours,
            slowness=10,
        ),
    ]


def library_rows(window: int) -> list[Row]:
    """The five metrics that other libraries have, by each of them and by our calculators."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # quantstats' dependencies deprecate each other
        stats: Any = importlib.import_module("quantstats.stats")
    values = account(window).portfolio_values
    changes = values[1:] / values[:-1] - 1.0
    only = ("drawdown", "volatility", "var", "expected_shortfall")
    agent, inputs = (
        RiskAgentV2(policy_of(window, only)),
        RiskInputs(portfolio_values=values, periods_per_year=PERIODS_PER_YEAR),
    )
    series = pd.Series(changes, index=pd.date_range("2018-01-01", periods=window, freq="30min"))

    def by_empyrical() -> list[float]:
        return [
            empyrical.max_drawdown(changes),
            empyrical.annual_volatility(changes, annualization=PERIODS_PER_YEAR),
            empyrical.downside_risk(changes, annualization=PERIODS_PER_YEAR),
            empyrical.value_at_risk(changes, 0.05),
            empyrical.conditional_value_at_risk(changes, 0.05),
        ]

    def by_quantstats() -> list[float]:
        return [
            stats.max_drawdown(series),
            stats.volatility(series, periods=int(PERIODS_PER_YEAR)),
            stats.ulcer_index(series),
            stats.value_at_risk(series),
            stats.conditional_value_at_risk(series),
        ]

    ours = f"our same calculators, {window} bars"
    return [
        Row(ours, lambda: agent.calculate_only(inputs)),
        Row(f"empyrical, 5 metrics, {window} bars", by_empyrical, beside=ours, slowness=10),
        Row(f"quantstats, 5 metrics, {window} bars", by_quantstats, beside=ours, slowness=100),
    ]


def tracker_row(window: int) -> Row:
    """One more bar of an account about which everything is known."""
    inputs, tracker = account(window), RiskAgentV2(policy_of(window)).tracker()
    tracker.update(inputs)
    value, now = inputs.portfolio_values[-1:].copy(), inputs.timestamps[-1:].copy()
    steps = itertools.cycle(np.random.default_rng(1).normal(1.0, 0.004, 4_096))

    def update() -> None:
        nonlocal value, now
        value, now = value * next(steps), now + 1_800.0
        tracker.update(RiskInputs(portfolio_values=value, timestamps=now, now=float(now[0])))

    return Row(f"tracker update, a bar, {window} bars", update)


def batch_row(window: int) -> Row:
    """A step of all environments, reported for one of them."""
    batch = RiskAgentV2(policy_of(window)).batch(ENVIRONMENTS, ("BTC",), 1e5, PERIODS_PER_YEAR)
    rng = np.random.default_rng(1)
    bar = BatchBar.zeros(ENVIRONMENTS, 1)
    bar.portfolio_values[:] = bar.start_of_day_values[:] = 1e5
    bar.prices[:] = bar.average_daily_volumes[:] = 1e4
    bar.timestamps[:] = 1.5e9
    moves = rng.normal(1.0, 0.004, (1_024, ENVIRONMENTS))
    quantities = rng.normal(0.0, 3.0, (1_024, ENVIRONMENTS, 1))
    trades = rng.normal(0.0, 1e4, (1_024, ENVIRONMENTS, 1))
    step = 0

    def update() -> None:
        nonlocal step
        step = (step + 1) % 1_024
        np.multiply(bar.portfolio_values, moves[step], out=bar.portfolio_values)
        bar.trade_timestamps[:] = bar.timestamps
        np.add(bar.timestamps, 1_800.0, out=bar.timestamps)
        bar.trade_notionals[:], bar.quantities[:] = trades[step], quantities[step]
        batch.update(bar)

    for _ in range(window + 1):
        update()
    name = f"batch of {ENVIRONMENTS}, one step of one, {window} bars"
    return Row(name, update, calls=ENVIRONMENTS, slowness=10)


def run(quick: bool = False) -> list[Row]:
    """Measures everything.

    Args:
        quick: A tenth of the calls.
    """
    rows = [
        *calculation_rows(256),
        *calculation_rows(1_024),
        *library_rows(256),
        tracker_row(256),
        tracker_row(1_024),
        batch_row(256),
    ]
    count = 200 if quick else 2_000
    for row in rows:
        row.measure(100)
        row.latencies.clear()
    for _ in range(ROUNDS):
        for row in rows:
            row.measure(count)
    return rows


def show(rows: list[Row]) -> None:
    """Prints the table."""
    medians = {row.name: row.percentiles()[0] for row in rows}
    print(f"{'microseconds':42}{'p50':>10}{'p99':>10}{'p99.9':>10}  p50 beside")
    for row in rows:
        p50, p99, p999 = row.percentiles()
        ratio = f"{p50 / medians[row.beside]:.1f} × {row.beside}" if row.beside else ""
        print(f"{row.name:42}{p50:10.2f}{p99:10.2f}{p999:10.2f}  {ratio}")


def main() -> None:
    """Parses the command line, measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the calls")
    quick = parser.parse_args().quick
    versions = f"numba {numba.__version__}, NumPy {np.__version__}"
    print(f"{platform.machine()}, {os.cpu_count()} cores, {versions}")
    show(run(quick))


if __name__ == "__main__":
    main()
