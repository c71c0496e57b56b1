"""Bars of a folder: many files, many symbols, and files that contradict each other."""

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from tradewind.errors import MarketDataError
from tradewind.market import BarPanel, Bars, load_bars, load_sample
from tradewind.market.saving import save_bars, table_of_bars
from trainer_service.training.config import JobConfig
from trainer_service.training.workspace import make_environment

BTC, ETH = load_sample("BTC").slice(0, 3_000), load_sample("ETH").slice(0, 3_000)


def save(bars: Bars, path: Path) -> None:
    save_bars(bars, path)


def same(found: Bars, expected: Bars) -> bool:
    return found.digest == expected.digest


def notes(bars: Bars) -> str:
    assert bars.recognised is not None
    return "; ".join(bars.recognised.notes)


def test_folder_of_files_in_any_order_and_form_gives_the_bars_of_all(tmp_path: Path) -> None:
    save(BTC.slice(2_000, 3_000), tmp_path / "1.parquet")  # names say nothing of times
    save(BTC.slice(0, 1_000), tmp_path / "10.csv")
    save(BTC.slice(1_000, 2_000), tmp_path / "2.csv")
    packed = tmp_path / "year=2017" / "2.csv.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress((tmp_path / "2.csv").read_bytes()))
    (tmp_path / "2.csv").unlink()
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "_SUCCESS").write_text("")
    (tmp_path / ".hidden.csv").write_text("none")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    found = load_bars(tmp_path, "BTC")
    assert same(found, BTC)
    assert found.recognised is not None
    assert "3 file(s): " in found.recognised.form
    assert "2 other file(s) left alone: loop/ (a link), README.md" in notes(found)
    assert load_bars(tmp_path).symbol == tmp_path.name


@pytest.mark.parametrize("kind", ["partitions", "column", "names"])
def test_folder_of_several_symbols_takes_the_one_that_is_named(kind: str, tmp_path: Path) -> None:
    for at in (0, 1_500):
        parts = [bars.slice(at, at + 1_500) for bars in (BTC, ETH)]
        if kind == "column":
            save_bars(parts, tmp_path / f"{at}.parquet")
            continue
        for part in parts:
            folder = f"symbol={part.symbol}%2FUSD/" if kind == "partitions" else ""
            save(part, tmp_path / f"{folder}{part.symbol}-30m-{at}.parquet")
    symbol = "ETH/USD" if kind == "partitions" else "ETH"
    found = load_bars(tmp_path, symbol)
    assert found.symbol == symbol
    assert found.close.tolist() == ETH.close.tolist()
    wrong = "both have a bar of 2017" if kind == "names" else "say which as symbol: BTC"
    for name in (None, "DOGE"):
        with pytest.raises(MarketDataError, match=wrong):
            load_bars(tmp_path, name)


def test_folder_with_one_symbol_in_folders_is_called_after_it(tmp_path: Path) -> None:
    save(BTC, tmp_path / "symbol=XBT" / "bars.parquet")
    assert load_bars(tmp_path).symbol == "XBT"


def test_folder_with_a_file_of_another_symbol_alone_leaves_it_alone(tmp_path: Path) -> None:
    save_bars([BTC.slice(0, 1_000), ETH.slice(0, 1_000)], tmp_path / "1.parquet")
    other = table_of_bars(ETH.slice(1_000, 3_000), named=True)
    pyarrow.parquet.write_table(other, tmp_path / "2.parquet")
    found = load_bars(tmp_path, "BTC")
    assert same(found, BTC.slice(0, 1_000))
    assert "files that are of other symbols alone (ETH) left alone" in notes(found)


def test_folder_with_overlapping_files_takes_equal_bars_once_and_refuses_different_ones(
    tmp_path: Path,
) -> None:
    save(BTC.slice(0, 1_001), tmp_path / "a.parquet")
    save(BTC.slice(999, 3_000), tmp_path / "b.csv")
    found = load_bars(tmp_path, "BTC")
    assert same(found, BTC)
    assert "files overlap: 2 bars that stand in two alike are taken once" in notes(found)
    save(ETH.slice(2_990, 3_000), tmp_path / "c.parquet")
    with pytest.raises(MarketDataError, match=r"b.csv and c.parquet both have a bar of 2017-.* op"):
        load_bars(tmp_path, "BTC")


def test_folder_with_files_of_different_lengths_is_refused_whichever_is_longer(
    tmp_path: Path,
) -> None:
    for hours, halves in ((1_000, 100), (100, 1_000)):
        folder = tmp_path / str(hours)
        save(BTC.slice(0, 2 * hours).resample("1h"), folder / "hours.parquet")
        start = 2 * hours
        save(BTC.slice(start, start + halves), folder / "halves.parquet")
        with pytest.raises(MarketDataError, match=r"different lengths: .* 1800 s.*keep them apart"):
            load_bars(folder, "BTC")


