"""Which column is what: told from the header, or from a known form without one."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tradewind.constants import CLOSE, HIGH, LOW, OPEN_PRICE, TIMESTAMP, VOLUME
from tradewind.errors import FieldViolation, MarketDataError
from tradewind.market.reading.options import BAR_COLUMNS, ReadOptions

__all__ = ["Roles", "form_of", "normalised", "roles_of_header", "roles_of_rows"]

# The first group that has a column decides: a start of the bar before any other time.
_TIMES: Final = (
    ("open time", "opentime", "time open", "timeopen", "window start", "bar start", "ts event"),
    ("timestamp", "unix", "unix timestamp", "unixtime", "epoch", "ts"),
    ("datetime", "date time", "time stamp", "gmt time", "utc time", "time utc", "date utc",
     "local time", "datetime utc", "date gmt", "time gmt"),
    ("date", "datum", "fecha", "data", "дата", "日付", "日期", "交易日期", "日時", "dato",
     "päivämäärä", "tarih"),
    ("time", "zeit", "uhrzeit", "t", "heure", "hora", "ora", "время", "时间", "時刻", "tijd",
     "index level 0", "start", "begin"),
)  # fmt: skip
_DATES: Final = _TIMES[3]
_CLOCKS: Final = ("time", "zeit", "uhrzeit", "heure", "hora", "ora", "время", "时间", "時刻",
                  "tijd", "hour")  # fmt: skip
_NAMES: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    OPEN_PRICE: (
        ("open",),
        ("o", "open price", "opening price", "1 open", "mid o", "mid open", "first",
         "eröffnung", "eröffnungskurs", "erster", "otwarcie", "ouverture", "ouv", "apertura",
         "abertura", "открытие", "цена открытия", "откр", "始値", "开盘", "开盘价", "開盤價",
         "openingskoers"),
    ),
    HIGH: (
        ("high",),
        ("h", "high price", "2 high", "mid h", "mid high", "max", "highest",
         "hoch", "najwyzszy", "tageshoch", "höchst", "haut", "plus haut", "+ haut",
         "máximo", "máxima", "máx", "massimo", "max price", "максимум", "макс", "高値", "最高",
         "最高价", "最高價", "hoog"),
    ),
    LOW: (
        ("low",),
        ("l", "low price", "3 low", "mid l", "mid low", "min", "lowest",
         "tief", "najnizszy", "tagestief", "tiefst", "bas", "plus bas", "+ bas",
         "mínimo", "mínima", "mín", "minimo", "min price", "минимум", "мин", "安値", "最低",
         "最低价", "最低價", "laag"),
    ),
    CLOSE: (
        ("close",),
        ("c", "close price", "closing price", "4 close", "mid c", "mid close", "last",
         "close last", "schluss", "schlusskurs", "zamkniecie", "clôture", "clot",
         "dernier", "cierre", "último", "chiusura", "ultimo", "fechamento",
         "закрытие", "цена закрытия", "終値", "收盘", "收盘价", "收盤價",
         "slotkoers"),
        ("price", "zuletzt", "цена"),
    ),
    VOLUME: (
        ("volume",),
        ("vol", "v", "5 volume", "trade volume", "total volume", "base volume", "volume base",
         "stücke", "stuecke", "wolumen", "объем", "объём", "出来高", "成交量"),
        ("volumen", "volumes", "umsatz", "menge"),
    ),
}  # fmt: skip
_ADJUSTED: Final = ("adj close", "adjusted close", "adjclose", "close adj", "5 adjusted close")
_TICKS: Final = ("tickvol", "tick volume", "ticks")
_SYMBOLS: Final = ("symbol", "ticker", "instrument", "pair", "name")
_QUOTES: Final = frozenset((
    "usd", "usdt", "usdc", "busd", "tusd", "fdusd", "dai", "eur", "gbp", "jpy", "chf", "cad", "aud",
    "krw", "try", "brl", "currency", "quote",
))  # fmt: skip
_VOLUME_OF: Final = re.compile(r"^(?:volume|vol) ([a-z0-9]{2,10})$")


@dataclass(frozen=True, slots=True)
class Roles:
    """Positions of columns, from 0.

    Attributes:
        columns: Where timestamp, open, high, low and close are, and volume where there is one.
        clock: A column of times of day beside one of dates.
        adjusted: Adjusted closes.
        symbol: Names of what is traded.
        ticks: Numbers of price changes, which are no volume.
        form: What the table is known as.
    """

    columns: Mapping[str, int]
    clock: int | None = None
    adjusted: int | None = None
    symbol: int | None = None
    ticks: int | None = None
    form: str = ""


def normalised(name: str) -> str:
    """A column's name without case, brackets, quotes and separators."""
    words = re.sub(r"[\s_\-./<>()\[\]\"':*]+", " ", name.strip().lstrip("\ufeff"))
    return words.strip().casefold()


