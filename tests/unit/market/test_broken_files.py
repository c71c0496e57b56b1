"""Files that hold no bars, or some that cannot be told for sure, are refused with their line."""

import bz2
import gzip
import io
import os
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from tests.data.vendors.databento import databento_bars
from tests.data.vendors.series import HALF_HOURS, Row, lines, walk
from tradewind.errors import MarketDataError
from tradewind.market import load_bars
from tradewind.market.reading import source

HEADER = "timestamp,open,high,low,close,volume"
ISO = "%Y-%m-%d %H:%M:%S"
BERLIN = ZoneInfo("Europe/Berlin")
SPRING = walk(200, timedelta(minutes=30), start=HALF_HOURS[0].time.replace(month=3, day=29))
AUTUMN = walk(200, timedelta(minutes=30), start=HALF_HOURS[0].time.replace(month=10, day=25))


def plain(row: Row) -> str:
    return f"{row.stamp(ISO)},{row.ohlcv}"


def local(row: Row) -> str:
    return f"{row.stamp(ISO, BERLIN)},{row.ohlcv}"


def good(line: Callable[[Row], str] = plain, rows: list[Row] = HALF_HOURS) -> list[str]:
    return lines(HEADER, rows, line).splitlines()


def with_line(number: int, text: str, **options: Any) -> str:
    """A good file whose line, as an editor counts, is another one."""
    table = good(**options)
    table[number - 1] = text
    return "\n".join(table) + "\n"


def line_of(rows: list[Row], form: str, zone: ZoneInfo, *, nth: int = 0) -> int:
    return [i for i, row in enumerate(rows) if row.stamp(ISO, zone) == form][nth] + 2


def row_with(number: int, **values: str) -> str:
    cells = dict(zip(HEADER.split(","), good()[number - 1].split(","), strict=True))
    return ",".join((cells | values).values())


