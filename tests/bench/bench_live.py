"""What the live view costs the trading while programs ask it without pause.

    python -m tests.bench.bench_live

An orchestrator with a live view replays bars through the real services, all of it processes on
loopback. Windows in which 16 clients ask `/state` as often as they are answered take turns with
windows in which nobody does, and ticks are counted in the journal: the figure is the ratio of each
pair of neighbours, at full speed and at a pace that leaves the cores idle most of the time.
"""

import http.client
import multiprocessing
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tests.bench.bench_orchestrator import SYMBOLS, TERMS, services, write_risk_policy

CLIENTS = 16
PAIRS = 6
WINDOW_S = 8.0
PACED_TICKS_PER_SECOND = 20.0
BAR_S = 1_800.0


def ask_without_pause(address: str, asking: Event, ending: Event, answers: Any) -> None:
    """Runs the clients, each on a connection of its own, while `asking` is set."""

    def ask() -> None:
        connection = http.client.HTTPConnection(address, timeout=30.0)
        while not ending.is_set():
            if not asking.wait(0.05):
                continue
            try:
                connection.request("GET", "/state")
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()  # to be sent away costs the client, and it comes again
                continue
            with answers.get_lock():
                answers.value += 1

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextmanager
def orchestrator(folder: Path, addresses: dict[str, str], **feed: Any) -> Iterator[str]:
    """Starts one that trades with a live view; gives the view's address."""
    folder.mkdir(parents=True)
    values = {
        "folder": str(folder),
        "services": addresses,
        "allocations": [
            {"symbol": symbol, "policy": "bench", "cash": TERMS.initial_cash} for symbol in SYMBOLS
        ],
        "feed": {"kind": "sample", "held_out_fraction": 0.95, **feed},
        "guard": {"max_lateness_s": 1e9},
        "safety": {"budget_ms": 10_000.0},
        "log": {"folder": str(folder / "log")},
        "live": {"listen": "127.0.0.1:0"},
    }
    config = folder / "orchestrator.yaml"
    config.write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "orchestrator", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield re.findall(r"live view on http://(\S+)/", process.stdout.readline())[0]
            assert process.poll() is None, "the bars have ended before the measurement"
        finally:
            process.terminate()


def count_ticks(journal: Path, seconds: float) -> float:
    """Ticks a second over some seconds."""
    before, started = journal.read_bytes().count(b"\n"), time.perf_counter()
    time.sleep(seconds)
    return (journal.read_bytes().count(b"\n") - before) / (time.perf_counter() - started)


def measure(folder: Path, addresses: dict[str, str], name: str, **feed: Any) -> None:
    """Prints the ratios of one pace."""
    context = multiprocessing.get_context("spawn")
    asking, ending, answers = context.Event(), context.Event(), context.Value("q", 0)
    rates: dict[bool, list[float]] = {False: [], True: []}
    with orchestrator(folder, addresses, **feed) as view:
        clients = context.Process(target=ask_without_pause, args=(view, asking, ending, answers))
        clients.start()
        journal = folder / "default.journal"
        while not journal.exists() or journal.read_bytes().count(b"\n") < 200:
            time.sleep(0.1)
        for number in range(PAIRS):
            for busy in (True, False) if number % 2 else (False, True):
                asking.set() if busy else asking.clear()
                time.sleep(0.5)
                rates[busy].append(count_ticks(journal, WINDOW_S))
        asking.set()
        ending.set()
        clients.join()
    show(name, rates[False], rates[True], answers.value / (PAIRS * (WINDOW_S + 0.5)))


def show(name: str, alone: Sequence[float], asked: Sequence[float], answered: float) -> None:
    """Prints one pace."""
    ratios = np.array(asked) / np.array(alone)
    each = ", ".join(f"{ratio:.3f}" for ratio in ratios)
    print(
        f"{name}: {np.median(alone):,.1f} ticks/s alone, {np.median(asked):,.1f} with {CLIENTS} "
        f"clients ({answered:.0f} answers/s): median ratio {np.median(ratios):.3f} of {each}"
    )


def main() -> None:
    """Starts the services and measures."""
    print(f"{platform.machine()}, {os.cpu_count()} cores")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        publish = [sys.executable, "-m", "tests.bench.untrained_policy", str(folder / "store")]
        subprocess.run(publish, check=True)
        write_risk_policy(folder / "risk.yaml")
        addresses = stack.enter_context(services(folder, pinned=False))
        speed = PACED_TICKS_PER_SECOND * BAR_S
        measure(folder / "paced", addresses, f"{PACED_TICKS_PER_SECOND:g} ticks/s", speed=speed)
        measure(folder / "full", addresses, "full speed")


if __name__ == "__main__":
    main()
