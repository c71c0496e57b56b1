"""The paper broker's books: orders, fills and holdings in a SQLite file of their own."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from orchestrator.brokers.orders import (
    Holdings,
    Order,
    OrderKind,
    OrderState,
    OrderStatus,
    TimeInForce,
)
from orchestrator.records import FillRecord
from tradewind.errors import StorageError

__all__ = ["Books"]

_LATER_COLUMNS: Final = (
    "kind TEXT NOT NULL DEFAULT 'MARKET'",
    "limit_price REAL",
    "stop_price REAL",
    "time_in_force TEXT NOT NULL DEFAULT 'GTD'",
)
"""Of an order, which the books of earlier releases do not have."""

_SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS account (one INTEGER PRIMARY KEY CHECK (one = 1), cash REAL NOT NULL,
    observed_ns INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS positions (symbol TEXT PRIMARY KEY, quantity REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS orders (client_order_id TEXT PRIMARY KEY, symbol TEXT NOT NULL,
    quantity REAL NOT NULL, reference_price REAL NOT NULL, submitted_ns INTEGER NOT NULL,
    valid_until_ns INTEGER NOT NULL, status TEXT NOT NULL, filled_quantity REAL NOT NULL,
    reason TEXT NOT NULL, {", ".join(_LATER_COLUMNS)}) STRICT;
DROP INDEX IF EXISTS open_orders; -- of earlier releases: a write at every order, read at the start
CREATE TABLE IF NOT EXISTS fills (sequence INTEGER PRIMARY KEY, client_order_id TEXT NOT NULL,
    symbol TEXT NOT NULL, quantity REAL NOT NULL, price REAL NOT NULL,
    reference_price REAL NOT NULL, fee REAL NOT NULL, filled_ns INTEGER NOT NULL) STRICT;
"""


class Books:
    """Durable state of one paper account; what a transaction wrote survives kill -9.

    Args:
        path: The file; made when it is missing.
        cash: What a new account begins with.

    Raises:
        StorageError: The file cannot be opened or is in use.
    """

    def __init__(self, path: Path, cash: float) -> None:
        self._path = path
        with self._storage():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            # A checkpoint holds a tick up for milliseconds: seldom, and 40 MB of log at most.
            self._db.execute("PRAGMA wal_autocheckpoint = 10000")
            self._db.executescript(_SCHEMA)
            self._add_columns()
            self._db.execute("INSERT OR IGNORE INTO account VALUES (1, ?, 0)", (cash,))

    def close(self) -> None:
        """Lets go of the file."""
        self._db.close()

    def observed_ns(self) -> int:
        """Close of the last bars that orders were traded against."""
        with self._storage():
            return int(self._db.execute("SELECT observed_ns FROM account").fetchone()[0])

    def holdings(self) -> Holdings:
        """Cash and positions."""
        with self._storage():
            (cash,) = self._db.execute("SELECT cash FROM account").fetchone()
            rows = self._db.execute("SELECT symbol, quantity FROM positions ORDER BY symbol")
            return Holdings(cash, {symbol: quantity for symbol, quantity in rows if quantity})

    def order_ids(self) -> set[str]:
        """The id of every order there ever was."""
        with self._storage():
            return {name for (name,) in self._db.execute("SELECT client_order_id FROM orders")}

    def order(self, client_order_id: str) -> OrderState | None:
        """An order; None when it is not known."""
        with self._storage():
            query = "SELECT * FROM orders WHERE client_order_id = ?"
            row = self._db.execute(query, (client_order_id,)).fetchone()
            return None if row is None else _read_order(row)

    def open_orders(self) -> list[OrderState]:
        """Orders that are not final, in the order in which they came."""
        with self._storage():
            query = (
                "SELECT * FROM orders WHERE status IN ('NEW', 'PARTIALLY_FILLED') ORDER BY rowid"
            )
            return [_read_order(row) for row in self._db.execute(query)]

    def fills(self, after_sequence: int) -> list[FillRecord]:
        """Fills after a number."""
        with self._storage():
            query = "SELECT * FROM fills WHERE sequence > ? ORDER BY sequence"
            return [FillRecord(*row) for row in self._db.execute(query, (after_sequence,))]

    def record(
        self,
        observed_ns: int,
        cash: float,
        orders: Iterable[OrderState],
        fills: Sequence[FillRecord] = (),
        positions: Mapping[str, float] | None = None,
    ) -> None:
        """Writes what changed, all of it or nothing.

        Args:
            observed_ns: Close of the last bars that orders were traded against.
            cash: Of the account.
            orders: New ones, and those that came further.
            fills: New ones.
            positions: Those that changed.

        Raises:
            StorageError: It could not be written.
        """
        with self._storage(), self._transaction():
            self._db.execute("UPDATE account SET cash = ?, observed_ns = ?", (cash, observed_ns))
            self._db.executemany(
                "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET status = excluded.status,"
                " filled_quantity = excluded.filled_quantity, reason = excluded.reason",
                map(_order_row, orders),
            )
            if fills:
                self._db.executemany(
                    "INSERT INTO fills VALUES (?, ?, ?, ?, ?, ?, ?, ?)", map(_fill_row, fills)
                )
            if positions:
                self._db.executemany(
                    "INSERT OR REPLACE INTO positions VALUES (?, ?)", positions.items()
                )

    def _add_columns(self) -> None:
        known = {name for _, name, *_ in self._db.execute("PRAGMA table_info(orders)")}
        for column in _LATER_COLUMNS:
            if column.partition(" ")[0] not in known:
                self._db.execute(f"ALTER TABLE orders ADD COLUMN {column}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as problem:
            raise StorageError(f"paper broker's books {self._path}: {problem}") from problem


def _read_order(row: tuple[Any, ...]) -> OrderState:
    *order, status, filled, reason, kind, limit_price, stop_price, time_in_force = row
    read = Order(  # type: ignore[call-arg]  # what comes first are six values
        *order, OrderKind(kind), limit_price, stop_price, TimeInForce(time_in_force)
    )
    return OrderState(read, OrderStatus(status), filled, reason)


def _order_row(state: OrderState) -> tuple[str | float | None, ...]:
    order = state.order
    return (
        order.client_order_id, order.symbol, order.quantity, order.reference_price,
        order.submitted_ns, order.valid_until_ns, state.status, state.filled_quantity, state.reason,
        order.kind, order.limit_price, order.stop_price, order.time_in_force,
    )  # fmt: skip


def _fill_row(fill: FillRecord) -> tuple[str | float, ...]:
    return (
        fill.sequence, fill.client_order_id, fill.symbol, fill.quantity, fill.price,
        fill.reference_price, fill.fee, fill.filled_ns,
    )  # fmt: skip
