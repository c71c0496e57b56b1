"""Files of trades and of quotes in the shapes that vendors write, from one random walk."""

import gzip
import io
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet

START = datetime(2019, 2, 25, tzinfo=UTC)


@dataclass(frozen=True)
class Event:
    """A trade, and the quote that stood beside it: cents, and thousandths of a coin."""

    time: datetime
    price: float
    size: float
    spread: float

    @property
    def ms(self) -> int:
        return round(self.time.timestamp() * 1000)

    @property
    def ask(self) -> float:
        return round(self.price + self.spread, 2)

    def stamp(self, form: str) -> str:
        return self.time.strftime(form)


def walk_events(count: int = 1200) -> list[Event]:
    draw = random.Random(count)
    events, ms, cents = [], 0, 400_000
    for _ in range(count):
        # Some in the same millisecond, and some minutes without any.
        ms += draw.choice([0, 0, 1, 40, 900, 4_000, 150_000 if draw.random() < 0.02 else 7])
        cents += draw.randint(-60, 60)
        size = draw.randint(1, 3000) / 1000
        spread = draw.randint(1, 9) / 100
        events.append(Event(START + timedelta(milliseconds=ms), cents / 100, size, spread))
    return events


EVENTS = walk_events()


@dataclass(frozen=True)
class TradeFile:
    """A file, what of it is read, the options that it needs, and in which unit its sizes are."""

    name: str
    content: bytes
    of: str = "trades"
    options: dict[str, Any] = field(default_factory=dict)
    size_factor: int = 1


