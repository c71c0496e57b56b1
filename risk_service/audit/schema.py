"""The tables of the audit trail, and how a database gets them."""

import secrets
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    insert,
    select,
)

from risk_service.audit.chain import GENESIS
from tradewind.errors import StorageError

__all__ = ["DECISIONS", "HEAD", "prepare_schema"]

SCHEMA_VERSION: Final = 1
_METADATA = MetaData()

# A payload holds all of a row; the other columns are copies of parts of it, to search by.
DECISIONS = Table(
    "decisions",
    _METADATA,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("decision_id", String(64), nullable=False, unique=True),
    Column("account", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("action", String(32), nullable=False),
    Column("decided_at", Double, nullable=False),
    Column("payload", Text, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("row_hash", String(64), nullable=False),
    Index("decisions_by_account", "account", "sequence"),
)

# One row: the end of the chain. It moves in the transaction that adds rows.
HEAD = Table(
    "audit_head",
    _METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    Column("row_hash", String(64), nullable=False),
)

# One row: which schema this is, and which database. A release that changes the schema raises the
# version and brings older ones up to it here.
SCHEMA = Table(
    "audit_schema",
    _METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("database_id", String(64), nullable=False),
)

_APPEND_ONLY = {
    "sqlite": [
        f"CREATE TRIGGER IF NOT EXISTS decisions_no_{verb.lower()} BEFORE {verb} ON decisions "
        "BEGIN SELECT RAISE(ABORT, 'decisions is append-only'); END"
        for verb in ("UPDATE", "DELETE")
    ],
    "postgresql": [
        "CREATE OR REPLACE FUNCTION refuse_change_of_decisions() RETURNS trigger AS "
        "$$ BEGIN RAISE EXCEPTION 'decisions is append-only'; END $$ LANGUAGE plpgsql",
        "CREATE OR REPLACE TRIGGER decisions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
        "ON decisions FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_decisions()",
    ],
}


def prepare_schema(connection: Connection) -> str:
    """Creates what is missing, in the transaction of the connection.

    Returns:
        The identity of the database.

    Raises:
        StorageError: The database was made by a later release.
    """
    _METADATA.create_all(connection)
    for statement in _APPEND_ONLY[connection.dialect.name]:
        connection.exec_driver_sql(statement)
    found = connection.execute(select(SCHEMA.c.version, SCHEMA.c.database_id)).one_or_none()
    if found is None:
        database_id = secrets.token_hex(16)
        connection.execute(
            insert(SCHEMA).values(id=1, version=SCHEMA_VERSION, database_id=database_id)
        )
        connection.execute(
            insert(HEAD).values(id=1, sequence=GENESIS.sequence, row_hash=GENESIS.row_hash)
        )
        return database_id
    if found.version != SCHEMA_VERSION:
        raise StorageError(
            f"the database has schema version {found.version}, "
            f"this release knows version {SCHEMA_VERSION} only"
        )
    return str(found.database_id)
