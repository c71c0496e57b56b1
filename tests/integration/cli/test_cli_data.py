"""`tradewind data` on a file of a vendor's shape, a broken one, and one that needs an option."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.vendors.make import vendor_files
from tests.data.vendors.series import VendorFile
from tests.data.vendors.trades import EVENTS, trade_files
from tradewind.market import load_bars, load_sample
from tradewind.market.sample import sample_path
from tradewind.market.saving import save_bars

FILES = {file.name: file for file in vendor_files()}
Run = Callable[..., Any]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], tuple[Path, VendorFile]]:
    def write_one(name: str) -> tuple[Path, VendorFile]:
        path = tmp_path / name
        path.write_bytes(FILES[name].content)
        return path, FILES[name]

    return write_one


Write = Callable[[str], tuple[Path, VendorFile]]


def test_check_with_a_vendors_file_says_what_was_recognised(run: Run, write: Write) -> None:
    path, file = write("cdd_seconds.csv")
    answer = run("data", "check", path, "--json")
    assert answer.code == 0
    assert answer.document["bars"] == len(file.rows)
    assert answer.document["bar_seconds"] == 1800
    assert answer.document["gaps"] == 0
    assert "newest first: turned round" in answer.document["recognised"]
    spoken = run("data", "check", path)
    assert "CryptoDataDownload's table" in spoken.out
    assert "volume = Volume BTC" in spoken.out


def test_show_with_rows_prints_both_ends(run: Run, write: Write) -> None:
    path, file = write("german_latin1.csv")
    answer = run("data", "show", path, "--rows", "2", "--json")
    shown = answer.document["rows"]
    assert [row["close"] for row in shown] == [
        row.close for row in (*file.rows[:2], *file.rows[-2:])
    ]
    assert "…" in run("data", "show", path, "--rows", "2").out


def test_convert_with_an_option_writes_what_needs_none(
    run: Run, write: Write, tmp_path: Path
) -> None:
    path, file = write("us_dates_first_days.csv")
    out = tmp_path / "new" / "bars.parquet"
    refused = run("data", "convert", path, out)
    assert refused.code == 2
    assert "dates: month_first" in refused.err
    assert not out.exists()
    assert run("data", "convert", path, out, "--dates", "month_first").code == 0
    again = load_bars(out)
    assert again.timestamps_ns.tolist() == [row.seconds * 10**9 for row in file.rows]
    assert again.close.tolist() == [row.close for row in file.rows]


def test_check_with_columns_by_name_and_position_takes_them(run: Run, write: Write) -> None:
    path, _ = write("metatrader5_daily.csv")
    by_name = run("data", "show", path, "--column", "volume=<TICKVOL>", "--json")
    by_position = run("data", "show", path, "--column", "volume=6", "--json")
    assert by_name.document["rows"][0]["volume"] == 7
    assert by_position.document["rows"] == by_name.document["rows"]
    assert run("data", "check", path, "--column", "volume").code == 2


def test_settings_that_check_writes_read_the_file_again(
    run: Run, write: Write, tmp_path: Path
) -> None:
    path, _ = write("us_dates_first_days.csv")
    settings = tmp_path / "reading.yaml"
    given = ("--dates", "month_first")
    assert run("data", "check", path, *given, "--write-settings", settings).code == 0
    assert "dates: month_first" in settings.read_text()
    answer = run("data", "check", path, "--settings", settings, "--json")
    assert (
        answer.document["digest"] == run("data", "check", path, *given, "--json").document["digest"]
    )
    settings.write_text("speed: 3\n")
    refused = run("data", "check", path, "--settings", settings)
    assert refused.code == 2
    assert "has speed; it can have adjusted, columns," in refused.err


@pytest.mark.parametrize("symbol", ["BTC/USD", "^GSPC", "EURUSD=X", "BRK&B", "../../etc"])
def test_check_with_signs_in_a_symbol_keeps_them(run: Run, write: Write, symbol: str) -> None:
    path, _ = write("yahoo.csv")
    answer = run("data", "check", path, "--symbol", symbol, "--json")
    assert answer.document["symbol"] == symbol
    assert symbol in run("data", "check", path, "--symbol", symbol).out


def test_convert_with_trades_builds_bars(run: Run, tmp_path: Path) -> None:
    path, out = tmp_path / "BTC.csv", tmp_path / "BTC.parquet"
    (file,) = [one for one in trade_files() if one.name == "BTCUSDT-aggTrades.csv"]
    path.write_bytes(file.content)
    answer = run("data", "convert", path, out, "--bars", "time:1m", "--json")
    assert answer.document["events"] == len(EVENTS)
    assert load_bars(out).interval_ns == 60 * 10**9
    assert "Binance aggTrades" in run("data", "convert", path, out, "--bars", "tick:100").out
    refused = run("data", "convert", path, out, "--bars", "hours")
    assert refused.code == 2
    assert "bars must be time:LENGTH" in refused.err
    assert run("data", "convert", path, out, "--of", "quotes").code == 2
    assert run("data", "convert", path, out, "--bars", "tick:9", "--adjusted").code == 2


def test_convert_with_a_name_that_is_not_parquet_or_the_file_itself_is_refused(
    run: Run, write: Write
) -> None:
    path, _ = write("frame.parquet")
    before = path.read_bytes()
    assert run("data", "convert", path, path).code == 2
    assert run("data", "convert", path, path.with_suffix(".csv")).code == 2
    assert path.read_bytes() == before


def test_check_with_a_broken_file_names_the_line_and_gives_2(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text("Date,Open,High,Low,Close\n2019-03-13,1,1,1,1\n2019-03-14,1,x,1,1\n")
    answer = run("data", "check", path)
    assert answer.code == 2
    assert "line 3, high: 'x' is not a number" in answer.err


def test_convert_with_resample_writes_longer_bars_and_says_how(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "hours.parquet"
    answer = run("data", "convert", sample_path("BTC"), out, "--resample", "1h", "--json")
    assert answer.code == 0
    assert answer.document["bar_seconds"] == 3600
    assert any("labelled with its start" in line for line in answer.document["recognised"])
    assert load_bars(out, "BTC").digest == load_sample("BTC").resample("1h").digest
    refused = run("data", "convert", out, tmp_path / "x.parquet", "--resample", "30min")
    assert refused.code == 2
    assert "what happened within a bar is not known" in refused.err


def test_convert_of_a_folder_writes_one_file_elsewhere(run: Run, tmp_path: Path) -> None:
    bars, folder = load_sample("BTC").slice(0, 500), tmp_path / "btc"
    for at in (0, 250):
        save_bars(bars.slice(at, at + 250), folder / f"{at}.parquet")
    inside = run("data", "convert", folder, folder / "all.parquet")
    assert inside.code == 2
    assert "lies in the folder that is read" in inside.err
    assert run("data", "check", folder, "--json").document["bars"] == 500
    assert run("data", "convert", folder, tmp_path / "all.parquet", "--symbol", "BTC").code == 0
    assert load_bars(tmp_path / "all.parquet", "BTC").digest == bars.digest


def test_join_of_files_writes_the_panel_and_says_what_is_lost(run: Run, tmp_path: Path) -> None:
    save_bars(load_sample("ETH").slice(100, 900), tmp_path / "GC=F.parquet")
    panel = tmp_path / "panel.parquet"
    sources = (f"BTC={sample_path('BTC')}", tmp_path / "GC=F.parquet")
    answer = run("data", "join", *sources, "--output", panel, "--json")
    assert answer.code == 0
    assert answer.document["symbols"] == ["BTC", "GC=F"]
    assert "GC=F begins at 2017-10-03T02:00:00+00:00 and cuts off" in answer.document["lost"][0]
    assert answer.err == ""
    one, other = (load_bars(panel, symbol) for symbol in ("BTC", "GC=F"))
    assert one.timestamps_ns.tolist() == other.timestamps_ns.tolist()
    assert len(one) == answer.document["bars"]
    assert run("data", "join", sources[0], "--output", panel).code == 2
    assert "is one of the files" in run("data", "join", *sources, "--output", sources[1]).err
    of_two = run("data", "join", sources[0], sample_path("SPX"), "--output", panel)
    assert of_two.code == 2
    assert "SPX is of XNYS, BTC of always-open" in of_two.err
    apart = tmp_path / "apart.parquet"
    save_bars(load_sample("ETH").slice(20_000, 20_900), apart)
    assert "no bar in common" in run("data", "join", sources[1], apart, "--output", panel).err


def test_page_on_data_with_its_commands_runs(
    run: Run, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "guides" / "data.md").read_text()
    path, _ = write("yahoo.csv")
    path.rename(tmp_path / "bars.csv")
    monkeypatch.chdir(tmp_path)
    commands = [line.split()[1:] for line in page.splitlines() if line.startswith("    tradewind ")]
    assert len(commands) == 3
    for command in commands:
        assert run(*command).code == 0
    exec(page.split("```python")[1].split("```")[0], {})
    assert (tmp_path / "bars.parquet").exists()
