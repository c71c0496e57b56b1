import gzip
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from tradewind.errors import MarketDataError
from tradewind.market import Bars, load_bars

HEADER = "timestamp,open,high,low,close,volume"
START = datetime(2019, 3, 1, tzinfo=UTC)
SECONDS = int(START.timestamp())

WriteCsv = Callable[..., Path]


@pytest.fixture
def write_csv(tmp_path: Path) -> WriteCsv:
    def write(*rows: str, header: str = HEADER, name: str = "ABC.csv") -> Path:
        path = tmp_path / name
        content = "\n".join([header, *rows, ""]).encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


def refused(path: Path, **options: Any) -> list[str]:
    with pytest.raises(MarketDataError) as error:
        load_bars(path, **options)
    return [str(violation) for violation in error.value.violations] or [str(error.value)]


def starts(bars: Bars) -> list[int]:
    return [int(time) // 10**9 - SECONDS for time in bars.timestamps_ns]


@pytest.mark.parametrize("name", ["ABC.csv", "ABC.csv.gz", "abc.CSV"])
def test_csv_with_any_column_order_and_extra_columns_is_read(
    write_csv: WriteCsv, name: str
) -> None:
    path = write_csv(
        "a,10.5,1,9.5,11,10,2019-03-01 00:00:00",
        "b,10.25,2,9,12,10.5,2019-03-01 00:01:00",
        header="note,close,volume,low,high,open,timestamp",
        name=name,
    )
    bars = load_bars(path)
    assert bars.symbol == name.partition(".")[0]
    assert bars.interval_ns == 60 * 10**9
    assert starts(bars) == [0, 60]
    assert bars.open.tolist() == [10.0, 10.5]
    assert bars.high.tolist() == [11.0, 12.0]
    assert bars.low.tolist() == [9.5, 9.0]
    assert bars.close.tolist() == [10.5, 10.25]
    assert bars.volume.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2019-03-01T00:00:00Z", "2019-03-01T00:01:00Z"),
        ("2019-03-01 00:00", "2019-03-01 00:01"),
        ("2019-03-01 01:00:00+01:00", "2019-02-28T19:01:00-0500"),
        ("2019-03-01T00:00:00.000", "2019-03-01T00:01:00.000"),
        (" 2019-03-01 00:00:00 ", "2019-03-01 00:01:00"),
        (str(SECONDS), str(SECONDS + 60)),
        (f"{SECONDS}000", f"{SECONDS + 60}000"),
        (f"{SECONDS}000000", f"{SECONDS + 60}000000"),
        (f"{SECONDS}000000000", f"{SECONDS + 60}000000000"),
    ],
)
def test_csv_with_each_form_of_time_gives_the_same_instant(
    write_csv: WriteCsv, first: str, second: str
) -> None:
    bars = load_bars(write_csv(f"{first},1,1,1,1,0", f"{second},1,1,1,1,0"), "XYZ")
    assert starts(bars) == [0, 60]
    assert bars.symbol == "XYZ"


def test_csv_with_epoch_before_1973_needs_the_unit(write_csv: WriteCsv) -> None:
    path = write_csv("60000,1,1,1,1,0", "120000,1,1,1,1,0")
    assert "the unit of 60000 cannot be told by its size" in refused(path)[0]
    assert load_bars(path, timestamp_unit="ms").timestamps_ns.tolist() == [60 * 10**9, 120 * 10**9]


def test_csv_with_an_unknown_unit_is_refused(write_csv: WriteCsv) -> None:
    path = write_csv("60000,1,1,1,1,0", "120000,1,1,1,1,0")
    assert "timestamp_unit must be one of s, ms, us, ns" in refused(path, timestamp_unit="min")[0]


def test_csv_with_epochs_of_two_units_is_refused_with_the_row(write_csv: WriteCsv) -> None:
    path = write_csv(f"{SECONDS},1,1,1,1,0", f"{SECONDS + 60}000,1,1,1,1,0")
    assert refused(path) == [
        f"line 3, timestamp: {SECONDS + 60}000 is not an integer number of s since the epoch"
    ]


def test_csv_with_cells_that_do_not_parse_names_rows_columns_and_text(write_csv: WriteCsv) -> None:
    path = write_csv(
        "2019-03-01 00:00:00,1,1,1,1,0",
        "2019-03-01 00:01:00,1,1,x1,1,",
        "March the first,1,1,1,1;0,0",
    )
    assert refused(path) == [
        "line 3, low: 'x1' is not a number",
        "line 3, volume: '' is not a number",
        "line 4, close: '1;0' is not a number",
        "line 4, timestamp: 'March the first' is not an ISO 8601 time without an offset from UTC "
        "(as in the first row) from 1677 to 2262",
    ]


def test_csv_with_thousands_of_bad_cells_reports_the_first_and_the_count(
    write_csv: WriteCsv,
) -> None:
    path = write_csv(*(f"{SECONDS + i},1,1,1,oops,0" for i in range(3000)))
    with pytest.raises(MarketDataError, match="the first 20 of 3000") as error:
        load_bars(path)
    assert str(error.value.violations[19]) == "line 21, close: 'oops' is not a number"


