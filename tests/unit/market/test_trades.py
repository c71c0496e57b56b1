"""Bars from files of trades and quotes are those that a plain loop makes of them."""

import math
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.vendors.databento import databento_trades
from tests.data.vendors.trades import EVENTS, Event, TradeFile, trade_files
from tradewind.errors import MarketDataError
from tradewind.market import load_bars
from tradewind.market.trades import BarRule, load_trades, text
from tradewind.market.trades.building import BarBuilder, Events

FILES = [*trade_files(), *databento_trades()]
RULES = ("time:1m", "tick:100", "volume:50", "dollar:250000")


@dataclass(frozen=True)
class Made:
    """A bar by a plain loop."""

    start_ns: int
    prices: tuple[float, ...]
    volume: float


def plain_bars(events: list[Event], rule: str, of: str) -> list[Made]:
    name, _, size = rule.partition(":")
    if name == "time":
        groups = [list(part) for _, part in groupby(events, lambda event: event.ms // 60_000)]
        starts = [part[0].ms // 60_000 * 60_000 * 10**6 for part in groups]
    else:
        groups, starts, run, reached, last = [], [], [], 0.0, -math.inf
        for event in events:
            run.append(event)
            reached += {"tick": 1.0, "volume": event.size}.get(name, event.size * event.price)
            if reached >= float(size):
                starts.append(max(run[0].ms * 10**6, int(last) + 1 if groups else 0))
                last = starts[-1]
                groups.append(run)
                run, reached = [], 0.0
    made = []
    for start, part in zip(starts, groups, strict=True):
        at = [(e.price + e.ask) / 2 if of == "quotes" else e.price for e in part]
        volume = 0.0 if of == "quotes" else sum(event.size for event in part)
        made.append(Made(start, (at[0], max(at), min(at), at[-1]), volume))
    return made


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_file_of_trades_with_its_shape_gives_its_bars(tmp_path: Path, file: TradeFile) -> None:
    path = tmp_path / file.name
    path.write_bytes(file.content)
    for rule in RULES[: 4 if file.of == "trades" else 2]:
        name, _, size = rule.partition(":")
        if name in ("volume", "dollar"):
            rule = f"{name}:{int(size) * file.size_factor}"
        built = load_trades(path, rule, **file.options)
        made = plain_bars(EVENTS, f"{name}:{size}", file.of)
        bars = built.bars
        assert bars.timestamps_ns.tolist() == [bar.start_ns for bar in made]
        columns = zip(bars.open, bars.high, bars.low, bars.close, strict=True)
        assert list(columns) == [bar.prices for bar in made]
        volumes = [bar.volume * file.size_factor for bar in made]
        assert bars.volume.tolist() == pytest.approx(volumes, rel=1e-13)
        if file.of == "quotes":
            assert built.spreads is not None
            total = float(built.spreads @ built.counts)
            spreads = sum(event.ask - event.price for event in EVENTS[: built.counts.sum()])
            assert total == pytest.approx(spreads)
        else:
            assert built.spreads is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_names_in_any_encoding_leave_the_first_row_whole(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "trades.csv"
    rows = "".join(f"{1551052800 + n},10.5,2,\u00e9\n" for n in range(100))
    path.write_bytes(f"time,price,size,B\u00f6rse\n{rows}".encode(encoding))
    built = load_trades(path, "time:1m")
    assert built.counts.tolist() == [60, 40]
    assert built.bars.timestamps_ns[0] == 1551052800 * 10**9


def test_blocks_of_any_size_give_the_same_bars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trades.csv"
    path.write_bytes(FILES[0].content)
    whole = load_trades(path, "volume:50")
    monkeypatch.setattr(text, "_HEAD", 500)
    monkeypatch.setattr(text, "_BLOCK", 700)
    parts = load_trades(path, "volume:50")
    assert parts.bars.digest == whole.bars.digest
    assert parts.counts.tolist() == whole.counts.tolist()


trades = st.lists(
    st.tuples(
        st.integers(0, 3 * 10**9),
        st.floats(0.01, 1e6),
        st.floats(0.0, 1e6),
    ),
    min_size=1,
    max_size=60,
)


@given(trades, st.sampled_from(["time:1s", "tick:3", "volume:1000", "dollar:1e6"]), st.data())
def test_any_trades_in_any_parts_are_conserved(
    rows: list[tuple[int, float, float]], rule: str, data: st.DataObject
) -> None:
    times, prices, sizes = (np.array(column) for column in zip(*sorted(rows), strict=True))
    builder = BarBuilder(BarRule.parse(rule))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(times)), max_size=4)))
    for start, stop in zip([0, *cuts], [*cuts, len(times)], strict=True):
        part = slice(start, stop)
        builder.add(Events(times[part], prices[part], sizes[part], np.zeros(stop - start)))
    built = builder.finish()
    used = int(built.counts.sum())
    assert used + builder.left_over == len(times)
    assert built.volumes.sum() == pytest.approx(sizes[:used].sum())
    assert (np.diff(built.timestamps_ns) > 0).all()
    ends = np.cumsum(built.counts)
    opened, high, low, close = built.prices
    assert opened.tolist() == prices[ends - built.counts].tolist()
    assert close.tolist() == prices[ends - 1].tolist()
    assert built.last_ns.tolist() == times[ends - 1].tolist()
    for start, end, top, bottom in zip(ends - built.counts, ends, high, low, strict=True):
        assert (top, bottom) == (prices[start:end].max(), prices[start:end].min())


