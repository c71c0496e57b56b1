"""Files of Databento's binary encoding, DBN, made with its own library."""

from datetime import UTC, datetime
from typing import Any

import databento_dbn as dbn
import pyarrow as pa

from tests.data.vendors.series import HALF_HOURS, VendorFile
from tests.data.vendors.trades import EVENTS, TradeFile

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def databento_bars() -> list[VendorFile]:
    message: Any = dbn.OHLCVMsg  # Its stub is of an older version.
    records = [
        message(
            dbn.RType.from_schema(dbn.Schema("ohlcv-1m")),
            1,
            42,
            row.seconds * 10**9,
            *(_fixed(price) for price in (row.open, row.high, row.low, row.close)),
            round(row.volume),
        )
        for row in HALF_HOURS
    ]
    rows = [type(row)(row.time, row.open, row.high, row.low, row.close, float(round(row.volume)))
            for row in HALF_HOURS]  # fmt: skip
    content = _header(dbn.Schema("ohlcv-1m")) + b"".join(bytes(record) for record in records)
    packed = pa.compress(content, codec="zstd", asbytes=True)
    return [VendorFile("ES.dbn", content, rows), VendorFile("ES.dbn.zst", packed, rows)]


def databento_trades() -> list[TradeFile]:
    records = [
        dbn.TradeMsg(
            1, 42, event.ms * 10**6, _fixed(event.price), round(event.size * 1000),
            dbn.Action("T"), dbn.Side("B"), 0, event.ms * 10**6 + 9,
        )
        for event in EVENTS
    ]  # fmt: skip
    content = _header(dbn.Schema("trades")) + b"".join(bytes(record) for record in records)
    return [TradeFile("ES.trades.dbn", content, size_factor=1000)]


def _header(schema: dbn.Schema) -> bytes:
    metadata = dbn.Metadata(
        "GLBX.MDP3",
        0,
        dbn.SType("raw_symbol"),
        dbn.SType("instrument_id"),
        schema,
        ["ESH9"],
        [],
        [],
        [],
    )
    return metadata.encode()


def _fixed(price: float) -> int:
    return round(price * 100) * 10_000_000
