"""A kind of store for tests, and a program that opens one: `-m … URL FOLDER`."""

import sys
from pathlib import Path

from tradewind.storage import SqlSchema, SqlStore


def schema_of(folder: str | Path) -> SqlSchema:
    return SqlSchema(
        name="the test store",
        setting="things",
        owner="test",
        revisions=Path(folder),
        first_table="things",
        first_revision="0001",
        version_table="things_revision",
        lock_key=77,
    )


def opened(url: str, folder: str | Path, busy_s: float = 30.0) -> SqlStore:
    store = SqlStore(url, schema_of(folder), busy_s=busy_s)
    store.create_file()
    migrate(store)
    return store


def migrate(store: SqlStore) -> None:
    with store.transaction() as connection:
        store.migrate(connection)


if __name__ == "__main__":
    opened(sys.argv[1], sys.argv[2]).close()