def test_saved_bars_are_read_back_without_an_option(tmp_path: Path) -> None:
    path = tmp_path / "EURUSD.csv"
    (file,) = [file for file in FILES if file.name == "truefx.csv"]
    path.write_bytes(file.content)
    built = load_trades(path, "time:1m")
    built.save(tmp_path / "EURUSD.parquet")
    again = load_bars(tmp_path / "EURUSD.parquet")
    assert again.digest == built.bars.digest


def with_line(number: int, row: str) -> bytes:
    lines = FILES[0].content.decode().splitlines()
    lines[number - 1] = row
    return "\n".join(lines).encode()


ROW = FILES[0].content.decode().splitlines()[699].split(",")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (with_line(700, ",".join([ROW[0], "4x", *ROW[2:]])), "line 700: .*4x.* needs an integer"),
        (with_line(700, ",".join([ROW[0], "-4", *ROW[2:]])), "line 700: .*a price above 0"),
        (with_line(700, ",".join([*ROW[:2], "-1", *ROW[3:]])), "line 700: .*a size not below 0"),
        (with_line(700, ",".join(ROW[:4])), "line 700: 4 cells instead of 7"),
        (with_line(700, ",".join([*ROW[:4], "yesterday", *ROW[5:]])), "line 700: .*yesterday"),
        (with_line(700, ",".join([*ROW[:4], "1551000000000", *ROW[5:]])), "line 700, timestamp"),
        (b"time,symbol,price,size\n1551052800,A,1,1\n1551052800,B,1,1\n", "say which as symbol"),
        (b"time,price,size,bid,ask\n1551052800,1,1,1,1\n" * 1, "say of: trades or of: quotes"),
        (b"time,price\n1551052800,1\n1551052801,1\n", "no table of bars"),
        (b"id,time,price\n1,1551052800,1\n1,1551052801,1\n", "size: missing"),
        (b"a\0b", "byte 1 is zero"),
        (b"", "the file is empty"),
    ],
)  # fmt: skip
def test_broken_file_of_trades_is_refused_at_its_line(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    path = tmp_path / "trades.csv"
    path.write_bytes(content)
    with pytest.raises(MarketDataError, match=expected):
        load_trades(path, "time:1m")


def test_parquet_of_trades_with_a_bad_price_names_its_row(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    path = tmp_path / "trades.parquet"
    table = pa.table(
        {"time": range(10**9, 10**9 + 9), "price": [1.0] * 8 + [-1.0], "size": [1] * 9}
    )
    pyarrow.parquet.write_table(table, path)
    with pytest.raises(MarketDataError, match="row 9: "):
        load_trades(path, "tick:2")


def test_quotes_without_a_side_or_crossed_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "quotes.csv"
    path.write_text(
        "time,bid,ask\n1551052800,1,2\n1551052801,,2\n1551052802,3,2\n1551052803,0,2\n"
        "1551052860,2,4\n"
    )
    built = load_trades(path, "time:1m")
    assert built.bars.close.tolist() == [1.5, 3.0]
    assert "3 quotes without a side or crossed: left out" in str(built.bars.recognised)


@pytest.mark.parametrize(
    "rule", ["", "time:7m", "time:2d", "tick:0", "tick:1.5", "range:3", "volume:x"]
)
def test_rule_that_is_none_is_refused(rule: str) -> None:
    with pytest.raises(MarketDataError, match="bars must be time:LENGTH"):
        BarRule.parse(rule)


def test_times_of_trades_are_of_a_walk_with_gaps_and_repetitions() -> None:
    steps = {later.time - earlier.time for earlier, later in pairwise(EVENTS)}
    assert timedelta(0) in steps
    assert max(steps) > timedelta(minutes=2)


def test_other_symbols_trades_before_the_first_of_the_wanted_one_are_no_bars_of_it(
    tmp_path: Path,
) -> None:
    others = 1 << 18  # more than a block
    symbols = ["AAA"] * others + ["AAA", "BBB"] * 100
    table = pa.table(
        {
            "timestamp": pa.array(np.arange(len(symbols)) * 10**9 + 1_577_836_800 * 10**9),
            "symbol": symbols,
            "price": np.where(np.array(symbols) == "BBB", 500.0, 10.0),
            "size": np.ones(len(symbols)),
        }
    )
    pq.write_table(table, tmp_path / "trades.parquet")
    with pytest.raises(MarketDataError, match="AAA alone before the first row of BBB"):
        load_trades(tmp_path / "trades.parquet", "tick:100", "BBB")
