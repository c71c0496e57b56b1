"""Bars out of a table of an SQLite database: a data source from outside."""

import contextlib
import re
import sqlite3
from pathlib import Path

import numpy as np
from pydantic import Field

from tradewind.errors import MarketDataError
from tradewind.market import Bars
from trainer_service import DataSource


class SqliteBars(DataSource):
    """Reads `time` (seconds since the epoch), `open`, `high`, `low`, `close`, `volume`."""

    database: Path
    """The file."""

    table: str = Field(pattern=r"^[A-Za-z_]\w*$")
    """The table; it cannot be a parameter of a query, so what it may be is narrow."""

    symbol: str = Field(min_length=1)
    """What the bars are of."""

    def load(self) -> Bars:
        """Reads them, oldest first."""
        assert re.fullmatch(r"[A-Za-z_]\w*", self.table)
        query = f"SELECT time, open, high, low, close, volume FROM {self.table} ORDER BY time"  # noqa: S608
        opened = sqlite3.connect(f"{self.database.absolute().as_uri()}?mode=ro", uri=True)
        with contextlib.closing(opened) as connection:
            rows = connection.execute(query).fetchall()
        if not rows:
            raise MarketDataError(f"{self.table} of {self.database} has no bars")
        time, opens, high, low, close, volume = np.array(rows, dtype=np.float64).T
        nanoseconds = np.round(time).astype(np.int64) * 1_000_000_000
        return Bars(self.symbol, nanoseconds, opens, high, low, close, volume)
