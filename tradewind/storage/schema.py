"""What a store's tables are, and how a database comes to have them: Alembic, on one connection."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from tradewind.errors import StorageError

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["SqlSchema", "migrate", "require_known"]

_SCRIPTS: Final = Path(__file__).with_name("migrations")
_MIGRATION_MS: Final = 600_000  # another service may be at it, and a large table takes a while


@dataclass(frozen=True)
class SqlSchema:
    """What is particular to one kind of store.

    Attributes:
        name: What it is called in errors: "the job store".
        setting: The settings field with its URL, for the same.
        owner: Who uses it: "trainer service".
        revisions: Folder with Alembic's revisions: 0001 in r0001_NAME.py, and so on.
        first_table: A table that every database of the kind has. One that has it and no note of a
            revision was made by a release before there were migrations, and is of the first one.
        first_revision: That one.
        version_table: Where the revision is noted. Two kinds of store may share a database, so
            each has its own.
        lock_key: Of the advisory locks; any number that other programs do not use.
    """

    name: str
    setting: str
    owner: str
    revisions: Path
    first_table: str
    first_revision: str
    version_table: str
    lock_key: int

    def known(self) -> list[str]:
        """The revisions of this release, oldest first."""
        files = self.revisions.glob("r*_*.py")
        return sorted(file.name[1:].partition("_")[0] for file in files)


def migrate(connection: sa.Connection, schema: SqlSchema) -> None:
    """Brings a database to the schema of this release, in the transaction of the connection.

    Services that start together do so one after the other. One that is killed meanwhile leaves the
    database as it was.

    Raises:
        StorageError: A newer release has migrated it, or it is not what its revision left.
    """
    if connection.dialect.name == "postgresql":  # SQLite's transaction is alone anyway
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {_MIGRATION_MS}")
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(schema.lock_key)))
    before = require_known(connection, schema)
    if before == schema.known()[-1]:
        return
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)  # of what it is made
    from alembic import command  # takes a while to import, and most starts have nothing to migrate
    from alembic.util import CommandError

    config = _config(connection, schema)
    try:
        if not before and sa.inspect(connection).has_table(schema.first_table):
            before = schema.first_revision
            command.stamp(config, before)
        command.upgrade(config, "head")
    except (sa.exc.DBAPIError, CommandError) as problem:
        cause = problem.orig if isinstance(problem, sa.exc.DBAPIError) else problem
        at = f"revision {before}" if before else "an empty database"
        raise StorageError(
            f"{schema.name} cannot be migrated from {at}, and is as it was: {cause}. If it is not "
            "what that revision left, restore a backup"
        ) from problem


def require_known(connection: sa.Connection, schema: SqlSchema) -> str:
    """The revision of a database; empty where none is noted.

    Raises:
        StorageError: A newer release has migrated it.
    """
    if not sa.inspect(connection).has_table(schema.version_table):
        return ""
    noted = sa.table(schema.version_table, sa.column("version_num", sa.String))
    revisions = connection.execute(sa.select(noted.c.version_num)).scalars().all()
    for revision in revisions:
        if revision not in schema.known():
            raise StorageError(
                f"{schema.name} has revision {revision}, which this release does not know (it "
                f"knows {', '.join(schema.known())}): a newer release has migrated it, or another "
                "program that shares the database. Start that release, or restore a backup"
            )
    return ", ".join(revisions)


def _config(connection: sa.Connection, schema: SqlSchema) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("path_separator", "newline")
    for option, folder in (("script_location", _SCRIPTS), ("version_locations", schema.revisions)):
        config.set_main_option(option, str(folder).replace("%", "%%"))
    config.attributes["configure"] = {
        "connection": connection,
        "version_table": schema.version_table,
    }
    return config
