"""What is traded: the steps of its prices and quantities, its margin, and what it costs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, model_validator

from tradewind.errors import NotFoundError, SettingsError
from tradewind.market.conditions import round_price, round_trade
from tradewind.settings import Settings, load_settings

__all__ = [
    "INSTRUMENTS_FILE",
    "Costs",
    "Instrument",
    "InstrumentsFile",
    "NamedInstrument",
    "instrument_named",
    "load_instruments",
]

INSTRUMENTS_FILE: Final = Path("config/instruments.yaml")
"""Where instruments are looked up by name; the one that Tradewind ships stands in for it."""


class Instrument(Settings):
    """What is traded, and on which terms.

    Quantities are in units of the asset everywhere: two contracts of multiplier 50 are 100 units.
    """

    tick: float | None = Field(default=None, gt=0.0)
    """Step of prices, in the currency; none where any price is possible."""

    lot: float | None = Field(default=None, gt=0.0)
    """Step of quantities, in contracts; none where any quantity is possible."""

    min_notional: float | None = Field(default=None, gt=0.0)
    """Least notional of an order, in the currency; one that closes a position may be smaller."""

    multiplier: float = Field(default=1.0, gt=0.0)
    """Units of the asset in a contract."""

    currency: str = Field(default="USD", pattern=r"^[A-Z0-9]{2,10}$")
    """What its price is in. One account has one currency."""

    initial_margin: float = Field(default=1.0, gt=0.0, le=2.0)
    """Equity that a new position needs, as a fraction of its value: positions are at most equity
    divided by the largest one of their instruments."""

    maintenance_margin: float = Field(default=0.0, ge=0.0, le=2.0)
    """Equity that a position needs to be kept, as a fraction of its value; with less, everything is
    closed at the next trade."""

    maker_fee: float | None = Field(default=None, ge=-0.1, le=0.1)
    """Fraction of the notional of a limit order that waited in the book; below 0 for a rebate. None
    is the taker's."""

    taker_fee: float | None = Field(default=None, ge=0.0, le=0.1)
    """Fraction of the notional of any other fill; none leaves it to `transaction_cost` in training,
    and to the broker's fee on paper."""

    borrow_cost: float = Field(default=0.0, ge=0.0, le=2.0)
    """What a short position costs a year (365 days), as a fraction of its value."""

    funding: float = Field(default=0.0, ge=-0.1, le=0.1)
    """What a long position pays a short one at the end of each funding period, as a fraction of its
    value; below 0 the short one pays."""

    funding_hours: float = Field(default=8.0, gt=0.0, le=168.0)
    """Length of a funding period; periods are counted from midnight UTC of 1970-01-01."""

    market: str | None = Field(default=None, min_length=1)
    """The market it is traded on, by its name: always-open, fx-week, XNYS, …; its hours and its
    calendar. None where bars of any market may be."""

    @model_validator(mode="after")
    def _check_margins(self) -> "Instrument":
        if self.maintenance_margin > self.initial_margin:
            raise ValueError(
                f"maintenance_margin ({self.maintenance_margin:g}) must be at most initial_margin "
                f"({self.initial_margin:g}): a new position would be closed at once"
            )
        return self

    @property
    def lot_units(self) -> float:
        """Step of quantities in units of the asset; 0 for none."""
        return (self.lot or 0.0) * self.multiplier

    def round_quantity(self, quantity: float, held: float, price: float) -> float:
        """The quantity that may be traded of one that is wanted; see the kernel `round_trade`.

        Args:
            quantity: Signed, in units of the asset.
            held: Signed position.
            price: Reference price.

        Returns:
            Never more than was wanted; 0 where nothing may be traded.
        """
        return round_trade(quantity, held, price, self.lot_units, self.min_notional or 0.0)

    def round_price(self, price: float, side: float) -> float:
        """The next price that there is, up where `side` is above 0, else down; a tick at least."""
        return price if self.tick is None else round_price(price, side, self.tick)

    def why_refused(self, quantity: float, price: float) -> str:
        """Why nothing of a quantity may be traded, for people."""
        size = abs(quantity)
        if price < (self.tick or 0.0):
            return f"its price of {price:g} is less than the tick of {self.tick:g}"
        if size < self.lot_units:
            return f"{size:g} units are less than the lot of {self.lot_units:g}"
        return (
            f"a notional of {size * price:,.2f} is less than the minimum of "
            f"{self.min_notional or 0.0:,.2f} {self.currency}"
        )


class Costs(Settings):
    """What trading and holding costs, by component, beside `transaction_cost` and `slippage`."""

    fee: float | None = Field(default=None, ge=0.0, le=0.1)
    """Fraction of the traded notional, in place of `transaction_cost`, for instruments that name no
    taker fee."""

    spread: float = Field(default=0.0, ge=0.0, le=0.1)
    """Quoted spread as a fraction of the price; a fill pays half of it."""

    impact: float = Field(default=0.0, ge=0.0, le=10.0)
    """Y of the square-root law: a fill moves its price by Y · σ · √(quantity / V), σ the volatility
    of a trading day and V the volume of one, of the seven days before. About 1 in practice
    (B. Tóth et al., Phys. Rev. X 1, 021006, 2011; R. Almgren et al., Risk 18 (7), 2005, fits an
    exponent of 0.6). 0 leaves it out."""

    borrow: float | None = Field(default=None, ge=0.0, le=2.0)
    """What short positions cost a year, in place of what the instruments say."""

    funding: float | None = Field(default=None, ge=-0.1, le=0.1)
    """What longs pay shorts each funding period, in place of what the instruments say."""


class InstrumentsFile(Settings):
    """What is traded, by name."""

    instruments: dict[Annotated[str, Field(min_length=1, max_length=64)], Instrument]
    """Instruments by the names that trainings and orchestrators call them by."""


def load_instruments(path: Path | str = INSTRUMENTS_FILE) -> Mapping[str, Instrument]:
    """The instruments of a file, by name.

    Raises:
        SettingsError: The file cannot be read, or a setting is wrong; it names the line.
    """
    return load_settings(path, InstrumentsFile).instruments


def instrument_named(name: str, path: Path | str = INSTRUMENTS_FILE) -> Instrument:
    """One instrument of a file.

    Raises:
        NotFoundError: There is none of that name; it says which there are.
        SettingsError: The file cannot be read, or a setting is wrong.
    """
    known = load_instruments(path)
    if name not in known:
        raise NotFoundError(f"no instrument {name!r} in {path}: there are {', '.join(known)}")
    return known[name]


def _looked_up(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return instrument_named(value)
    except (NotFoundError, SettingsError) as problem:
        found = "; ".join(map(str, getattr(problem, "violations", ()) or ()))
        raise ValueError(f"{problem}{': ' if found else ''}{found}") from None


NamedInstrument = Annotated[
    Instrument, BeforeValidator(_looked_up, json_schema_input_type=str | Instrument)
]
"""An instrument, or its name in config/instruments.yaml."""
