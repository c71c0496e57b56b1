"""One store on both kinds of database: how it is migrated, and what goes wrong meanwhile."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from tests.integration.storage.things import migrate, opened, schema_of
from tradewind.errors import StorageError
from tradewind.storage import SqlStore

Open = Callable[..., SqlStore]

REVISIONS = {
    "0001": 'op.create_table("things", sa.Column("name", sa.String(8), primary_key=True))',
    "0002": 'op.add_column("things", sa.Column("colour", sa.String(8)))\n'
    '    if os.environ.get("KILL"):\n        os.kill(os.getpid(), signal.SIGKILL)\n'
    '    op.create_index("things_by_colour", "things", ["colour"])',
    "0003": 'things = sa.table("things", sa.column("name"), sa.column("colour"))\n'
    '    rows = [{"name": str(number), "colour": "red"} for number in range(3_000)]\n'
    "    op.bulk_insert(things, rows)",
}
OTHERS_S = 60.0


def write_revisions(folder: Path, *numbers: str) -> None:
    folder.mkdir(exist_ok=True)
    before = None
    for number in numbers:
        (folder / f"r{number}_things.py").write_text(
            "import os, signal\nimport sqlalchemy as sa\nfrom alembic import op\n"
            f"revision, down_revision = {number!r}, {before!r}\n\n"
            f"def upgrade():\n    {REVISIONS[number]}\n"
        )
        before = number


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/things.sqlite"
    found: str = request.getfixturevalue("postgres").create_database()
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the first revision."""
    folder = tmp_path / "revisions"
    write_revisions(folder, "0001")
    return folder


@pytest.fixture
def old(url: str, folder: Path) -> Iterator[SqlStore]:
    """A store of the first revision with one thing, while there is a second one."""
    store = opened(url, folder)
    execute(store, "INSERT INTO things VALUES ('a')")
    write_revisions(folder, "0001", "0002")
    yield store
    store.close()


def execute(store: SqlStore, statement: str) -> None:
    with store.transaction() as connection:
        connection.exec_driver_sql(statement)


