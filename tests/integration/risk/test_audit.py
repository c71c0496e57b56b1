"""The audit trail on both kinds of database: what survives, and what tampering is found."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import NullPool, create_engine, make_url, text

from risk_service.audit.chain import AuditRow, extend_chain
from risk_service.audit.database import Database
from risk_service.audit.decision import JournaledDecision
from risk_service.audit.schema import METADATA
from risk_service.audit.trail import AuditTrail
from risk_service.verify import main as verify
from tradewind.errors import StorageError
from tradewind.risk.decision import DecisionKind
from tradewind.risk.rules import Action

UNLOCK = {
    "sqlite": "DROP TRIGGER decisions_no_update; DROP TRIGGER decisions_no_delete",
    "postgresql": "DROP TRIGGER decisions_append_only ON decisions",
}


def decision(number: int, account: str = "desk") -> JournaledDecision:
    return JournaledDecision(
        decision_id=f"id-{number}",
        decided_at=float(number),
        account=account,
        kind=DecisionKind.EVALUATE,
        action=Action.ALLOW,
        metric_values={"max_drawdown": number / 1000},
    )


def record(trail: AuditTrail, numbers: range, **fields: Any) -> list[AuditRow]:
    entries = [trail.submit(decision(number, **fields)) for number in numbers]
    return [trail.wait(entry) for entry in entries]


@contextlib.contextmanager
def opened(url: str, tmp_path: Path, **options: Any) -> Iterator[AuditTrail]:
    with contextlib.closing(AuditTrail(Database(url), tmp_path / "journal", **options)) as trail:
        yield trail


def execute(url: str, statements: str) -> None:
    """Runs statements as someone who has the database, but not the service, would."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    with create_engine(parsed, poolclass=NullPool).begin() as connection:
        for statement in statements.split(";"):
            connection.execute(text(statement))


def unlock(url: str) -> None:
    execute(url, UNLOCK[make_url(url).get_backend_name()])


def test_trail_with_decisions_reads_them_back_page_by_page(database: str, tmp_path: Path) -> None:
    with opened(database, tmp_path) as trail:
        rows = record(trail, range(1, 8)) + record(trail, range(8, 10), account="other")
        newest_first = rows[::-1]
        assert trail.page("", None, 4) == newest_first[:4]
        assert trail.page("", newest_first[3].sequence, 100) == newest_first[4:]
        assert trail.page("other", None, 100) == newest_first[:2]
        assert trail.page("nobody", None, 100) == []
    with opened(database, tmp_path) as trail:
        assert trail.restored == {}  # none has left its account with a halt or a mark
        (following,) = record(trail, range(10, 11))
        assert following.follows(rows[-1].head)


def test_verify_with_an_untouched_trail_passes_and_prints_an_anchor_that_it_holds(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(database, tmp_path) as trail:
        record(trail, range(1, 6))
        trail.page("", None, 1)  # waits until the database has them
        assert verify(["--database", database]) == 0  # while the service runs
    anchor = capsys.readouterr().out.split()[-1]
    assert anchor.startswith("5:")
    with opened(database, tmp_path) as trail:
        record(trail, range(6, 9))
    assert verify(["--database", database, "--anchor", anchor]) == 0


@pytest.mark.parametrize(
    ("tampering", "finding"),
    [
        ("DELETE FROM decisions WHERE sequence = 3", "decisions 3 to 3 are missing"),
        ("DELETE FROM decisions WHERE sequence < 3", "decisions 1 to 2 are missing"),
        ("DELETE FROM decisions WHERE sequence > 4", "decisions 5 to 6 are missing from the end"),
        ("DELETE FROM decisions", "decisions 1 to 6 are missing from the end"),
        (
            "UPDATE decisions SET payload = replace(payload, 'ALLOW', 'WARN') WHERE sequence = 2",
            "decision 2 was changed",
        ),
        (
            "UPDATE decisions SET action = 'HALT' WHERE sequence = 2",
            "decision 2 was changed in action",
        ),
        (
            "UPDATE decisions SET decided_at = 0 WHERE sequence = 6",
            "decision 6 was changed in decided_at",
        ),
        (
            "UPDATE decisions SET sequence = 99 WHERE sequence = 2;"
            "UPDATE decisions SET sequence = 2 WHERE sequence = 3;"
            "UPDATE decisions SET sequence = 3 WHERE sequence = 99",
            "decision 2 was changed",
        ),
        (
            "INSERT INTO decisions SELECT 7, 'new', account, kind, action, decided_at, payload, "
            "previous_hash, row_hash FROM decisions WHERE sequence = 6",
            "decision 7 does not follow decision 6",
        ),
        ("UPDATE audit_head SET sequence = 5", "does not end at decision 5 as recorded"),
    ],
)
def test_verify_with_a_tampered_trail_names_the_decision(
    database: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tampering: str,
    finding: str,
) -> None:
    with opened(database, tmp_path) as trail:
        record(trail, range(1, 7))
    unlock(database)
    execute(database, tampering)
    assert verify(["--database", database]) == 1
    assert finding in capsys.readouterr().out


def test_verify_with_a_rebuilt_chain_finds_it_by_an_anchor_only(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(database, tmp_path) as trail:
        rows = record(trail, range(1, 4))
    unlock(database)
    forged = extend_chain(rows[1].head, [rows[2].payload.replace("ALLOW", "WARN")])[0]
    execute(
        database,
        f"UPDATE decisions SET action = 'WARN', row_hash = '{forged.row_hash}',"
        "payload = replace(payload, 'ALLOW', 'WARN') WHERE sequence = 3;"
        f"UPDATE audit_head SET row_hash = '{forged.row_hash}'",
    )
    assert verify(["--database", database]) == 0
    assert verify(["--database", database, "--anchor", f"3:{rows[2].row_hash}"]) == 1
    assert "another hash than its anchor" in capsys.readouterr().out
    assert verify(["--database", database, "--anchor", f"4:{rows[2].row_hash}"]) == 1
    assert "decision 4, an anchor, is missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM decisions", "UPDATE decisions SET action = 'WARN' WHERE sequence = 1"],
)
def test_database_with_decisions_refuses_to_change_them(
    database: str, tmp_path: Path, statement: str
) -> None:
    with opened(database, tmp_path) as trail:
        record(trail, range(1, 3))
    with pytest.raises(Exception, match="append-only"):
        execute(database, statement)
    assert verify(["--database", database]) == 0


