"""A database of ours: SQLite by default, PostgreSQL by URL."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa

from tradewind.errors import FieldViolation, SettingsError, StorageError
from tradewind.process.durable import sync_folder
from tradewind.storage.schema import SqlSchema, migrate, require_known

__all__ = ["SqlStore"]

_BUSY_S: Final = 10.0
_BEGIN: Final = "sqlite_begin"
# Commits are on the disk when they return, and a statement that does not end is a failure.
_POSTGRESQL_OPTIONS: Final = "-c synchronous_commit=on -c statement_timeout=10000"
_POSTGRESQL: Final = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "options": _POSTGRESQL_OPTIONS,
}


class SqlStore:
    """Connections to one database. Threads may share it.

    What fails raises StorageError with the database's own words; statements and their values stay
    out of it, for it is logged and answered with.

    Args:
        url: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST:PORT/NAME`.
        schema: What kind of store it is.
        sync_commits: Whether a commit is on the disk when it returns. Without, one in SQLite is
            when `settle` returns; PostgreSQL's always is.
        busy_s: How long another process may hold SQLite's file.

    Attributes:
        file: The file of an SQLite database; None for PostgreSQL.

    Raises:
        SettingsError: The URL is neither.
    """

    def __init__(
        self, url: str, schema: SqlSchema, *, sync_commits: bool = True, busy_s: float = _BUSY_S
    ) -> None:
        self._schema = schema
        self.file: Path | None = None
        try:
            parsed = sa.make_url(url)
            match parsed.get_backend_name():
                case "sqlite" if parsed.database and parsed.database != ":memory:":
                    self.file = Path(parsed.database)
                    if parsed.query:
                        raise ValueError("a file takes no options after ?")
                    self._engine = _sqlite_engine(self.file, busy_s, sync_commits)
                case "postgresql":
                    self._engine = _postgresql_engine(parsed)
                case _:
                    shown = parsed.render_as_string(hide_password=True)
                    raise ValueError(f"{shown}; allowed: sqlite:///FILE and postgresql://…")
        except (sa.exc.ArgumentError, ImportError, ValueError) as problem:
            if isinstance(problem, sa.exc.ArgumentError):  # it may quote a password
                problem = ValueError("not a URL such as sqlite:///FILE")
            raise SettingsError(
                f"{schema.name} is refused", [FieldViolation(schema.setting, str(problem))]
            ) from None

    def create_file(self) -> None:
        """Creates the file of an SQLite database, and its folder, when they are missing.

        Raises:
            StorageError: It cannot be created.
        """
        if self.file is None or self.file.exists():
            return
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.touch(mode=0o600)
        except OSError as problem:
            raise StorageError(f"cannot create {self.file}: {problem.strerror}") from None

    def migrate(self, connection: sa.Connection) -> None:
        """Brings the database to the schema of this release, in the connection's transaction.

        Raises:
            StorageError: A newer release has migrated it, or it is not what its revision left.
        """
        migrate(connection, self._schema)

    def require_known(self, connection: sa.Connection) -> None:
        """Does nothing where this release knows the schema of the database.

        Raises:
            StorageError: A newer release has migrated it.
        """
        require_known(connection, self._schema)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A transaction that may write, committed when the block ends.

        Raises:
            StorageError: The database cannot be reached, or a statement failed.
        """
        # At once, for a transaction that turns from reading to writing cannot wait for another.
        engine = self._engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        with self._errors(), engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """A connection that reads one state of the database, whatever is written meanwhile.

        Raises:
            StorageError: The database cannot be reached, or a statement failed.
        """
        engine = self._engine
        if self.file is None:  # SQLite gives every transaction a snapshot
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        with self._errors(), engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def exclusive_connection(self) -> Iterator[sa.Connection]:
        """A connection during which no other process can have one; transactions are the caller's.

        Raises:
            StorageError: Another process has one, the database cannot be reached, or a statement
                failed.
        """
        in_use = StorageError(f"{self._schema.name} is in use by another {self._schema.owner}")
        with self._errors(), contextlib.ExitStack() as stack:
            if self.file is not None:
                lock = self.file.with_name(self.file.name + ".lock")
                stack.enter_context(_file_lock(lock, in_use))
            connection = stack.enter_context(self._engine.connect())
            if self.file is None:
                lock_session = sa.func.pg_try_advisory_lock(self._schema.lock_key)
                taken = connection.execute(sa.select(lock_session)).scalar_one()
                connection.commit()
                if not taken:
                    raise in_use
                # The lock belongs to the session, which must not go back to the pool with it.
                stack.callback(connection.invalidate)
            yield connection

    def now(self) -> sa.ColumnElement[float]:
        """Seconds since the epoch by the one clock that every service on the database shares."""
        if self.file is not None:
            return sa.literal(time.time(), sa.Double)
        return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Double)

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
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as problem:
            cause = (str(problem.orig).strip().splitlines() or [type(problem.orig).__name__])[0]
            raise StorageError(f"{self._schema.name} failed: {cause}") from problem
        except sa.exc.SQLAlchemyError as problem:
            raise StorageError(f"{self._schema.name} failed: {type(problem).__name__}") from problem


def _sqlite_engine(file: Path, busy_s: float, sync_commits: bool) -> sa.Engine:
    # mode=rw: a database that is missing is an error, not an empty new one.
    url = sa.URL.create(
        "sqlite", database=f"file:{quote(str(file))}", query={"mode": "rw", "uri": "true"}
    )
    engine = sa.create_engine(url, connect_args={"timeout": busy_s}, hide_parameters=True)

    def set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # or sqlite3 begins transactions by itself, and late
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute(f"PRAGMA synchronous = {'FULL' if sync_commits else 'NORMAL'}")
        cursor.close()

    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))

    sa.event.listen(engine, "connect", set_up)
    sa.event.listen(engine, "begin", begin)
    return engine


def _postgresql_engine(url: sa.URL) -> sa.Engine:
    return sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        connect_args=_POSTGRESQL,
        hide_parameters=True,
    )


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _file_lock(path: Path, in_use: StorageError) -> Iterator[None]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as problem:
        raise StorageError(f"cannot lock {path}: {problem.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise in_use from None
        yield
    finally:
        os.close(descriptor)