def found(store: SqlStore, query: str) -> list[tuple[object, ...]]:
    with store.snapshot() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def migrating(url: str, folder: Path, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.storage.things", url, str(folder)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_store_with_a_new_revision_has_it_and_its_rows(old: SqlStore) -> None:
    migrate(old)
    migrate(old)  # finds nothing to do
    assert found(old, "SELECT name, colour FROM things") == [("a", None)]
    assert found(old, "SELECT version_num FROM things_revision") == [("0002",)]


def test_store_of_a_release_before_revisions_is_of_the_first_one(old: SqlStore) -> None:
    execute(old, "DROP TABLE things_revision")
    migrate(old)
    assert found(old, "SELECT name, colour FROM things") == [("a", None)]


def test_store_of_a_newer_release_is_refused_and_stays_as_it_is(old: SqlStore) -> None:
    execute(old, "UPDATE things_revision SET version_num = '0009'")
    said = (
        r"the test store has revision 0009, which this release does not know \(it knows 0001, 0002"
    )
    with pytest.raises(StorageError, match=said):
        migrate(old)
    with pytest.raises(StorageError, match=said), old.snapshot() as connection:
        old.require_known(connection)
    assert found(old, "SELECT version_num FROM things_revision") == [("0009",)]


def test_store_that_is_half_migrated_is_refused_and_stays_as_it_is(old: SqlStore) -> None:
    execute(old, "ALTER TABLE things ADD COLUMN colour VARCHAR(8)")
    said = "cannot be migrated from revision 0001, and is as it was: .*colour"
    with pytest.raises(StorageError, match=said):
        migrate(old)
    assert found(old, "SELECT * FROM things") == [("a", None)]
    assert found(old, "SELECT version_num FROM things_revision") == [("0001",)]


def test_store_whose_migration_was_killed_is_as_it_was_and_migrated_the_next_time(
    old: SqlStore, url: str, folder: Path
) -> None:
    old.close()
    with migrating(url, folder, KILL="1") as killed:
        assert killed.wait(OTHERS_S) == -signal.SIGKILL
    assert found(old, "SELECT * FROM things") == [("a",)]
    migrate(old)
    assert found(old, "SELECT * FROM things") == [("a", None)]


def test_store_that_processes_migrate_at_once_is_migrated_once(
    old: SqlStore, url: str, folder: Path
) -> None:
    old.close()
    with ExitStack() as stack:
        some = [stack.enter_context(migrating(url, folder)) for _ in range(2)]
        assert [one.communicate(timeout=OTHERS_S)[1] for one in some] == ["", ""]
        assert [one.returncode for one in some] == [0, 0]
    assert found(old, "SELECT version_num FROM things_revision") == [("0002",)]


def test_two_kinds_of_store_in_one_database_do_not_meet(
    old: SqlStore, url: str, tmp_path: Path
) -> None:
    execute(old, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    execute(old, "INSERT INTO alembic_version VALUES ('of another program')")
    migrate(old)
    assert found(old, "SELECT version_num FROM alembic_version") == [("of another program",)]


def test_file_that_another_process_writes_is_waited_for_and_then_refused(
    folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "things.sqlite"
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:
        store = opened(f"sqlite:///{file}", folder, busy_s=0.05)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="the test store failed: database is locked"):
            execute(store, "INSERT INTO things VALUES ('a')")
        assert found(store, "SELECT * FROM things") == []  # reading does not wait
        store.close()

        patient = SqlStore(f"sqlite:///{file}", schema_of(folder), busy_s=OTHERS_S)
        writing = threading.Thread(
            target=execute, args=(patient, "INSERT INTO things VALUES ('b')")
        )
        writing.start()
        other.execute("ROLLBACK")
        writing.join(OTHERS_S)
        assert found(patient, "SELECT * FROM things") == [("b",)]
        patient.close()


def test_file_on_a_full_disk_is_refused_and_stays_as_it_is(folder: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/things.sqlite"
    store = opened(url, folder)
    write_revisions(folder, "0001", "0002", "0003")
    small = SqlStore(url, schema_of(folder))
    sa.event.listen(
        small._engine, "connect", lambda raw, _: raw.execute("PRAGMA max_page_count = 12")
    )
    with pytest.raises(StorageError, match="as it was: database or disk is full"):
        migrate(small)
    small.close()
    assert found(store, "SELECT version_num FROM things_revision") == [("0001",)]
    migrate(store)
    assert found(store, "SELECT count(*) FROM things") == [(3_000,)]
    store.close()


def test_file_that_was_removed_is_an_error_and_not_an_empty_database(
    folder: Path, tmp_path: Path
) -> None:
    store = opened(f"sqlite:///{tmp_path}/things.sqlite", folder)
    store.close()
    (tmp_path / "things.sqlite").unlink()
    with pytest.raises(StorageError, match="unable to open database file"):
        found(store, "SELECT * FROM things")


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_server_that_goes_away_in_a_transaction_is_an_error_and_the_next_one_works(
    old: SqlStore, url: str
) -> None:
    def lose_it() -> None:
        with old.transaction() as one, psycopg.connect(url) as other:
            one.exec_driver_sql("INSERT INTO things VALUES ('b')")
            backend = one.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            other.execute("SELECT pg_terminate_backend(%s)", (backend,))
            one.exec_driver_sql("INSERT INTO things VALUES ('c')")

    with pytest.raises(StorageError, match="the test store failed: "):
        lose_it()
    assert found(old, "SELECT * FROM things") == [("a",)]


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_server_that_is_read_only_is_refused_and_read(old: SqlStore, url: str) -> None:
    old.close()
    with psycopg.connect(url, autocommit=True) as other:
        database = other.info.dbname
        other.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on".encode())
    with pytest.raises(StorageError, match="in a read-only transaction"):
        migrate(old)
    assert found(old, "SELECT * FROM things") == [("a",)]


def test_statement_that_fails_keeps_its_values_out_of_what_is_said(old: SqlStore) -> None:
    def insert() -> None:
        things = sa.table("things", sa.column("name"), sa.column("nowhere"))
        with old.transaction() as connection:
            connection.execute(sa.insert(things).values(name="planted", nowhere="planted"))

    with pytest.raises(StorageError, match="nowhere") as failed:
        insert()
    assert "planted" not in f"{failed.value} {failed.value.__cause__}"