def test_csv_with_impossible_bars_names_lines(write_csv: WriteCsv) -> None:
    path = write_csv(
        "2019-03-01 00:00:00,1,1,1,1,0",
        "2019-03-01 00:01:00,1,2,3,1,0",
        "2019-03-01 00:01:00,1,1,1,1,nan",
    )
    assert refused(path) == [
        "line 3, high: 2.0 is below the open, low or close of its bar",
        "line 4, timestamp: repeats the time of the row before it",
        "line 4, volume: nan must be a finite number from 0 to 1e+30",
    ]


def test_csv_with_torn_rows_names_them(write_csv: WriteCsv) -> None:
    path = write_csv("2019-03-01 00:00:00,1,1,1,1,0", "2019-03-01 00:01:00,1,1", "1,2,3,4,5,6,7")
    assert refused(path) == [
        "line 3: 3 cells instead of 6: '2019-03-01 00:01:00,1,1'",
        "line 4: 7 cells instead of 6: '1,2,3,4,5,6,7'",
    ]


def test_csv_with_missing_and_repeated_columns_names_them(write_csv: WriteCsv) -> None:
    path = write_csv("1,1,1,1,1", header="timestamp,open,Open,Low,close")
    with pytest.raises(MarketDataError, match="it has timestamp, open, Open, Low, close"):
        load_bars(path)
    assert refused(path) == [
        "open: there are 2 columns for it (open, Open); say columns: open",
        "high: missing",
    ]


def test_csv_without_rows_is_refused(write_csv: WriteCsv) -> None:
    assert "has no bars: there is no row after the header" in refused(write_csv())[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("binary.csv", b"\xff\xfe\x00\x01,\x80"),
        ("not-gzip.csv.gz", b"timestamp"),
        ("not-parquet.parquet", b"timestamp,open"),
        ("bars.xlsx", b"PK"),
    ],
)
def test_file_that_is_not_what_its_name_says_is_refused(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert str(path) in refused(path)[0]


def test_file_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert "cannot read" in refused(tmp_path / "none.csv")[0]
    assert "cannot read" in refused(tmp_path / "none.parquet")[0]


@pytest.fixture
def write_parquet(tmp_path: Path) -> Callable[..., Path]:
    def write(timestamps: pa.Array, **columns: pa.Array) -> Path:
        count = len(timestamps)
        table = {"timestamp": timestamps} | {
            name: columns.get(name, pa.array([5.0] * count))
            for name in ("open", "high", "low", "close", "volume")
        }
        path = tmp_path / "ABC.parquet"
        pyarrow.parquet.write_table(pa.table(table), path)
        return path

    return write


MINUTES = [START, START + timedelta(minutes=1)]


@pytest.mark.parametrize(
    "timestamps",
    [
        pa.array(MINUTES, pa.timestamp("s", "UTC")),
        pa.array(MINUTES, pa.timestamp("ns", "America/New_York")),
        pa.array([time.replace(tzinfo=None) for time in MINUTES], pa.timestamp("us")),
        pa.array([int(time.timestamp()) * 1000 for time in MINUTES], pa.int64()),
        pa.array([int(time.timestamp()) for time in MINUTES], pa.int32()),
        pa.array([time.isoformat() for time in MINUTES], pa.string()),
        pa.array([time.isoformat() for time in MINUTES], pa.large_string()),
    ],
    ids=str,
)
def test_parquet_with_each_type_of_time_gives_the_same_instant(
    write_parquet: Callable[..., Path], timestamps: pa.Array
) -> None:
    assert starts(load_bars(write_parquet(timestamps))) == [0, 60]


def test_parquet_with_daily_dates_and_other_number_types_is_read(
    write_parquet: Callable[..., Path],
) -> None:
    path = write_parquet(
        pa.array([date(2019, 3, 1), date(2019, 3, 2)]),
        volume=pa.array([7, 8], pa.uint32()),
        close=pa.array(["5.0", " 5 "]),
    )
    bars = load_bars(path)
    assert starts(bars) == [0, 86_400]
    assert bars.volume.tolist() == [7.0, 8.0]
    assert bars.close.tolist() == [5.0, 5.0]


def test_parquet_with_nulls_names_the_cells(write_parquet: Callable[..., Path]) -> None:
    path = write_parquet(
        pa.array([MINUTES[0], None], pa.timestamp("s")), close=pa.array([None, 5.0])
    )
    assert refused(path) == ["row 1, close: is missing", "row 2, timestamp: is missing"]


@pytest.mark.parametrize(
    "first", [pa.array([None, 1], pa.int64()), pa.array([None, "2019"], pa.string())], ids=str
)
def test_parquet_with_a_null_as_first_time_is_refused(
    write_parquet: Callable[..., Path], first: pa.Array
) -> None:
    assert "timestamp" in refused(write_parquet(first))[0]


def test_parquet_with_times_outside_64_bits_names_the_cell(
    write_parquet: Callable[..., Path],
) -> None:
    path = write_parquet(pa.array([SECONDS, 10**11], pa.timestamp("s")))
    (violation,) = refused(path)
    assert violation.startswith("row 2, timestamp: ")
    assert violation.endswith("is not a time from 1677 to 2262")


def test_parquet_with_floating_point_times_needs_the_unit_of_small_ones(
    write_parquet: Callable[..., Path],
) -> None:
    path = write_parquet(pa.array([1.0, 2.0]))
    assert "the unit of 1.0 cannot be told by its size" in refused(path)[0]
    assert load_bars(path, timestamp_unit="s").timestamps_ns.tolist() == [10**9, 2 * 10**9]