BROKEN: dict[str, tuple[str | bytes, str]] = {
    "nothing": ("", "the file is empty"),
    "white space": ("\n\n  \n", "nothing but empty lines|no table of bars"),
    "header only": (HEADER + "\n", "there is no row after the header|no table of bars"),
    "prose": ("Dear customer,\nyour bars are ready.\n", "no table of bars"),
    "binary": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00", "not text: byte 8 .line 3. is zero"),
    "zero byte": ("\n".join(good()[:50]).encode() + b"\n1\x00", "line 51. is zero"),
    "two header lines": (with_line(2, HEADER), "two header lines; the other is line 2"),
    "header again": (with_line(300, HEADER), "line 300, open: 'open' is not a number"),
    "letters in a price": (
        with_line(77, row_with(77, low="39x1.5")), "line 77, low: '39x1.5' is not a number"
    ),
    "a unit in a price": (with_line(9, row_with(9, open="4k")), "line 9, open: '4k' is not"),
    "negative price": (with_line(12, row_with(12, low="-5")), "line 12, low: -5.0 must be a fin"),
    "zero price": (with_line(12, row_with(12, open="0")), "line 12, open: 0.0 must be a finite"),
    "NaN": (with_line(402, row_with(402, close="NaN")), "line 402, close: nan must be a finite"),
    "null row": (
        with_line(30, f"{good()[29][:19]},null,null,null,null,null"), "line 30, open: 'null' is not"
    ),
    "negative volume": (with_line(8, row_with(8, volume="-3")), "line 8, volume: -3.0 must be a"),
    "infinite volume": (with_line(8, row_with(8, volume="inf")), "line 8, volume: inf must be a"),
    "high below low": (with_line(5, row_with(5, high="1")), "line 5, high: 1.0 is below the open"),
    "row cut in the middle": (with_line(200, good()[199][:30]), "line 200: 3 cells instead of 6"),
    "two rows in one line": (
        with_line(200, good()[199] + good()[200]), "line 200: 11 cells instead of 6"
    ),
    "last row cut": ("\n".join(good())[:-20], "line 501: 4 cells instead of 6"),
    "first row cut": (with_line(2, "2019-02-25 00:00:00,4000"), "line 2: 2 cells instead of 6"),
    "blank lines before": (
        "\n" + with_line(77, row_with(77, low="x")).replace("\n", "\n\n", 3), "line 81, low: 'x'"
    ),
    "a quote left open": (with_line(40, '"' + good()[39]), "line 40"),
    "trailing delimiters": (
        HEADER + "\n" + "".join(f"{line},\n" for line in good()[1:]),
        "line 1: 6 cells, the rows below have 7"
    ),
    "mixed zones": (
        with_line(250, f"{good()[249][:19]}Z" + good()[249][19:]),
        "line 250, timestamp: '.*Z' is not an ISO 8601 time without an offset",
    ),
    "an offset is missing": (
        with_line(60, good()[59], line=lambda r: f"{r.stamp(ISO)}+00:00,{r.ohlcv}"),
        "line 60, timestamp: .* is not an ISO 8601 time with an offset",
    ),
    "another zone": (
        with_line(
            60,
            f"20190226 05:00:00 US/Central,{HALF_HOURS[58].ohlcv}",
            line=lambda r: f"{r.stamp('%Y%m%d %H:%M:%S')} US/Eastern,{r.ohlcv}",
        ),
        "line 60, timestamp: '20190226 05:00:00 US/Central' is not a time written as",
    ),
    "abbreviated zone": (
        "\n".join(good(lambda r: f"{r.stamp('%Y%m%d %H:%M:%S')} EST,{r.ohlcv}")),
        "'20190225 00:00:00 EST' is of no known form",
    ),
    "an hour that clocks repeat": (
        "\n".join(good(local, AUTUMN)),
        f"line {line_of(AUTUMN, '2019-10-27 02:00:00', BERLIN, nth=1)}, timestamp: is earlier",
    ),
    "an hour that clocks skip": (
        "\n".join(good(local, SPRING)),
        f"line {line_of(SPRING, '2019-03-31 03:00:00', BERLIN)}: the hour before it is missing",
    ),
    "same time, other prices": (
        with_line(90, good()[88][:19] + good()[89][19:]),
        "line 90, timestamp: repeats the time of the row before it",
    ),
    "a row out of order": (
        with_line(90, good()[70][:19] + good()[89][19:]), "line 90, timestamp: is earlier than"
    ),
    "newest first, a row out of order": (
        "\n".join([HEADER, *(good()[1:101][::-1]), good()[51]]),
        "line 102, timestamp: is later than the row before it",
    ),
    "seconds, then milliseconds": (
        with_line(100, f"{HALF_HOURS[98].seconds}000,{HALF_HOURS[98].ohlcv}",
                  line=lambda r: f"{r.seconds},{r.ohlcv}"),
        "line 100, timestamp: .* is not an integer number of s since the epoch",
    ),
    "milliseconds, then seconds": (
        with_line(100, f"{HALF_HOURS[98].seconds},{HALF_HOURS[98].ohlcv}",
                  line=lambda r: f"{r.seconds}000,{r.ohlcv}"),
        "line 100, timestamp: is earlier than",
    ),
    "days and months in both orders": (
        with_line(40, f"13/03/2019 00:00,{HALF_HOURS[38].ohlcv}",
                  line=lambda r: f"{r.stamp('%m/%d/%Y %H:%M')},{r.ohlcv}"),
        "timestamp: '.*' is not a time written as day/month/year",
    ),
    "32 January": (
        with_line(40, f"2019-01-32 00:00:00,{HALF_HOURS[38].ohlcv}"), "line 40, timestamp: "
    ),
    "year 2500": (
        with_line(501, f"2500-01-01 00:00:00,{HALF_HOURS[-1].ohlcv}"), "line 501, timestamp: "
    ),
    "hours as seconds": (
        "\n".join(good(lambda r: f"{r.stamp('%Y%m%d%H')},{r.ohlcv}", HALF_HOURS[::2])),
        "may be seconds since the epoch, or year, month, day and hour",
    ),
    "decimal commas, one point": (
        lines("timestamp;open;high;low;close", HALF_HOURS[:50],
              lambda r: f"{r.stamp(ISO)};{r.ohlc.replace(',', ';').replace('.', ',')}")
        + f"{HALF_HOURS[50].stamp(ISO)};{HALF_HOURS[50].ohlc.replace(',', ';')}\n",
        "is not a number",
    ),
    "three digits after each comma": (
        lines("timestamp;open;high;low;close", HALF_HOURS, lambda r: r.stamp(ISO) + ";1,234" * 4),
        "commas separate decimals or thousands, and no number says which; say decimal:",
    ),
    "three digits after each point": (
        lines("timestamp;open;high;low;close", HALF_HOURS, lambda r: r.stamp(ISO) + ";1.234" * 4),
        "points separate decimals or thousands .1.234., and no number says which; say decimal:",
    ),
    "no header, eight columns": (
        lines("", HALF_HOURS, lambda r: f"{r.seconds},{r.ohlcv},1,2"),
        "no header, and 8 columns of no known form",
    ),
    "no header, close before open": (
        lines("", HALF_HOURS, lambda r: f"{r.seconds},{r.close},{r.high},{r.low},{r.open},1"),
        "opens and closes seem to be the other way round",
    ),
    "no header, low before high": (
        lines("", HALF_HOURS, lambda r: f"{r.seconds},{r.open},{r.low},{r.high},{r.close},1"),
        "line 1, high: .* is below the open, low or close",
    ),
    "no header, a price in the place of volume": (
        lines("", HALF_HOURS, lambda r: f"{r.seconds},{r.ohlc},{r.close}"),
        "where volume is expected seems to be a price: say columns",
    ),
    "volume in money": (
        lines("unix,open,high,low,close,Volume USD", HALF_HOURS, lambda r: f"{r.seconds},{r.ohlcv}")
        + "\n",
        "volume: it is in money alone .Volume USD.; say columns: volume",
    ),
    "times that a spreadsheet rounded": (
        lines(HEADER, HALF_HOURS, lambda r: f"{r.seconds * 1000:.5E},{r.ohlcv}"),
        "line 2: column timestamp: 1.55105E.12 was rounded by the program that saved it",
    ),
    "local times of an unknown place": (
        lines("Local time,Open,High,Low,Close", HALF_HOURS, lambda r: f"{r.stamp(ISO)},{r.ohlc}"),
        "Local time holds times of a place, without an offset; say tz: its zone",
    ),
    "two volumes": (
        lines(f"{HEADER},Volume", HALF_HOURS, lambda r: f"{plain(r)},1"),
        "volume: there are 2 columns for it .volume, Volume.; say columns: volume",
    ),
    "no close": (
        lines("timestamp,open,high,low,settle", HALF_HOURS, lambda r: f"{r.seconds},{r.ohlc}"),
        "close: missing",
    ),
    "workbook": (b"", "it is a workbook; save its sheet as CSV"),
    "two files in a zip": (b"", "must hold one file, not 2 .a.csv, b.csv."),
    "a line without an end": (
        "\n".join(good()) + "\n" + "7" * (2**20 + 1), "line 502 has more than 1,048,576 bytes"
    ),
    "nothing but a line without an end": ("7" * (2**20 + 1), "line 1 has more than 1,048,576"),
    "gzip that fills memory": (
        gzip.compress(HEADER.encode() + b"\n" + b"0" * (65 * 2**20), 1),
        "unpack to more than 67,108,864: if that is right, unpack it yourself",
    ),
    "bzip2 cut short": (bz2.compress("\n".join(good()).encode())[:-20], "damaged bzip2"),
    "zstd cut short": (
        pa.compress("\n".join(good()).encode(), codec="zstd", asbytes=True)[:-20], "damaged zstd"
    ),
    "DBN cut short": (databento_bars()[0].content[:-9], "damaged DBN: it ends within a record"),
    "a tape archive": (b"bars.csv\0\0\0\0000644", "not text: byte 8 .line 1. is zero"),
    "gzip cut short": (gzip.compress("\n".join(good()).encode())[:-200], "damaged gzip"),
    "a byte order mark, then no UTF-8": (
        b"\xef\xbb\xbf" + with_line(30, "\xaf,1,2").encode("latin-1"),
        "line 30: 3 cells instead of 6",
    ),
    "UTF-16 cut short": ("\n".join(good()).encode("utf-16")[:-1], "begins as UTF-16"),
}  # fmt: skip


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, "\n".join(good()))
    return buffer.getvalue()


