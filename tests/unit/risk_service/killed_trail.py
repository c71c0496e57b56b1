"""Kills a trail before each of its steps in turn, and opens what is left. Prints what went wrong.

A program of its own, because it forks: `python -m tests.unit.risk_service.killed_trail FOLDER`.
"""

import os
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from risk_service.audit.database import Database
from risk_service.audit.decision import JournaledDecision
from risk_service.audit.trail import AuditTrail
from risk_service.verify import find_faults
from tradewind.risk.decision import DecisionKind, Halt
from tradewind.risk.rules import Action

STEPS = ("fsync", "fdatasync", "ftruncate", "pwrite", "open", "close")
KILLED = 9


def decide(trail: AuditTrail, name: str, account: str, halt: Halt | None, answered: int) -> None:
    """Makes a decision, and writes down that it was answered."""
    entry = trail.submit(
        JournaledDecision(name, 1.0, account, DecisionKind.EVALUATE, Action.ALLOW, halt=halt)
    )
    trail.wait(entry, in_database=halt is not None)
    os.write(answered, f"{name}\n".encode())


def work(folder: Path, run: int, answered: int) -> None:
    """Opens the trail, decides, lets the journal go, decides and closes; killed under way."""
    kill_before(run)
    halt = Halt(Action.HALT, 1.0, "rule", "reason", f"{run}-halt")
    trail = AuditTrail(
        Database(f"sqlite:///{folder}/audit.sqlite"), folder / "journal", journal_bytes=1
    )
    decide(trail, f"{run}-first", "calm", None, answered)
    decide(trail, f"{run}-halt", f"halted-{run}", halt, answered)
    trail.page("", None, 1)
    decide(trail, f"{run}-last", "calm", None, answered)
    trail.close()


def kill_before(number: int) -> None:
    """Has the process end before its step of that number."""
    steps = 0

    def wrap(name: str) -> None:
        real = getattr(os, name)

        def step(*arguments: object, **options: object) -> object:
            nonlocal steps
            steps += 1
            if steps == number:
                os._exit(KILLED)
            return real(*arguments, **options)

        setattr(os, name, step)

    for name in STEPS:
        wrap(name)


def child(act: Callable[[], object]) -> int:
    """Runs something in a process of its own; gives its exit code."""
    pid = os.fork()
    if pid == 0:
        try:
            act()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def check(folder: Path) -> None:
    """What was answered is there, what was halted is halted, and the chain is whole."""
    answered = (folder / "answered").read_text().split()
    database = Database(f"sqlite:///{folder}/audit.sqlite")
    trail = AuditTrail(database, folder / "journal")
    rows = trail.page("", None, 10_000)
    recorded = {JournaledDecision.from_json(row.payload).decision_id for row in rows}
    assert recorded >= set(answered), set(answered) - recorded
    halted = {f"halted-{name.partition('-')[0]}" for name in answered if name.endswith("halt")}
    assert trail.restored.keys() >= halted
    trail.close()
    with database.snapshot() as connection:
        assert list(find_faults(connection)) == []
    database.close()


def main() -> int:
    """Runs the trail with a kill before step 1, 2, 3 and so on, until none is reached."""
    folder = Path(sys.argv[1])
    answered = os.open(folder / "answered", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number in range(1, 1_000):
        ended = child(partial(work, folder, number, answered))
        if ended not in (0, KILLED) or child(lambda: check(folder)) != 0:
            sys.stdout.write(f"killed before step {number}: exit code {ended}\n")
            return 1
        if ended == 0:
            sys.stdout.write(f"{number - 1} steps\n")
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