def roles_of_header(subject: str, names: Sequence[str], options: ReadOptions) -> Roles:
    """Finds the columns by their names.

    Raises:
        MarketDataError: One is missing, or there are two and nothing says which.
    """
    plain = [normalised(name) for name in names]
    columns = _given(subject, names, options)
    violations: list[FieldViolation] = []

    def choose(role: str, found: list[int]) -> None:
        if len(found) == 1:
            columns[role] = found[0]
        elif found:
            listed = ", ".join(names[index] for index in found)
            violations.append(
                FieldViolation(
                    role, f"there are {len(found)} columns for it ({listed}); say columns: {role}"
                )
            )

    if TIMESTAMP not in columns:
        choose(TIMESTAMP, _first_found(plain, _TIMES))
        if TIMESTAMP not in columns and not violations and plain and plain[0] == "":
            columns[TIMESTAMP] = 0  # an index without a name
    for role, groups in _NAMES.items():
        if role not in columns:
            choose(role, _first_found(plain, groups))
    if VOLUME not in columns and VOLUME not in {item.field for item in violations}:
        of_assets, of_money = _volumes_of(plain)
        choose(VOLUME, of_assets)
        if of_money and not of_assets:
            listed = ", ".join(names[index] for index in of_money)
            fault = f"it is in money alone ({listed}); say columns: volume to take it as it is"
            violations.append(FieldViolation(VOLUME, fault))
    known = {violation.field for violation in violations}
    violations += [
        FieldViolation(role, "missing")
        for role in BAR_COLUMNS[:-1]
        if role not in columns and role not in known
    ]
    if violations:
        raise MarketDataError(
            f"{subject} needs the columns {', '.join(BAR_COLUMNS[:-1])} once each; it has "
            f"{', '.join(names)}. The option columns can name them",
            violations,
        )
    dated = plain[columns[TIMESTAMP]] in _DATES
    return Roles(
        columns,
        clock=_only(plain, _CLOCKS) if dated and TIMESTAMP not in options.columns else None,
        adjusted=_only(plain, _ADJUSTED),
        symbol=_only(plain, _SYMBOLS),
        ticks=_only(plain, _TICKS),
        form=form_of(plain),
    )


def roles_of_rows(
    subject: str,
    sample: Sequence[Sequence[str]],
    options: ReadOptions,
    is_epoch: Callable[[str], bool],
    is_clock: Callable[[str], bool],
) -> Roles:
    """Finds the columns of a table without a header: time first, then open, high, low, close.

    Raises:
        MarketDataError: It is none of the known forms.
    """
    width = len(sample[0])
    positions = [f"column {index + 1}" for index in range(width)]
    given = _given(subject, positions, options)
    if given:
        missing = [role for role in BAR_COLUMNS[:-1] if role not in given]
        if missing:
            raise MarketDataError(
                f"{subject} has no header: columns must give the positions, from 1, of all of "
                f"{', '.join(BAR_COLUMNS[:-1])}, too of {', '.join(missing)}"
            )
        return Roles(given, form="no header, columns as told")
    clock = 1 if all(is_clock(row[1]) for row in sample) else None
    first = 1 if clock is None else 2
    columns = {TIMESTAMP: 0} | {
        role: first + place for place, role in enumerate((OPEN_PRICE, HIGH, LOW, CLOSE, VOLUME))
    }
    rest = width - first
    epoch = clock is None and all(is_epoch(row[0]) for row in sample)
    if rest == 4:
        del columns[VOLUME]
        return Roles(columns, clock, form="no header: time, open, high, low, close")
    if rest == 5:
        return Roles(columns, clock, form="no header: time, open, high, low, close, volume")
    if epoch and width in (11, 12) and all(is_epoch(row[6]) for row in sample):
        return Roles(columns, form="Binance klines without a header")
    if epoch and width == 7 and all(row[6].strip().isdigit() for row in sample):
        return Roles(columns, form="Kraken trades without a header (last column: trades)")
    raise MarketDataError(
        f"{subject} has no header, and {width} columns of no known form; say which are which, "
        f"from 1: columns: {{timestamp: 1, open: 2, high: 3, low: 4, close: 5, volume: 6}}"
    )


def form_of(plain: Sequence[str]) -> str:
    """The name of a known form."""
    found = set(plain)
    known = (
        ({"open time", "close time"}, "Binance klines"),
        ({"date", "adj close"}, "Yahoo's history"),
        ({"unix", "date", "symbol"}, "CryptoDataDownload's table"),
        ({"date", "tickvol", "spread"}, "MetaTrader's export"),
        ({"ticker", "per", "date", "time", "openint"}, "Stooq's table"),
        ({"ts event"}, "Databento's OHLCV"),
        ({"barcount"}, "bars of the IBKR API"),
    )
    return next((name for columns, name in known if columns <= found), "")


def _given(subject: str, names: Sequence[str], options: ReadOptions) -> dict[str, int]:
    found = {}
    for role, wanted in options.columns.items():
        if isinstance(wanted, int):
            places = [wanted - 1] if 1 <= wanted <= len(names) else []
        else:
            places = [index for index, name in enumerate(names) if name == wanted] or [
                index for index, name in enumerate(names) if normalised(name) == normalised(wanted)
            ]
        if len(places) != 1:
            raise MarketDataError(
                f"{subject}: columns names {wanted!r} for {role}, of which there are "
                f"{len(places)}; it has {', '.join(names)}"
            )
        found[role] = places[0]
    return found


def _first_found(plain: Sequence[str], groups: Sequence[Sequence[str]]) -> list[int]:
    for group in groups:
        found = [index for index, name in enumerate(plain) if name in group]
        if found:
            return found
    return []


def _volumes_of(plain: Sequence[str]) -> tuple[list[int], list[int]]:
    """Columns such as `Volume BTC`: those in an asset, and those in a currency."""
    found = {
        index: match[1] for index, name in enumerate(plain) if (match := _VOLUME_OF.match(name))
    }
    of_assets = [index for index, unit in found.items() if unit not in _QUOTES]
    return of_assets, [index for index in found if index not in of_assets]


def _only(plain: Sequence[str], group: Sequence[str]) -> int | None:
    found = [index for index, name in enumerate(plain) if name in group]
    return found[0] if len(found) == 1 else None
