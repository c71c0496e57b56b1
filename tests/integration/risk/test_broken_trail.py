"""A trail that was forged, cut off or damaged: no service starts on it, and it says where."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, make_url, text

from risk_service.audit.chain import Head, extend_chain
from risk_service.audit.database import Database
from risk_service.audit.decision import Copies
from risk_service.audit.rows import StoredRow, read_all
from risk_service.audit.trail import AuditTrail
from risk_service.verify import main as verify
from tradewind.api.risk.v1 import risk_pb2
from tradewind.errors import StorageError

UNLOCK = {
    "sqlite": ("DROP TRIGGER decisions_no_update", "DROP TRIGGER decisions_no_delete"),
    "postgresql": ("DROP TRIGGER decisions_append_only ON decisions",),
}
HALTED, LAST = 2, 6  # decision 2 halts the account "desk", and is the last on it

Rows = list[StoredRow]


def execute(url: str, *statements: str, **values: Any) -> None:
    """Runs statements as someone who has the database, but not the service, would."""
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    with create_engine(parsed, poolclass=NullPool).begin() as connection:
        for statement in (*UNLOCK[backend], *statements):
            connection.execute(text(statement), values)


def rows_of(url: str) -> Rows:
    database = Database(url)
    with database.snapshot() as connection:
        found = list(read_all(connection))
    database.close()
    return found


def put(url: str, rows: Rows, keep_head: bool = False) -> None:
    """Replaces the whole trail."""
    execute(url, "DELETE FROM decisions")
    columns = ", ".join(f":{name}" for name in StoredRow._fields)
    for row in rows:
        execute_insert(url, columns, row)
    if not keep_head:
        end = rows[-1]
        execute_head(url, Head(end.sequence, end.row_hash))


def execute_insert(url: str, columns: str, row: StoredRow) -> None:
    _run(url, f"INSERT INTO decisions VALUES ({columns})", row._asdict())


def execute_head(url: str, head: Head) -> None:
    _run(
        url,
        "UPDATE audit_head SET sequence = :sequence, row_hash = :row_hash",
        {"sequence": head.sequence, "row_hash": head.row_hash},
    )


def _run(url: str, statement: str, values: dict[str, Any]) -> None:
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    with create_engine(parsed, poolclass=NullPool).begin() as connection:
        connection.execute(text(statement), values)


def without_halt(payload: str) -> str:
    values = json.loads(payload)
    values["halt"] = None
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def rebuilt(rows: Rows, payloads: list[str], before: int) -> Rows:
    """The rows up to number `before`, then the payloads with a chain that is right."""
    links = extend_chain(rows[before - 1].link.head, payloads)
    return [*rows[:before], *(StoredRow.of(link) for link in links)]


def null_the_halt(url: str, rows: Rows) -> None:
    payload = without_halt(rows[HALTED - 1].payload)
    _unlocked(url, "UPDATE decisions SET payload = :p WHERE sequence = :s", p=payload, s=HALTED)


def null_the_halt_and_mend_its_hash(url: str, rows: Rows) -> None:
    payload = without_halt(rows[HALTED - 1].payload)
    forged = StoredRow.of(extend_chain(rows[HALTED - 2].link.head, [payload])[0])
    put(url, [*rows[: HALTED - 1], forged, *rows[HALTED:]])


def rename_the_account(url: str, _rows: Rows) -> None:
    _unlocked(url, "UPDATE decisions SET account = 'other' WHERE sequence = :s", s=HALTED)


def delete_it(url: str, _rows: Rows) -> None:
    _unlocked(url, "DELETE FROM decisions WHERE sequence = :s", s=HALTED)


def delete_it_and_number_the_rest_anew(url: str, rows: Rows) -> None:
    rest = [row._replace(sequence=row.sequence - 1) for row in rows[HALTED:]]
    put(url, [*rows[: HALTED - 1], *rest])


def swap_two(url: str, rows: Rows) -> None:
    one, two = rows[HALTED - 1], rows[HALTED]
    moved = [two._replace(sequence=one.sequence), one._replace(sequence=two.sequence)]
    put(url, [*rows[: HALTED - 1], *moved, *rows[HALTED + 1 :]])


def cut_off_the_end(url: str, rows: Rows) -> None:
    put(url, rows[:1], keep_head=True)


def cut_off_the_end_and_its_record(url: str, rows: Rows) -> None:
    put(url, rows[:1])


def empty_it(url: str, _rows: Rows) -> None:
    _unlocked(url, "DELETE FROM decisions")
    execute_head(url, Head(0, "0" * 64))


def append_a_resume(url: str, rows: Rows) -> None:
    values = json.loads(rows[0].payload)
    resume = {**values, "account": "desk", "kind": "resume", "decision_id": "forged"}
    payload = json.dumps(resume, sort_keys=True, separators=(",", ":"))
    put(url, rebuilt(rows, [payload], LAST))


def rebuild_everything_without_the_halt(url: str, rows: Rows) -> None:
    payloads = [without_halt(row.payload) for row in rows[HALTED - 1 :]]
    put(url, rebuilt(rows, payloads, HALTED - 1))


def copy_an_old_row_to_the_end(url: str, rows: Rows) -> None:
    copy = rows[0]._replace(sequence=LAST + 1, decision_id="copy")
    put(url, [*rows, copy], keep_head=True)


def no_decision_at_the_end(url: str, rows: Rows) -> None:
    link = extend_chain(rows[-1].link.head, ['{"account": "desk"}'])[0]
    forged = StoredRow.of(link, Copies("x", "desk", "resume", "ALLOW", 1.0, False))
    put(url, [*rows, forged])


def lose_the_record_of_the_end(url: str, _rows: Rows) -> None:
    _unlocked(url, "DELETE FROM audit_head")


def _unlocked(url: str, statement: str, **values: Any) -> None:
    execute(url)
    _run(url, statement, values)


FORGERIES: dict[str, tuple[Callable[[str, Rows], None], str]] = {
    "halt nulled": (null_the_halt, "decision 2 was changed"),
    "halt nulled, hash mended": (null_the_halt_and_mend_its_hash, "decision 3 does not follow"),
    "account renamed": (rename_the_account, "decision 2 was changed in account"),
    "deleted": (delete_it, "decisions 2 to 2 are missing"),
    "deleted, the rest renumbered": (delete_it_and_number_the_rest_anew, "decision"),
    "out of order": (swap_two, "decision 2 does not follow decision 1"),
    "cut off": (cut_off_the_end, "decisions 2 to 6 are missing|decision 6, which was there before"),
    "cut off with its record": (cut_off_the_end_and_its_record, "ends at decision 1"),
    "emptied": (empty_it, "ends at decision 0"),
    "a Resume appended": (append_a_resume, "ends at decision 7.*anchor at decision 6"),
    "all rebuilt": (rebuild_everything_without_the_halt, "ends at decision 6"),
    "a row copied to the end": (copy_an_old_row_to_the_end, "decision 7"),
    "no decision": (no_decision_at_the_end, "ends at decision 7"),
    "record of the end lost": (lose_the_record_of_the_end, "lost the record"),
}


SEEN_AT_THE_HALT = (
    null_the_halt,
    null_the_halt_and_mend_its_hash,
    rename_the_account,
    delete_it,
    swap_two,
)


def decide(service: Any, calm: risk_pb2.RiskInputs, crashed: risk_pb2.RiskInputs) -> None:
    service.evaluate(calm, account="first")
    service.evaluate(crashed, account="desk")
    for _ in range(LAST - HALTED):
        service.evaluate(calm, account="first")


@pytest.mark.parametrize(("forge", "problem"), FORGERIES.values(), ids=FORGERIES)
def test_trail_that_was_forged_is_refused_when_it_is_opened(
    serve: Callable[..., Any],
    database: str,
    calm: risk_pb2.RiskInputs,
    crashed: risk_pb2.RiskInputs,
    tmp_path: Path,
    forge: Callable[[str, Rows], None],
    problem: str,
) -> None:
    journal = tmp_path / "journal"
    service = serve(database=database, journal=journal)
    decide(service, calm, crashed)
    service.stop()
    forge(database, rows_of(database))
    for whole_rows in (1_000, 0):  # checked as a whole; only from the anchor
        with pytest.raises(StorageError, match=problem):
            AuditTrail(Database(database), journal, whole_rows=whole_rows).close()
        if forge in SEEN_AT_THE_HALT:
            problem = "decision 2, the last on account desk, (was changed|is missing)"


def test_process_on_a_broken_trail_exits_with_the_decision_and_the_cure(
    start_risk: Callable[..., Any],
    calm: risk_pb2.RiskInputs,
    crashed: risk_pb2.RiskInputs,
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/audit.sqlite"
    service = start_risk()
    decide(service, calm, crashed)
    assert service.stop() == 0
    null_the_halt(url, rows_of(url))
    assert verify(["--database", url]) == 1
    with pytest.raises(Exception, match=r"decision 2 was changed.*risk_service\.verify"):
        start_risk()


def test_process_killed_with_its_trail_forged_before_the_anchor_moved_is_refused(
    start_risk: Callable[..., Any],
    database: str,
    calm: risk_pb2.RiskInputs,
    crashed: risk_pb2.RiskInputs,
) -> None:
    service = start_risk(database=database)
    decide(service, calm, crashed)
    service.all_decisions()  # waits until the database has them
    os.kill(service.process.popen.pid, signal.SIGKILL)
    service.process.popen.wait()
    rows = rows_of(database)
    append_a_resume(database, rows)
    with pytest.raises(Exception, match="ends at decision 7, the journal and its anchor at.* 6"):
        start_risk(database=database)
    put(database, rows)
    assert start_risk(database=database).evaluate(calm, account="desk").action == (
        risk_pb2.ACTION_HALT
    )


def test_trail_without_its_anchor_is_checked_as_a_whole(
    serve: Callable[..., Any],
    calm: risk_pb2.RiskInputs,
    crashed: risk_pb2.RiskInputs,
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/audit.sqlite"
    service = serve()
    decide(service, calm, crashed)
    service.stop()
    anchor = tmp_path / "audit.sqlite.journal.anchor"
    assert anchor.stat().st_mode & 0o077 == 0
    anchor.unlink()
    rows = rows_of(url)
    null_the_halt_and_mend_its_hash(url, rows)
    with pytest.raises(StorageError, match="decision 3 does not follow"):
        AuditTrail(Database(url), anchor.with_suffix(""), whole_rows=0)
    put(url, rows)
    service = serve()
    assert service.evaluate(calm, account="desk").action == risk_pb2.ACTION_HALT


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other database"])
def test_anchor_that_is_damaged_is_refused_with_the_cure(
    serve: Callable[..., Any], calm: risk_pb2.RiskInputs, tmp_path: Path, damage: str
) -> None:
    service = serve()
    service.evaluate(calm)
    service.stop()
    anchor = tmp_path / "audit.sqlite.journal.anchor"
    data = anchor.read_bytes()
    identity = json.loads(data)["content"]["database_id"].encode()
    anchor.write_bytes(
        {
            "flip": data.replace(b'"places": {}', b'"places": {"a": [1, "x"]}'),
            "cut": data[:-9],
            "empty": b"",
            "other database": data.replace(identity, b"0" * len(identity)),
        }[damage]
    )
    with pytest.raises(StorageError, match="is damaged.*move it away"):
        serve()


def test_journal_line_damaged_after_it_was_answered_stops_the_start(
    start_risk: Callable[..., Any], calm: risk_pb2.RiskInputs, tmp_path: Path
) -> None:
    service = start_risk()
    service.evaluate(calm)
    os.kill(service.process.popen.pid, signal.SIGKILL)
    service.process.popen.wait()
    journal = tmp_path / "audit.journal"
    whole = journal.read_bytes()
    at = whole.index(b"\n") + 150
    journal.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(Exception, match="is damaged at line 2.*answered"):
        start_risk()
    journal.write_bytes(whole)
    assert len(start_risk().all_decisions()) == 1
