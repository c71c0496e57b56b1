"""What a reader of bars can be told, where a table does not say it itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tradewind.constants import CLOSE, HIGH, LOW, OPEN_PRICE, TIMESTAMP, VOLUME
from tradewind.errors import MarketDataError

__all__ = [
    "ADJUSTMENT",
    "BAR_COLUMNS",
    "DateOrder",
    "DecimalMark",
    "NoRowsError",
    "OtherSymbolsError",
    "ReadOptions",
    "RowOrder",
    "TimestampUnit",
]

ADJUSTMENT: Final = "adjustment"
"""The column of adjusted / traded prices, of bars that were read adjusted."""

TimestampUnit = Literal["s", "ms", "us", "ns"]
RowOrder = Literal["oldest_first", "newest_first", "unsorted"]
DateOrder = Literal["month_first", "day_first"]
DecimalMark = Literal[".", ","]

BAR_COLUMNS: Final = (TIMESTAMP, OPEN_PRICE, HIGH, LOW, CLOSE, VOLUME)


class NoRowsError(MarketDataError):
    """A table has a header, or a schema, and nothing else."""


class OtherSymbolsError(MarketDataError):
    """A table has bars of several symbols, and not of the one that is wanted.

    Attributes:
        symbols: Those it has.
    """

    def __init__(self, subject: str, symbols: Sequence[str]) -> None:
        self.symbols = tuple(symbols)
        shown = ", ".join(self.symbols[:10])
        super().__init__(
            f"{subject} has bars of {len(self.symbols)} symbols ({shown}); say which as symbol: "
            f"{self.symbols[0]}"
        )


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the user says about a table; None leaves it to the table.

    Attributes:
        columns: Which column is timestamp, open, high, low, close or volume: its name, or its
            position counted from 1. Those left out are recognised.
        timestamp_unit: Unit of numbers that are times.
        tz: Time zone of times without an offset, e.g. "America/New_York"; UTC by default.
        order: Order of the rows; "unsorted" sorts them.
        dates: Whether 03/04/2019 is in March or in April.
        decimal: What separates the decimals.
        adjusted: Multiplies open, high, low and close by adjusted close / close.
        symbol: Which rows to take where a column of symbols has several.

    Raises:
        MarketDataError: An option is none of those allowed.
    """

    columns: Mapping[str, str | int] = field(default_factory=dict)
    timestamp_unit: TimestampUnit | None = None
    tz: str | None = None
    order: RowOrder | None = None
    dates: DateOrder | None = None
    decimal: DecimalMark | None = None
    adjusted: bool = False
    symbol: str | None = None

    def __post_init__(self) -> None:
        for name, allowed in (
            ("timestamp_unit", get_args(TimestampUnit)),
            ("order", get_args(RowOrder)),
            ("dates", get_args(DateOrder)),
            ("decimal", get_args(DecimalMark)),
        ):
            value = getattr(self, name)
            if value is not None and value not in allowed:
                raise MarketDataError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
        unknown = [name for name in self.columns if name not in BAR_COLUMNS]
        if unknown:
            raise MarketDataError(
                f"columns names {', '.join(map(repr, unknown))}; it can name "
                f"{', '.join(BAR_COLUMNS)}"
            )
        if self.tz is not None:
            try:
                ZoneInfo(self.tz)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise MarketDataError(
                    f"tz must be a time zone such as UTC or America/New_York, not {self.tz!r}"
                ) from None