@pytest.mark.parametrize("case", BROKEN)
def test_broken_file_with_its_fault_is_refused_at_its_line(tmp_path: Path, case: str) -> None:
    content, expected = BROKEN[case]
    if case == "workbook":
        content = archive("[Content_Types].xml", "xl/workbook.xml")
    elif case == "two files in a zip":
        content = archive("a.csv", "b.csv")
    path = tmp_path / "bars.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(MarketDataError, match=expected):
        load_bars(path)


@pytest.mark.parametrize(
    ("rows", "first"), [(SPRING, None), (AUTUMN, "2019-10-27 02:00:00")], ids=["spring", "autumn"]
)
def test_local_times_with_their_zone_are_right_but_where_clocks_repeat(
    tmp_path: Path, rows: list[Row], first: str | None
) -> None:
    path = tmp_path / "bars.csv"
    path.write_text("\n".join(good(local, rows)))
    if first is None:
        bars = load_bars(path, tz="Europe/Berlin")
        assert bars.timestamps_ns.tolist() == [row.seconds * 10**9 for row in rows]
        return
    line = line_of(rows, first, BERLIN)
    with pytest.raises(MarketDataError, match=f"line {line}, timestamp: .*clocks of Europe/Berlin"):
        load_bars(path, tz="Europe/Berlin")


