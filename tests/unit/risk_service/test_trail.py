import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from risk_service.audit.database import Database
from risk_service.audit.decision import JournaledDecision
from risk_service.audit.trail import AuditTrail
from tradewind.errors import StorageError
from tradewind.risk.decision import DecisionKind
from tradewind.risk.rules import Action


def decision(number: int) -> JournaledDecision:
    return JournaledDecision(
        decision_id=f"decision-{number}",
        decided_at=1_700_000_000.0 + number,
        account="default",
        kind=DecisionKind.EVALUATE,
        action=Action.ALLOW,
        policy_digest="0" * 64,
    )


def watch_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is synced and cut back from now on, by this process' own calls."""
    events: list[str] = []
    for name in ("fsync", "ftruncate"):
        real = getattr(os, name)

        def call(descriptor: int, *size: int, name: str = name, real: object = real) -> None:
            file = Path(f"/proc/self/fd/{descriptor}").readlink()
            events.append(f"{name} {file.name}")
            real(descriptor, *size)  # type: ignore[operator]

        monkeypatch.setattr(os, name, call)
    return events


def append(trail: AuditTrail, *numbers: int) -> None:
    for number in numbers:
        trail.wait(trail.submit(decision(number)))


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, Path]:
    return f"sqlite:///{tmp_path}/audit.sqlite", tmp_path / "audit.journal"


def test_close_with_rows_in_the_database_has_them_on_the_disk_before_the_journal_lets_go(
    files: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    trail = AuditTrail(Database(files[0]), files[1])
    append(trail, 1, 2, 3)
    events = watch_files(monkeypatch)
    trail.close()
    synced, cut = events.index("fsync audit.sqlite-wal"), events.index("ftruncate audit.journal")
    assert synced < cut


def test_start_with_rows_in_the_journal_has_them_on_the_disk_before_it_begins_anew(
    files: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    trail = AuditTrail(Database(files[0]), files[1])
    append(trail, 1, 2, 3)
    left = files[1].read_bytes()
    trail.close()
    files[1].write_bytes(left)  # as a crash leaves it
    monkeypatch.setattr("risk_service.audit.mover.Mover.start", lambda _: None)
    events = watch_files(monkeypatch)
    AuditTrail(Database(files[0]), files[1])
    begun = [at for at, event in enumerate(events) if event == "ftruncate audit.journal"][-1]
    assert "fsync audit.sqlite-wal" in events[:begun]


def test_rows_of_a_journal_over_its_size_are_on_the_disk_before_it_is_cut_back(
    files: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    trail = AuditTrail(Database(files[0]), files[1], journal_bytes=1)
    events = watch_files(monkeypatch)
    append(trail, 1)
    cuts: list[int] = []
    deadline = time.monotonic() + 60.0
    # The first may have been under way when it was watched from.
    while len(cuts) < 2 and time.monotonic() < deadline:
        trail.page("", None, 1)  # has the mover come round
        cuts = [at for at, event in enumerate(events) if event == "ftruncate audit.journal"]
    trail.close()
    assert "fsync audit.sqlite-wal" in events[cuts[0] : cuts[1]]


def test_halt_that_is_waited_for_in_the_database_is_on_its_disk(
    files: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    trail = AuditTrail(Database(files[0]), files[1])
    events = watch_files(monkeypatch)
    trail.wait(trail.submit(decision(1)), in_database=True)
    assert "fsync audit.sqlite-wal" in events
    trail.close()


def test_sync_of_the_database_leaves_it_closed_to_who_would_take_its_log_away(
    files: tuple[str, Path],
) -> None:
    trail = AuditTrail(Database(files[0]), files[1])
    trail.wait(trail.submit(decision(1)), in_database=True)
    program = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute(sys.argv[2])"
    file = files[0].removeprefix("sqlite:///")
    other = subprocess.run(
        [sys.executable, "-c", program, file, "PRAGMA journal_mode = DELETE"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert "database is locked" in other.stderr
    trail.close()


@pytest.mark.slow
def test_trail_killed_before_any_of_its_steps_opens_again_with_all_that_was_answered(
    tmp_path: Path,
) -> None:
    program = [sys.executable, "-m", "tests.unit.risk_service.killed_trail", str(tmp_path)]
    ended = subprocess.run(program, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert int(ended.stdout.split()[0]) > 20


def test_trail_of_an_earlier_release_that_ran_in_between_is_taken_up(
    files: tuple[str, Path],
) -> None:
    anchor = files[1].with_name("audit.journal.anchor")
    trail = AuditTrail(Database(files[0]), files[1])
    append(trail, 1)
    trail.close()
    stale = anchor.read_bytes()
    trail = AuditTrail(Database(files[0]), files[1])
    append(trail, 2)
    trail.close()
    anchor.write_bytes(stale)
    with pytest.raises(StorageError, match="ends at decision 2, the journal and its anchor at"):
        AuditTrail(Database(files[0]), files[1])
    files[1].write_bytes(files[1].read_bytes().replace(b"journal 3 of", b"journal 2 of"))
    AuditTrail(Database(files[0]), files[1]).close()