def test_folder_with_months_first_and_days_first_is_refused(tmp_path: Path) -> None:
    head = "Date,Open,High,Low,Close\n"
    (tmp_path / "us.csv").write_text(head + "03/13/2019,1,1,1,1\n03/14/2019,1,1,1,1\n")
    (tmp_path / "uk.csv").write_text(head + "15/03/2019,1,1,1,1\n16/03/2019,1,1,1,1\n")
    with pytest.raises(MarketDataError, match=r"month first \(us.csv\) and .* day first \(uk.csv"):
        load_bars(tmp_path, "A")


def test_folder_without_bars_or_with_a_broken_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError, match="holds no files of bars"):
        load_bars(tmp_path)
    save(BTC, tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text("Date,Open,High,Low,Close\n2019-03-13,1,x,1,1\n")
    with pytest.raises(MarketDataError, match=r"b.csv has bars .*line 2, high: 'x' is not a numb"):
        load_bars(tmp_path, "BTC")
    (tmp_path / "b.csv").write_text("Date,Open\n2019-03-13,1\n")
    with pytest.raises(MarketDataError, match=r"b.csv"):
        load_bars(tmp_path, "BTC")


def test_parquet_of_several_symbols_names_rows_as_the_file_counts_them(tmp_path: Path) -> None:
    table = pa.concat_tables([table_of_bars(bars.slice(0, 50), named=True) for bars in (ETH, BTC)])
    close = table["close"].to_numpy().copy()
    close[70] = -1.0
    place = table.column_names.index("close")
    path = tmp_path / "both.parquet"
    pyarrow.parquet.write_table(table.set_column(place, "close", pa.array(close)), path)
    with pytest.raises(MarketDataError, match="row 71, close: -1.0 must be"):
        load_bars(path, "BTC")
    assert same(load_bars(path, "ETH"), ETH.slice(0, 50))


def test_folder_with_files_without_rows_goes_on_without_them(tmp_path: Path) -> None:
    schema = table_of_bars(BTC, named=False).schema
    pyarrow.parquet.write_table(schema.empty_table(), tmp_path / "none.parquet")
    (tmp_path / "header.csv").write_text("Date,Open,High,Low,Close\n")
    with pytest.raises(MarketDataError, match="its files have no rows"):
        load_bars(tmp_path, "BTC")
    save(BTC, tmp_path / "z.parquet")
    found = load_bars(tmp_path, "BTC")
    assert same(found, BTC)
    assert "header.csv has no rows; none.parquet has no rows" in notes(found)
    (tmp_path / "self.csv").symlink_to(tmp_path / "self.csv")
    with pytest.raises(MarketDataError, match=r"cannot read .*self.csv: Too many levels of symbol"):
        load_bars(tmp_path, "BTC")


MEASURE = """
import sys
import pyarrow
from tradewind.market import load_bars
bars = load_bars(sys.argv[1], "S3")
print(len(bars), pyarrow.default_memory_pool().max_memory())
"""


@pytest.mark.parametrize("layout", ["file", "folder"])
def test_symbol_out_of_many_takes_memory_for_itself_not_for_the_whole(
    layout: str, tmp_path: Path
) -> None:
    symbols, count = 40, 60_000
    times = np.arange(count, dtype=np.int64) * 60 * 10**9 + 1_500_000_000 * 10**9
    prices = np.random.default_rng(1).uniform(1.0, 2.0, count)
    bars = Bars("S0", times, prices, prices, prices, prices, prices)
    data = tmp_path / ("all.parquet" if layout == "file" else "all")
    if layout == "folder":
        data.mkdir()
    table = table_of_bars(bars, named=False)
    schema = table.schema.insert(0, pa.field("symbol", pa.string()))
    files = [data] if layout == "file" else [data / f"{at}.parquet" for at in range(4)]
    rows = count // len(files)
    for at, path in enumerate(files):
        with pyarrow.parquet.ParquetWriter(path, schema, use_dictionary=["symbol"]) as writer:
            for symbol in range(symbols):
                named = pa.repeat(pa.scalar(f"S{symbol}"), rows)
                part = table.slice(at * rows, rows)
                writer.write_table(part.add_column(0, schema.field(0), named))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(data)],
        capture_output=True,
        text=True,
        check=True,
    )
    found, most = map(int, done.stdout.split())
    assert found == count
    assert most < 0.2 * symbols * count * 48


def test_training_on_several_symbols_of_one_folder_takes_each_out_of_it(tmp_path: Path) -> None:
    save_bars([BTC, ETH.slice(0, 2_000)], tmp_path / "data" / "both.parquet")
    values = {
        "data": {"path": tmp_path / "data", "symbols": ["ETH", "BTC"]},
        "environment": {"actions": "continuous", "episode_bars": 96},
        "algorithm": "PPO",
        "policy": "panel",
        "training_params": {"total_timesteps": 256, "n_envs": 1},
    }
    bars = make_environment(JobConfig.model_validate(values)).bars
    assert isinstance(bars, BarPanel)
    assert bars.symbols == ("ETH", "BTC")
    assert len(bars) == 2_000 - len(set(ETH.timestamps_ns[:2_000]) - set(BTC.timestamps_ns))
