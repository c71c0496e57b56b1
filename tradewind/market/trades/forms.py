"""Which column of a table of trades or quotes is what."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from tradewind.constants import TIMESTAMP
from tradewind.errors import FieldViolation, MarketDataError
from tradewind.market.reading.roles import normalised
from tradewind.market.reading.times import is_clock, is_epoch

__all__ = ["EventsOf", "TradeRoles", "roles_of_names", "roles_of_plain_rows"]

EventsOf = Literal["trades", "quotes"]

PRICE: Final = "price"
SIZE: Final = "size"
BID: Final = "bid"
ASK: Final = "ask"

# Of each, the first group that has a column decides.
_NAMES: Final = {
    TIMESTAMP: (
        ("ts event",),
        ("timestamp", "transact time", "trade time", "sip timestamp", "exchange timestamp",
         "unix", "unix timestamp", "epoch", "exec time"),
        ("datetime", "date time", "gmt time", "utc time", "time utc", "local time", "created at"),
        ("time", "date", "t", "ts"),
    ),
    PRICE: (("price",), ("px", "p", "trade price", "trade px", "rate")),
    SIZE: (
        ("size", "qty", "quantity", "amount"),
        ("volume", "vol", "s", "q", "trade size", "trade quantity", "base qty", "base volume"),
    ),
    BID: (("bid", "bid price"), ("bid px 00", "bid px", "bp", "b", "best bid", "bid price 0")),
    ASK: (
        ("ask", "ask price", "offer"),
        ("ask px 00", "ask px", "ap", "a", "best ask", "ask price 0"),
    ),
}  # fmt: skip
_SYMBOLS: Final = ("symbol", "ticker", "instrument", "pair")
_CLOCKS: Final = ("time", "time of day")
_DATES: Final = ("date",)
_DATABENTO: Final = {"ts event", "rtype", "publisher id"}
_BOOLEANS: Final = frozenset(("true", "false"))


@dataclass(frozen=True, slots=True)
class TradeRoles:
    """Positions of columns, from 0.

    Attributes:
        of: Trades or quotes.
        columns: Where the timestamp is, and price and size, or bid and ask.
        clock: A column of times of day beside one of dates.
        symbol: Names of what is traded.
        action: Databento's kind of event, of which T is a trade.
        form: What the table is known as.
    """

    of: EventsOf
    columns: dict[str, int]
    clock: int | None = None
    symbol: int | None = None
    action: int | None = None
    form: str = ""


def roles_of_names(
    subject: str,
    names: Sequence[str],
    given: dict[str, str | int],
    of: EventsOf | None,
) -> TradeRoles:
    """Finds the columns by their names.

    Raises:
        MarketDataError: One is missing, or there are two and nothing says which.
    """
    plain = [normalised(name) for name in names]
    found = _given(subject, names, plain, given)
    violations = []
    for role, groups in _NAMES.items():
        if role in found:
            continue
        places = next((hits for group in groups if (hits := _places(plain, group))), [])
        if len(places) > 1:
            listed = ", ".join(names[place] for place in places)
            violations.append(
                FieldViolation(role, f"there are {len(places)} columns for it ({listed})")
            )
        elif places:
            found[role] = places[0]
    has = {"trades": {PRICE, SIZE} <= found.keys(), "quotes": {BID, ASK} <= found.keys()}
    if all(has.values()) and of is None:
        raise MarketDataError(f"{subject} has trades and quotes: say of: trades or of: quotes")
    if of is None:
        of = "quotes" if has["quotes"] else "trades"
    wanted = (TIMESTAMP, *((PRICE, SIZE) if of == "trades" else (BID, ASK)))
    known = {violation.field for violation in violations}
    violations += [
        FieldViolation(role, "missing")
        for role in wanted
        if role not in found and role not in known
    ]
    violations = [violation for violation in violations if violation.field in wanted]
    if violations:
        raise MarketDataError(
            f"{subject} needs the columns timestamp, price and size of trades, or timestamp, bid "
            f"and ask of quotes; it has {', '.join(names)}. The option columns can name them",
            violations,
        )
    databento = set(plain) >= _DATABENTO
    dated = plain[found[TIMESTAMP]] in _DATES
    return TradeRoles(
        of,
        {role: found[role] for role in wanted},
        clock=next(iter(_places(plain, _CLOCKS)), None) if dated else None,
        symbol=next(iter(_places(plain, _SYMBOLS)), None),
        action=plain.index("action") if databento and "action" in plain else None,
        form="Databento" if databento else "",
    )


def roles_of_plain_rows(
    subject: str,
    sample: Sequence[Sequence[str]],
    given: dict[str, str | int],
    of: EventsOf | None,
) -> TradeRoles:
    """Finds the columns of a table without a header.

    Raises:
        MarketDataError: It is none of the known forms.
    """
    width = len(sample[0])
    names = [f"column {place + 1}" for place in range(width)]
    if given:
        found = _given(subject, names, names, given)
        if {TIMESTAMP, PRICE, SIZE} <= found.keys():
            return TradeRoles("trades", found, form="no header, columns as told")
        if {TIMESTAMP, BID, ASK} <= found.keys():
            return TradeRoles("quotes", found, form="no header, columns as told")
        raise MarketDataError(
            f"{subject} has no header: columns must give the positions, from 1, of timestamp, "
            "price and size, or of timestamp, bid and ask"
        )

    def every(place: int, test: object) -> bool:
        return callable(test) and all(test(row[place]) for row in sample)

    flag = next(
        (place for place in range(width) if every(place, lambda c: c.strip().lower() in _BOOLEANS)),
        None,
    )
    if flag is not None and flag >= 4 and every(flag - 1, is_epoch) and of != "quotes":
        kind = "aggTrades" if flag >= 6 else "trades"
        columns = {TIMESTAMP: flag - 1, PRICE: 1, SIZE: 2}
        return TradeRoles("trades", columns, form=f"Binance {kind} without a header")
    if width == 3 and every(0, is_epoch) and of != "quotes":
        columns = {TIMESTAMP: 0, PRICE: 1, SIZE: 2}
        return TradeRoles("trades", columns, form="no header: time, price, size")
    if width == 4 and every(0, lambda cell: " " in cell.strip()) and of != "trades":
        columns = {TIMESTAMP: 0, BID: 1, ASK: 2}
        return TradeRoles("quotes", columns, form="HistData ticks: time, bid, ask, volume")
    if width == 4 and every(1, lambda cell: ":" in cell) and of != "trades":
        columns = {TIMESTAMP: 1, BID: 2, ASK: 3}
        return TradeRoles("quotes", columns, symbol=0, form="TrueFX ticks: pair, time, bid, ask")
    if width == 4 and every(1, is_clock) and of != "quotes":
        columns = {TIMESTAMP: 0, PRICE: 2, SIZE: 3}
        return TradeRoles("trades", columns, clock=1, form="no header: date, time, price, size")
    raise MarketDataError(
        f"{subject} has no header, and {width} columns of no known form of trades or quotes; say "
        "which are which, from 1: columns: {timestamp: 1, price: 2, size: 3}"
    )


def checked_of(of: str | None) -> EventsOf | None:
    """An option that says what the rows are.

    Raises:
        MarketDataError: It is none of those.
    """
    if of is not None and of not in get_args(EventsOf):
        raise MarketDataError(f"of must be one of {', '.join(get_args(EventsOf))}, not {of!r}")
    return of  # type: ignore[return-value]


def _places(plain: Sequence[str], group: Sequence[str]) -> list[int]:
    return [place for place, name in enumerate(plain) if name in group]


def _given(
    subject: str, names: Sequence[str], plain: Sequence[str], given: dict[str, str | int]
) -> dict[str, int]:
    found = {}
    for role, wanted in given.items():
        if role not in _NAMES:
            raise MarketDataError(f"columns names {role!r}; it can name {', '.join(_NAMES)}")
        if isinstance(wanted, int):
            places = [wanted - 1] if 1 <= wanted <= len(names) else []
        else:
            places = _places(names, [wanted]) or _places(plain, [normalised(wanted)])
        if len(places) != 1:
            raise MarketDataError(
                f"{subject}: columns names {wanted!r} for {role}, of which there are "
                f"{len(places)}; it has {', '.join(names)}"
            )
        found[role] = places[0]
    return found
