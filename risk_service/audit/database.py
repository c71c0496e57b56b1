"""Connections to the database of the audit trail: SQLite by default, PostgreSQL by URL."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from tradewind.errors import SettingsError, StorageError
from tradewind.process.durable import sync_folder

__all__ = ["Database", "storage_errors"]

_LOCK_KEY: Final = 0x7472616465  # of the advisory lock; any number that other programs do not use
_SQLITE_BUSY_S: Final = 5.0
# Commits are on the disk when they return, and a statement that does not end is a failure.
_POSTGRESQL_OPTIONS: Final = "-c synchronous_commit=on -c statement_timeout=10000"


class Database:
    """Where the audit trail lives.

    Args:
        url: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST:PORT/NAME`.

    Attributes:
        file: The file of an SQLite database; None for PostgreSQL.

    Raises:
        SettingsError: The URL is neither.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise SettingsError("database: not a URL such as sqlite:///audit.sqlite") from None
        backend, name = parsed.get_backend_name(), parsed.database
        self.file: Path | None = None
        if backend == "sqlite" and name and name != ":memory:":
            self.file = Path(name)
            self._engine = _sqlite_engine(self.file)
        elif backend == "postgresql":
            self._engine = _postgresql_engine(parsed)
        else:
            shown = parsed.render_as_string(hide_password=True)
            raise SettingsError(f"database: {shown}; allowed: sqlite:///FILE and postgresql://…")

    def create_file(self) -> None:
        """Creates the file of an SQLite database, and its folder, when they are missing.

        Raises:
            StorageError: It cannot be created.
        """
        if self.file is None:
            return
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.touch(mode=0o600)
        except OSError as problem:
            raise StorageError(f"cannot create {self.file}: {problem.strerror}") from None

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A connection that reads one state of the database, whatever is written meanwhile.

        Raises:
            StorageError: The database cannot be reached or a statement failed.
        """
        engine = self._engine
        if self.file is None:  # SQLite gives every transaction a snapshot
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        with storage_errors(), engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def exclusive_connection(self) -> Iterator[Connection]:
        """A connection during which no other process can have one; transactions are the caller's.

        Raises:
            StorageError: Another process has one, the database cannot be reached, or a statement
                failed.
        """
        with storage_errors(), contextlib.ExitStack() as stack:
            if self.file is not None:
                stack.enter_context(_file_lock(self.file.with_name(self.file.name + ".lock")))
            connection = stack.enter_context(self._engine.connect())
            if self.file is None:
                _take_advisory_lock(connection)
                # The lock belongs to the session, which must not go back to the pool with it.
                stack.callback(connection.invalidate)
            yield connection

    def file_identity(self) -> tuple[int, int]:
        """Which file stands at the path; (0, 0) for PostgreSQL.

        SQLite goes on writing to a file that was removed or replaced, where nobody finds it.

        Raises:
            StorageError: There is no file.
        """
        if self.file is None:
            return 0, 0
        try:
            found = self.file.stat()
        except OSError as problem:
            raise StorageError(f"the database {self.file}: {problem.strerror}") from None
        return found.st_dev, found.st_ino

    def settle(self) -> None:
        """Returns when every commit so far is on the disk.

        Raises:
            StorageError: The disk failed.
        """
        if self.file is None:  # it was when the commit returned
            return
        try:
            # What is in the database's file is: SQLite syncs it before it lets go of the log. To
            # open and close that file here would take SQLite's own locks on it away.
            with contextlib.suppress(FileNotFoundError):
                _sync(self.file.with_name(self.file.name + "-wal"))
            sync_folder(self.file.parent)
        except OSError as problem:
            raise StorageError(f"the database {self.file}: {problem.strerror}") from None

    def close(self) -> None:
        """Closes the connections that are not in use; one asked for later is opened anew."""
        self._engine.dispose()


@contextlib.contextmanager
def storage_errors() -> Iterator[None]:
    """Inside the block, what SQLAlchemy raises becomes a StorageError."""
    try:
        yield
    except DBAPIError as problem:
        # The statement and its parameters stay out: they would be in every log line and answer.
        cause = (str(problem.orig).strip().splitlines() or [type(problem.orig).__name__])[0]
        raise StorageError(f"the database failed: {cause}") from None
    except SQLAlchemyError as problem:
        raise StorageError(f"the database failed: {type(problem).__name__}") from None


def _sqlite_engine(file: Path) -> Engine:
    # mode=rw: a database that is missing is an error, not an empty new one.
    url = URL.create(
        "sqlite", database=f"file:{quote(str(file))}", query={"mode": "rw", "uri": "true"}
    )
    engine = create_engine(url, connect_args={"timeout": _SQLITE_BUSY_S})
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # or sqlite3 begins transactions by itself, and late
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    # A commit is not on the disk when it returns: the journal keeps its rows until `settle`.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _postgresql_engine(url: URL) -> Engine:
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": 5,
            "tcp_user_timeout": 10_000,
            "options": _POSTGRESQL_OPTIONS,
        },
    )


def _take_advisory_lock(connection: Connection) -> None:
    query = f"SELECT pg_try_advisory_lock({_LOCK_KEY})"
    taken = connection.exec_driver_sql(query).scalar_one()
    connection.commit()
    if not taken:
        raise StorageError("the database is in use by another risk service")


@contextlib.contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as problem:
        raise StorageError(f"cannot lock {path}: {problem.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError("the database is in use by another risk service") from None
        yield
    finally:
        os.close(descriptor)
