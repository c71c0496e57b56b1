"""Ten million bars in CSV: time and memory beside polars; and features, a bar and a core.

    python -m tests.bench.bench_reading [--rows N] [--polars PYTHON]

Each reader runs in a process of its own, in turns; what is compared is the best of the rounds, as
neighbours only ever add. polars is no dependency: where this Python has none, `--polars` names one
that has (`python -m venv polars && polars/bin/pip install polars`). Memory is what the process grew
by at its peak, beside the size of the six columns. Features are those of the default observation;
their time a bar must not depend on how many there are.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from tradewind.market import Bars
from tradewind.market.pipeline import FeaturePipeline

ROUNDS = 5
MEASURE = """
import json, sys, time
from pathlib import Path
{prepare}
def peak():  # not ru_maxrss, which a process inherits
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
read(sys.argv[1])
before = peak()
start, used = time.perf_counter(), time.process_time()
kept = read(sys.argv[2])
wall, cpu = time.perf_counter() - start, time.process_time() - used
grown = (peak() - before) * 1024
print(json.dumps([wall, cpu, grown]))
"""
READERS = {
    "load_bars": "from tradewind.market import load_bars as read",
    "polars": "from polars import read_csv as read",
    "pyarrow": "from pyarrow.csv import read_csv as read",
}


def write_bars(path: Path, count: int) -> None:
    """Minutes of a random walk, times in ms since the epoch, prices to two decimals."""
    draw = np.random.default_rng(1)
    close = np.round(4000.0 * np.exp(np.cumsum(draw.normal(0.0, 1e-4, count))), 2)
    opened = np.concatenate(([4000.0], close[:-1]))
    columns = {
        "timestamp": 1_500_000_000_000 + np.arange(count) * 60_000,
        "open": opened,
        "high": np.round(np.maximum(opened, close) + draw.random(count), 2),
        "low": np.round(np.minimum(opened, close) - draw.random(count), 2),
        "close": close,
        "volume": np.round(draw.random(count) * 1000, 2),
    }
    pyarrow.csv.write_csv(pa.table(columns), path)


def measure_readers(rows: int, polars: str) -> None:
    """Prints the best round of each reader."""
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder, "large.csv"), Path(folder, "small.csv")
        write_bars(large, rows)
        write_bars(small, 400_000)  # enough for the kernels of large files to be loaded
        found: dict[str, list[list[float]]] = {name: [] for name in READERS}
        for _ in range(ROUNDS):
            for name, prepare in READERS.items():
                command = [polars if name == "polars" else sys.executable, "-c"]
                command += [MEASURE.format(prepare=prepare), str(small), str(large)]
                run = subprocess.run(command, capture_output=True, text=True, check=False)
                if run.returncode:
                    print(f"{name}: not measured: {run.stderr.strip().splitlines()[-1]}")
                    continue
                found[name].append(json.loads(run.stdout))
        megabytes = large.stat().st_size / 1e6
    arrays = rows * 48
    print(f"{rows:,} rows, {megabytes:,.0f} MB of CSV; six columns are {arrays / 1e6:,.0f} MB")
    best = {
        name: [min(column) for column in zip(*some, strict=True)] for name, some in found.items()
    }
    for name, figures in best.items():
        if figures:
            wall, cpu, grown = figures
            print(
                f"{name:10} {wall:6.2f} s  {cpu:6.2f} s of processor  "
                f"{grown / arrays:5.2f} times the columns at its peak"
            )
    if best["polars"]:
        print(f"load_bars / polars: {best['load_bars'][0] / best['polars'][0]:.2f} (goal: 1.3)")


def measure_features() -> None:
    """Prints the time a bar for series of growing length."""
    pipeline = FeaturePipeline()
    draw = np.random.default_rng(1)
    for count in (10_000, 100_000, 1_000_000):
        close = 4000.0 * np.exp(np.cumsum(draw.normal(0.0, 1e-3, count)))
        bars = Bars(
            "X",
            np.arange(count) * 1_800_000_000_000,
            close,
            close * 1.001,
            close * 0.999,
            close,
            draw.random(count),
        )
        pipeline.transform(bars)
        times = []
        for _ in range(ROUNDS):
            start = time.thread_time()
            pipeline.transform(bars)
            times.append(time.thread_time() - start)
        print(f"features of {count:9,} bars: {min(times) / count * 1e6:.2f} µs a bar (goal: 1)")


def main() -> None:
    """Measures what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_reading")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--polars", metavar="PYTHON", default=sys.executable)
    given = parser.parse_args()
    measure_features()
    measure_readers(given.rows, given.polars)


if __name__ == "__main__":
    main()
