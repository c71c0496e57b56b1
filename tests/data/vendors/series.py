"""The bars that every file of the corpus holds, and how their numbers and times are written."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

START = datetime(2019, 2, 25, tzinfo=UTC)  # Day and month differ, and both orders occur.


@dataclass(frozen=True)
class Row:
    """One bar: times in UTC, prices and volume to two decimals."""

    time: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float

    @property
    def seconds(self) -> int:
        return int(self.time.timestamp())

    def stamp(self, form: str, zone: tzinfo = UTC) -> str:
        return self.time.astimezone(zone).strftime(form)

    @property
    def ohlc(self) -> str:
        return f"{self.open:.2f},{self.high:.2f},{self.low:.2f},{self.close:.2f}"

    @property
    def ohlcv(self) -> str:
        return f"{self.ohlc},{self.volume:.2f}"


def walk(
    count: int, step: timedelta, *, start: datetime = START, price: float = 4000.0
) -> list[Row]:
    """Bars of a random walk, each of which opens near where the last one closed."""
    draw = random.Random(count * 1000 + int(step.total_seconds()))
    rows = []
    for index in range(count):
        opened = round(price, 2)
        close = round(opened * (1 + draw.uniform(-0.01, 0.01)), 2)
        high = round(max(opened, close) * (1 + draw.uniform(0, 0.004)), 2)
        low = round(min(opened, close) * (1 - draw.uniform(0, 0.004)), 2)
        volume = round(draw.uniform(1000, 9_000_000), 2)
        rows.append(Row(start + index * step, opened, high, low, close, volume))
        price = close
    return rows


HALF_HOURS = walk(500, timedelta(minutes=30))
DAYS = walk(300, timedelta(days=1), price=150.0)


def lines(header: str, rows: Iterable[Row], line: Callable[[Row], str]) -> str:
    return "".join(f"{text}\n" for text in ([header] if header else []) + [line(r) for r in rows])


def german(number: float, places: int = 2) -> str:
    """1.234,50."""
    return f"{number:,.{places}f}".translate(str.maketrans(",.", ".,"))


@dataclass(frozen=True)
class VendorFile:
    """A file, the bars that are in it, and the one option that it needs, if any."""

    name: str
    content: bytes
    rows: list[Row]
    has_volume: bool = True
    options: dict[str, Any] = field(default_factory=dict)


def vendor_file(
    name: str,
    header: str,
    line: Callable[[Row], str],
    rows: list[Row] = HALF_HOURS,
    *,
    newest_first: bool = False,
    encoding: str = "utf-8",
    has_volume: bool = True,
    **options: Any,
) -> VendorFile:
    content = lines(header, rows[::-1] if newest_first else rows, line).encode(encoding)
    return VendorFile(name, content, rows, has_volume, options)
