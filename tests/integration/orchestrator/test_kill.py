"""kill -9 of the orchestrator and of each service mid-replay: no order lost, none sent twice."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from orchestrator.decision_log import DecisionLog
from tests.integration.orchestrator.conftest import Desk

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]


def start(desk: Desk, folder: Path, **overrides: float) -> subprocess.Popen[bytes]:
    config = desk.config(folder=folder, log__folder=folder / "log", **overrides)
    command = [sys.executable, "-m", "orchestrator", "--config", str(config)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)


def wait_for_lines(journal: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60.0
    while not journal.exists() or journal.read_bytes().count(b"\n") < count:
        assert process.poll() is None, "the orchestrator ended too early"
        assert time.monotonic() < deadline, "the replay does not go on"
        time.sleep(0.002)


def check_books(log: DecisionLog) -> None:
    """Cash is what the fills in the log say, and no order was filled beyond its quantity."""
    fills, orders = log.flat("fills").to_pylist(), log.flat("orders").to_pylist()
    assert [fill["fill_sequence"] for fill in fills] == list(range(1, len(fills) + 1))
    ids = [order["client_order_id"] for order in orders if order["sent"]]
    assert len(set(ids)) == len(ids)
    filled: dict[str, float] = {}
    for fill in fills:
        name = fill["client_order_id"]
        filled[name] = filled.get(name, 0.0) + fill["quantity"]
    wanted = {order["client_order_id"]: order["quantity"] for order in orders if order["sent"]}
    assert set(filled) <= set(wanted)
    for name, quantity in filled.items():
        assert abs(quantity) <= abs(wanted[name]) * (1.0 + 1e-12)
    spent = sum(fill["quantity"] * fill["price"] + fill["fee"] for fill in fills)
    last = log.ticks.slice(len(log.ticks) - 1).to_pylist()[0]
    assert 60_000.0 - spent == pytest.approx(last["cash"], abs=0.005)


def test_replay_with_the_orchestrator_killed_thrice_gives_the_books_of_one_run(
    desk: Desk, tmp_path: Path
) -> None:
    whole = start(desk, tmp_path / "whole")
    assert whole.wait(120) == 0
    for lines in (40, 120, 250):
        killed = start(desk, tmp_path / "killed")
        wait_for_lines(tmp_path / "killed" / "default.journal", lines, killed)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
    assert start(desk, tmp_path / "killed").wait(120) == 0
    one, other = (DecisionLog(tmp_path / name / "log") for name in ("whole", "killed"))
    check_books(other)
    for column in ("sequence", "equity", "cash", "fees_paid"):
        assert np.array_equal(one.ticks[column].to_numpy(), other.ticks[column].to_numpy())
    assert one.flat("fills").equals(other.flat("fills"))


@pytest.mark.parametrize("service", ["inference", "risk"])
def test_replay_with_a_service_killed_ends_with_books_that_agree(
    desk: Desk, tmp_path: Path, service: str
) -> None:
    process = start(desk, tmp_path / "state", safety__budget_ms=20.0, feed__held_out_fraction=0.005)
    wait_for_lines(tmp_path / "state" / "default.journal", 60, process)
    getattr(desk, service).popen.kill()
    assert process.wait(200) == 0
    log = DecisionLog(tmp_path / "state" / "log")
    check_books(log)
    reasons = {reason for item in log.ticks["reasons"].to_pylist() for reason in item}
    assert reasons & {f"{service.upper()}_UNAVAILABLE", "DEADLINE"}