def test_time_that_clocks_skip_with_its_zone_is_refused_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text("\n".join(good(plain, SPRING)))
    line = line_of(SPRING, "2019-03-31 02:00:00", ZoneInfo("UTC"))
    with pytest.raises(MarketDataError, match=f"line {line}, timestamp: .*clocks of Europe/Berlin"):
        load_bars(path, tz="Europe/Berlin")


def test_hour_missing_when_clocks_skip_with_utc_named_is_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text("\n".join(good(local, SPRING)))
    bars = load_bars(path, tz="UTC")
    (gap,) = bars.gaps()
    assert gap.missing_bar_count == 2


def test_file_that_grows_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bars.csv"
    path.write_text("\n".join(good()))
    looks: list[int] = []

    def look(descriptor: int) -> os.stat_result:
        if looks:
            with path.open("a") as file:
                file.write("\n2019-03-08 00:00:00,1,1,1,1,1")
        looks.append(descriptor)
        return os.stat(descriptor)

    monkeypatch.setattr(f"{source.__name__}.os.fstat", look)
    with pytest.raises(MarketDataError, match="it changed while it was read"):
        load_bars(path)


def test_table_of_ten_thousand_columns_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    names, cells = (",".join(f"{sign}{n}" for n in range(10_000)) for sign in ("x", "1"))
    path.write_text(lines(f"{HEADER},{names}", HALF_HOURS[:20], lambda r: f"{plain(r)},{cells}"))
    assert len(load_bars(path)) == 20


def test_huge_volumes_and_rounded_highs_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    high = HALF_HOURS[40].close * (1 - 1e-10)
    close = HALF_HOURS[40].close
    path.write_text(
        with_line(42, f"{HALF_HOURS[40].stamp(ISO)},{close},{high!r},{close},{close},1e15")
    )
    bars = load_bars(path)
    assert bars.volume[40] == 1e15
    assert bars.high[40] == close
    assert "1 bars whose high or low was off by rounding (1e-9): clamped" in str(bars.recognised)
