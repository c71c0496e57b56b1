"""The database of the job store: SQLite or PostgreSQL, brought to the present schema at start."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.engine import make_url

from tradewind.errors import FieldViolation, SettingsError, StorageError
from trainer_service.jobs.schema import JOBS

__all__ = ["JobDatabase"]

_MIGRATIONS: Final = Path(__file__).with_name("migrations")
_FIRST_REVISION: Final = "0001"  # what releases before migrations left behind
_LOCK_KEY: Final = 0x6A6F6273  # of the advisory lock; any number that other programs do not use
_BUSY_S: Final = 10.0
_POSTGRESQL_OPTIONS: Final = "-c synchronous_commit=on -c statement_timeout=10000"


class JobDatabase:
    """Connections to the jobs, with the schema of this release.

    Args:
        url: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST:PORT/NAME`.

    Raises:
        SettingsError: The URL is neither.
        StorageError: The database cannot be opened or migrated, or a newer release migrated it.
    """

    def __init__(self, url: str) -> None:
        self._engine = _create_engine(url)
        try:
            with self.transaction() as connection:
                _migrate(connection)
        except CommandError as problem:
            self.close()
            raise StorageError(
                f"the job store is not of this release, or of an older one: {problem}"
            ) from problem
        except StorageError:
            self.close()
            raise

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A transaction, committed when the block ends.

        Raises:
            StorageError: The database cannot be reached, or a statement failed.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as problem:
            # Not the whole text: it quotes the statement, and this message reaches callers.
            cause = problem.orig if isinstance(problem, sa.exc.DBAPIError) else problem
            raise StorageError(f"the job store failed: {cause}") from problem

    def now(self) -> sa.ColumnElement[float]:
        """Seconds since the epoch by the one clock that every service on the database shares."""
        if self._engine.dialect.name == "sqlite":
            return sa.literal(time.time(), sa.Double)
        return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Double)


def _migrate(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        # Services that start together migrate one after the other; SQLite's transaction does that.
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_KEY)))
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    tables = sa.inspect(connection).get_table_names()
    if JOBS.name in tables and "alembic_version" not in tables:
        command.stamp(config, _FIRST_REVISION)
    command.upgrade(config, "head")


def _create_engine(url: str) -> sa.Engine:
    try:
        parsed = make_url(url)
        match parsed.get_backend_name():
            case "sqlite":
                return _sqlite_engine(parsed)
            case "postgresql":
                return _postgresql_engine(parsed)
            case other:
                raise ValueError(f"{other} is neither sqlite nor postgresql")
    except (sa.exc.ArgumentError, ImportError, OSError, ValueError) as problem:
        raise SettingsError(
            "job store is refused", [FieldViolation("jobs", f"not a usable URL: {problem}")]
        ) from None


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    if not url.database or url.database == ":memory:":
        raise ValueError("jobs must survive the service: name a file")
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": _BUSY_S})
    sa.event.listen(engine, "connect", _set_up_sqlite)
    # At once, for a transaction that turns from reading to writing cannot wait for another writer.
    sa.event.listen(engine, "begin", lambda conn: conn.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # or sqlite3 begins transactions by itself, and late
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


def _postgresql_engine(url: sa.URL) -> sa.Engine:
    return sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        connect_args={"connect_timeout": 5, "options": _POSTGRESQL_OPTIONS},
    )