def test_trail_with_a_database_behind_its_journal_catches_up_when_opened(
    database: str, tmp_path: Path
) -> None:
    with opened(database, tmp_path) as trail:
        record(trail, range(1, 3))
    kept = (tmp_path / "journal").read_bytes()
    with opened(database, tmp_path) as trail:
        rows = record(trail, range(3, 6))
        behind = (tmp_path / "journal").read_bytes()
        trail.page("", None, 1)
    assert (tmp_path / "journal").read_bytes() == kept  # emptied at the end
    unlock(database)
    execute(
        database,
        "DELETE FROM decisions WHERE sequence > 3;"
        f"UPDATE audit_head SET sequence = 3, row_hash = '{rows[0].row_hash}'",
    )
    (tmp_path / "journal").write_bytes(behind)
    with opened(database, tmp_path) as trail:
        assert trail.page("", None, 3) == rows[::-1]
    assert verify(["--database", database]) == 0


def test_trail_with_a_database_that_lost_decisions_is_refused(
    database: str, tmp_path: Path
) -> None:
    with opened(database, tmp_path) as trail:
        record(trail, range(1, 3))
        trail.page("", None, 1)
        record(trail, range(3, 5))
        journal = (tmp_path / "journal").read_bytes()
    header, _, later_rows = journal.rstrip(b"\0\1").splitlines(keepends=True)
    (tmp_path / "journal").write_bytes(header + later_rows)
    (tmp_path / "journal.anchor").unlink()
    unlock(database)
    execute(
        database,
        f"DELETE FROM decisions;UPDATE audit_head SET sequence = 0, row_hash = '{'0' * 64}'",
    )
    with pytest.raises(StorageError, match="changed from outside"), opened(database, tmp_path):
        pass


def test_trail_with_a_small_journal_empties_it_on_the_way_and_loses_nothing(
    database: str, tmp_path: Path
) -> None:
    with opened(database, tmp_path, journal_bytes=2_000) as trail:
        rows = []
        for start in range(1, 400, 20):
            rows += record(trail, range(start, start + 20))
            trail.page("", None, 1)
        content = (tmp_path / "journal").read_bytes().rstrip(b"\0")  # the room is behind it
        assert len(content) < 30_000
        assert len(rows) == 400
    assert verify(["--database", database]) == 0


def test_trail_with_odd_characters_in_its_path_is_found_again(tmp_path: Path) -> None:
    folder = tmp_path / "100% sure? #1"
    url = f"sqlite:///{quote(str(folder))}/audit.sqlite"
    with opened(url, tmp_path) as trail:
        record(trail, range(1, 3))
    assert (folder / "audit.sqlite").is_file()
    assert verify(["--database", url]) == 0


def test_trail_in_use_is_refused_to_a_second_service(database: str, tmp_path: Path) -> None:
    with opened(database, tmp_path):
        code = (
            "import sys; from pathlib import Path;"
            "from risk_service.audit.database import Database;"
            "from risk_service.audit.trail import AuditTrail;"
            "AuditTrail(Database(sys.argv[1]), Path(sys.argv[2]))"
        )
        second = subprocess.run(
            [sys.executable, "-c", code, database, str(tmp_path / "another-journal")],
            capture_output=True,
            text=True,
            check=False,
        )
    assert "StorageError: the audit database is in use by another risk service" in second.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE audit_schema SET version = 2", "schema version 2"),
        ("UPDATE audit_revision SET version_num = '0009'", "revision 0009.*newer release"),
    ],
)
def test_trail_of_a_later_release_is_refused(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, said: str
) -> None:
    with opened(database, tmp_path):
        pass
    execute(database, change)
    with pytest.raises(StorageError, match=said), opened(database, tmp_path):
        pass
    refused = verify(["--database", database])
    assert (refused, "newer release" in capsys.readouterr().err) in ((2, True), (0, False))


def test_trail_of_a_release_before_revisions_goes_on(database: str, tmp_path: Path) -> None:
    with opened(database, tmp_path) as trail:
        rows = record(trail, range(1, 4))
    # All that such a database lacks; the job store's note may be there, in the same database.
    execute(database, "DROP TABLE audit_revision")
    execute(database, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    execute(database, "INSERT INTO alembic_version VALUES ('0003')")
    assert verify(["--database", database]) == 0
    with opened(database, tmp_path) as trail:
        (following,) = record(trail, range(4, 5))
        assert following.follows(rows[-1].head)
    assert verify(["--database", database]) == 0


def test_revisions_of_a_new_database_make_the_tables_that_the_code_works_on(
    database: str, tmp_path: Path
) -> None:
    with opened(database, tmp_path):
        pass
    parsed = make_url(database)
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    with create_engine(parsed, poolclass=NullPool).connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "audit_revision"})
        assert compare_metadata(context, METADATA) == []


@pytest.mark.parametrize("url", ["sqlite:////nonexistent/x.sqlite", "mysql://h/x", "nothing"])
def test_verify_with_a_database_that_cannot_be_read_says_so(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(["--database", url]) == 2
    assert "cannot verify" in capsys.readouterr().err
