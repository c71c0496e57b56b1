"""Any combination of separator, times and numbers loads right, or is refused with its cure."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.data.vendors.series import Row, german, walk
from tradewind.errors import MarketDataError
from tradewind.market import load_bars

BERLIN = ZoneInfo("Europe/Berlin")
TIMES: dict[str, Callable[[Row], str]] = {
    "iso": lambda r: r.stamp("%Y-%m-%d %H:%M:%S"),
    "iso, Z": lambda r: r.stamp("%Y-%m-%dT%H:%M:%SZ"),
    "iso, offset": lambda r: r.stamp("%Y-%m-%d %H:%M:%S%z", BERLIN),
    "d.m.y": lambda r: r.stamp("%d.%m.%Y %H:%M"),
    "m/d/y": lambda r: r.stamp("%m/%d/%Y %H:%M"),
    "m/d/y am": lambda r: r.stamp("%-m/%-d/%Y %-I:%M %p"),
    "d/m/y": lambda r: r.stamp("%d/%m/%Y %H:%M"),
    "m-d-y": lambda r: r.stamp("%m-%d-%Y %H:%M"),
    "y/m/d": lambda r: r.stamp("%Y/%m/%d %H:%M"),
    "ymd hm": lambda r: r.stamp("%Y%m%d %H%M"),
    "ymdhm": lambda r: r.stamp("%Y%m%d%H%M"),
    "ymdhms": lambda r: r.stamp("%Y%m%d%H%M%S"),
    "d-mon-y": lambda r: r.stamp("%d-%b-%Y %H:%M"),
    "month d, y": lambda r: r.stamp("%B %-d, %Y %H:%M"),
    "s": lambda r: f"{r.seconds}",
    "ms": lambda r: f"{r.seconds}000",
    "us": lambda r: f"{r.seconds}000000",
    "ns": lambda r: f"{r.seconds}000000000",
    "s, decimals": lambda r: f"{r.seconds}.0",
}
NUMBERS: dict[str, Callable[[float], str]] = {
    "1234.50": lambda x: f"{x:.2f}",
    "1234.5000": lambda x: f"{x:.4f}",
    "1,234.50": lambda x: f"{x:,.2f}",
    "1.234,50": german,
    "1234,50": lambda x: f"{x:.2f}".replace(".", ","),
    "1 234.50": lambda x: f"{x:,.2f}".replace(",", " "),
}


def draw_file(draw: random.Random) -> tuple[str, list[Row], bool]:
    step = timedelta(minutes=draw.choice([1, 30, 60, 240, 1440]))
    start = datetime(
        draw.choice([2005, 2017, 2024]), draw.randrange(1, 13), draw.randrange(1, 28), tzinfo=UTC
    )
    price = draw.choice([1.1, 150.0, 1500.0, 250_000.0])
    rows = walk(draw.choice([5, 12, 40]), step, start=start, price=price)
    stamp, number = draw.choice([*TIMES.values()]), draw.choice([*NUMBERS.values()])
    separator = draw.choice([",", ";", "\t", "|"])
    names = ["open", "high", "low", "close"]
    has_volume = draw.random() < 0.8
    if has_volume:
        names.append("volume")

    def line(cells: list[str]) -> str:
        return separator.join(f'"{cell}"' if separator in cell else cell for cell in cells)

    table = [line([stamp(row), *(number(getattr(row, name)) for name in names)]) for row in rows]
    if draw.random() < 0.5:
        table.reverse()
    if draw.random() < 0.7:
        places = draw.sample(range(len(names)), len(names))
        table = [
            line([stamp(row), *(number(getattr(row, names[place])) for place in places)])
            for row in rows
        ]
        table.insert(0, line(["Date", *(names[place].capitalize() for place in places)]))
    return "\n".join(table), rows, has_volume


@pytest.mark.parametrize("seed", range(8))
def test_any_combination_is_right_or_refused_with_its_cure(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    refused = 0
    for number in range(40):
        text, rows, has_volume = draw_file(draw)
        path = tmp_path / f"{number}.csv"
        path.write_text(text)
        try:
            bars = load_bars(path)
        except MarketDataError:
            with pytest.raises(MarketDataError, match="say dates: month_first"):
                load_bars(path)
            refused += 1
            continue
        assert bars.timestamps_ns.tolist() == [row.seconds * 10**9 for row in rows], text[:200]
        for name in ("open", "high", "low", "close", *(("volume",) if has_volume else ())):
            expected = [getattr(row, name) for row in rows]
            assert getattr(bars, name).tolist() == pytest.approx(expected, rel=1e-9), text[:200]
    assert refused <= 12