def trade_files() -> list[TradeFile]:
    """Every file of the corpus."""
    agg = _text("", lambda i, e: f"{i},{e.price:.2f},{e.size:.3f},{i},{i},{e.ms},true,true")
    return [
        TradeFile(
            "BTCUSDT-trades-2019-02-25.csv",
            _text("", lambda i, e: f"{i},{e.price:.2f},{e.size:.3f},1.5,{e.ms},True,True"),
        ),
        TradeFile(
            "BTCUSDT-trades-microseconds.csv",
            _text("", lambda i, e: f"{i},{e.price:.2f},{e.size:.3f},1.5,{e.ms}000,True,True"),
        ),
        TradeFile("BTCUSDT-aggTrades.csv", agg),
        TradeFile("BTCUSDT-aggTrades.csv.gz", gzip.compress(agg)),
        TradeFile(
            "futures_header.csv",
            _text(
                "id,price,qty,quote_qty,time,is_buyer_maker",
                lambda i, e: f"{i},{e.price:.2f},{e.size:.3f},1.5,{e.ms},true",
            ),
        ),
        TradeFile(
            "agg_header.csv",
            _text(
                "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,"
                "is_buyer_maker",
                lambda i, e: f"{i},{e.price:.2f},{e.size:.3f},1,1,{e.ms},true",
            ),
        ),
        TradeFile(
            "XBTUSD.csv",
            _text("", lambda _, e: f"{e.ms / 1000:.3f},{e.price:.5f},{e.size:.8f}"),
        ),
        TradeFile(
            "bybit.csv",
            _text(
                "timestamp,symbol,side,size,price,tickDirection,trdMatchID,homeNotional",
                lambda i, e: f"{e.ms / 1000:.3f},BTCUSD,Buy,{e.size:.3f},{e.price},Plus,{i},1",
            ),
        ),
        TradeFile(
            "tardis.csv",
            _text(
                "exchange,symbol,timestamp,local_timestamp,id,side,price,amount",
                lambda i, e: f"x,XBT,{e.ms}000,{e.ms}500,{i},buy,{e.price},{e.size}",
            ),
        ),
        TradeFile(
            "polygon.csv",
            _text(
                "ticker,conditions,correction,exchange,id,participant_timestamp,price,sequence_number,"
                "sip_timestamp,size,tape,trf_id,trf_timestamp",
                lambda i, e: (
                    f'A,"12,37",0,4,{i},{e.ms}000000,{e.price},{i},{e.ms}000000,{e.size},1,0,0'
                ),
            ),
        ),
        TradeFile(
            "alpaca.csv",
            _text(
                "t,x,p,s,c,i,z",
                lambda i, e: f"{e.stamp('%Y-%m-%dT%H:%M:%S.%fZ')},V,{e.price},{e.size},@,{i},C",
            ),
        ),
        TradeFile(
            "databento_trades.csv",
            _text(
                "ts_recv,ts_event,rtype,publisher_id,instrument_id,action,side,depth,price,size,"
                "flags,ts_in_delta,sequence,symbol",
                lambda i, e: (
                    f"{e.ms}000009,{e.ms}000000,0,1,42,T,B,0,{round(e.price * 100)}0000000,"
                    f"{e.size:.3f},0,9,{i},ESH9"
                ),
            ),
        ),
        TradeFile("databento_mbp1.csv", _book(), options={"of": "trades"}),
        TradeFile("databento_mbp1_quotes.csv", _book(), of="quotes", options={"of": "quotes"}),
        TradeFile(
            "histdata_ticks.csv",
            _text(
                "",
                lambda _, e: f"{e.stamp('%Y%m%d %H%M%S%f')[:-3]},{e.price:.2f},{e.ask:.2f},0",
            ),
            of="quotes",
        ),
        TradeFile(
            "truefx.csv",
            _text(
                "",
                lambda _, e: (
                    f"EUR/USD,{e.stamp('%Y%m%d %H:%M:%S.%f')[:-3]},{e.price:.2f},{e.ask:.2f}"
                ),
            ),
            of="quotes",
        ),
        TradeFile(
            "dukascopy_ticks.csv",
            _text(
                "Gmt time,Ask,Bid,AskVolume,BidVolume",
                lambda _, e: (
                    f"{e.stamp('%d.%m.%Y %H:%M:%S.%f')[:-3]},{e.ask:.2f},{e.price:.2f},1.5,2.5"
                ),
            ),
            of="quotes",
        ),
        TradeFile("trades.parquet", _parquet()),
        TradeFile(
            "two_symbols.csv",
            _text(
                "time,symbol,price,size",
                lambda _, e: f"{e.ms},BTC,{e.price},{e.size}\n{e.ms},ETH,5,7",
            ),
            options={"symbol": "BTC"},
        ),
        TradeFile(
            "named_columns.csv",
            _text("when,paid,lots", lambda _, e: f"{e.ms},{e.price},{e.size}"),
            options={"columns": {"timestamp": "when", "price": 2, "size": "lots"}},
        ),
        TradeFile(
            "newest_first.csv",
            b"time,price,size\n" + b"".join(_text("", _plain).splitlines(keepends=True)[::-1]),
            options={"order": "newest_first"},
        ),
    ]


def _plain(_: int, event: Event) -> str:
    return f"{event.ms},{event.price},{event.size}"


def _text(header: str, line: Callable[[int, Event], str]) -> bytes:
    rows = [line(index, event) for index, event in enumerate(EVENTS)]
    return "".join(f"{row}\n" for row in ([header] if header else []) + rows).encode()


def _book() -> bytes:
    def line(index: int, event: Event) -> str:
        bid, ask = (f"{round(price * 100)}0000000" for price in (event.price, event.ask))
        return (
            f"{event.ms}000009,{event.ms}000000,1,1,42,T,B,0,{bid},{event.size:.3f},0,9,{index},"
            f"{bid},{ask},3,4,1,1,ESH9"
        )

    return _text(
        "ts_recv,ts_event,rtype,publisher_id,instrument_id,action,side,depth,price,size,flags,"
        "ts_in_delta,sequence,bid_px_00,ask_px_00,bid_sz_00,ask_sz_00,bid_ct_00,ask_ct_00,symbol",
        line,
    )


def _parquet() -> bytes:
    sink = io.BytesIO()
    columns = {
        "timestamp": pa.array([event.time for event in EVENTS], pa.timestamp("ms", "UTC")),
        "price": [event.price for event in EVENTS],
        "size": [event.size for event in EVENTS],
    }
    pyarrow.parquet.write_table(pa.table(columns), sink, row_group_size=100)
    return sink.getvalue()
