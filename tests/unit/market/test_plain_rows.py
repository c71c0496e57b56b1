"""Large plain texts through the kernel are what Arrow makes of them; others do not go there."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from tradewind.errors import MarketDataError
from tradewind.market import load_bars, tables
from tradewind.market.reading import csv_table, plain_rows

TIMES = {
    "s": lambda t: f"{t}",
    "ns": lambda t: f"{t}000000123",
    "iso": lambda t: datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%d %H:%M:%S"),
    "minutes": lambda t: datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%d %H:%M"),
    "zulu": lambda t: datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%dT%H:%M:%S.250Z"),
    "offset": lambda t: datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%d %H:%M:%S-05:30"),
}


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Lets small files in, by blocks of a few lines; says of each whether the kernel read it."""
    seen: list[bool] = []
    read = plain_rows.read_plain_rows

    def look(*given: object) -> object:
        rows = read(*given)  # type: ignore[arg-type]
        seen.append(rows is not None)
        return rows

    monkeypatch.setattr(plain_rows, "_FEWEST_BYTES", 0)
    monkeypatch.setattr(plain_rows, "_BLOCK", 300)
    monkeypatch.setattr(tables, "_HEAD_BYTES", 2_000)
    monkeypatch.setattr(csv_table, "read_plain_rows", look)
    return seen


def table(stamp: str, end: str = "\n") -> list[str]:
    draw = np.random.default_rng(7)
    rows = ["time,label,open,high,low,close,volume" + end]
    # Leap days and the ends of years, every eleven hours of some years.
    for index in range(3_000):
        price = round(float(draw.uniform(0.0001, 99_999)), int(draw.integers(0, 9)))
        high, low = price * 2, price / 2
        numbers = f"{price!r},{high!r},{low!r},{price!r},{draw.integers(0, 10**9)}"
        rows.append(f"{TIMES[stamp](951_700_000 + 39_600 * index)},x,{numbers}{end}")
    return rows


@pytest.mark.parametrize("stamp", TIMES)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_plain_text_gives_the_same_bits_as_arrow(
    tmp_path: Path, taken: list[bool], monkeypatch: pytest.MonkeyPatch, stamp: str, end: str
) -> None:
    path = tmp_path / "bars.csv"
    rows = [row for row in table(stamp, end) if "e-" not in row]
    path.write_text("".join(rows), newline="")
    bars = load_bars(path)
    assert taken == [True]
    monkeypatch.setattr(plain_rows, "_FEWEST_BYTES", 2**60)
    assert load_bars(path).digest == bars.digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (",x,", ',"x",'),
        (",x,", ",\u00e9,"),
        (",x,", ",,"),
        (",x,", "\n,x,"),
        ("\n", "\n\n"),
        (",x,", ",x,1e3,"),
        (",x,", ",x, "),
        (",x,", ",x,+"),
        (",x,", ",x,0.12345678901234567,"),
        (",x,", "Z,x,"),
        ("2001-03-01", "2001-02-29"),
        ("2001-03-01", "2001-13-01"),
        ("2001-03-01 ", "2001-03-01 24"),
        (",x,", ",x,x,"),
        (",x,", ","),
    ],
)
def test_text_that_is_not_plain_somewhere_is_read_or_refused_as_before(
    tmp_path: Path, taken: list[bool], monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    path = tmp_path / "bars.csv"
    text = "".join(table("iso"))
    middle = text.index("2001-03-01")
    path.write_text(text[:middle] + text[middle:].replace(old, new, 1))

    def outcome() -> str:
        try:
            return load_bars(path).digest
        except MarketDataError as problem:
            return str(problem)

    found = outcome()
    assert not any(taken) or new == ",,"
    monkeypatch.setattr(plain_rows, "_FEWEST_BYTES", 2**60)
    assert outcome() == found


def test_bad_bar_far_behind_the_beginning_is_named_by_its_line(
    tmp_path: Path, taken: list[bool]
) -> None:
    path = tmp_path / "bars.csv"
    rows = table("s")
    cells = rows[2_900].split(",")
    rows[2_900] = ",".join([*cells[:3], "0.00001", *cells[4:]])
    path.write_text("".join(rows))
    with pytest.raises(MarketDataError, match="line 2901, high: "):
        load_bars(path)
    assert taken[0]
