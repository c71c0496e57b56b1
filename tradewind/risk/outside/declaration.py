"""What a calculator in plain Python declares, and the account that it looks at."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from tradewind.risk.calculators.base import Calculator, SettingsT
from tradewind.risk.inputs import FloatArray, OptionPosition, OrderBook, Position
from tradewind.settings import Settings

__all__ = ["TRADES", "AccountView", "Answer", "NoSettings", "PythonCalculator"]

Answer: TypeAlias = Mapping[str, float | str]
"""Of each declared metric its value, or in words why it has none."""

TRADES: Final = "trades"
"""In `windows`, in seconds: trade_timestamps and trade_notionals."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


class NoSettings(Settings):
    """There is nothing to set."""


class AccountView:
    """What a calculator is given of an account: what it declared, and nothing else.

    The same account gives the same view, bit for bit, whether whole arrays, a tracker or a batch
    tells of it. Arrays are copies, oldest element first, and cannot be written.

    Attributes:
        timestamps: Of bars, seconds since the epoch.
        drawdowns: Fraction below the running peak of the whole history, a bar each.
        returns: Simple returns, a bar each.
        price_changes: An interval each.
        order_flows: An interval each, signed.
        order_latencies_us: An order each.
        trade_timestamps: Of the trades of the last `windows()["trades"]` seconds.
        trade_notionals: Of the same trades; signed, buys positive.
        start_of_day_value: Account value at the start of the trading day.
        capital_base: Capital that exposures are fractions of.
        now: The caller's clock, seconds since the epoch.
        periods_per_year: Bars in a year.
        positions: Present holdings.
        options: Present option holdings.
        order_books: By symbol, in the order of the symbols, as are the next two.
        feed_timestamps: By feed: seconds since the epoch of its last update.
        average_daily_volumes: By symbol, in units of the asset.
    """

    timestamps: FloatArray
    drawdowns: FloatArray
    returns: FloatArray
    price_changes: FloatArray
    order_flows: FloatArray
    order_latencies_us: FloatArray
    trade_timestamps: FloatArray
    trade_notionals: FloatArray
    start_of_day_value: float | None
    capital_base: float | None
    now: float | None
    periods_per_year: float | None
    positions: tuple[Position, ...]
    options: tuple[OptionPosition, ...]
    order_books: Mapping[str, OrderBook]
    feed_timestamps: Mapping[str, float]
    average_daily_volumes: Mapping[str, float]

    def __init__(self, given: Mapping[str, Any]) -> None:
        vars(self).update(given)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{name} is in neither `windows` nor `needs` of this calculator")


def _nothing(_: Any) -> Mapping[str, int]:
    return {}


@dataclass(frozen=True, kw_only=True)
class PythonCalculator(Calculator[SettingsT]):
    """A calculator in plain Python.

    It must be a function of what it is given: the same settings and the same view give the same
    answer, to the last bit. Larger metrics are riskier, and losses are positive.

    Attributes:
        calculate: Gives its answer for settings and an account.
        needs: The fewest elements of each input without which its metrics are unavailable, and
            `calculate` is not called: of a series in `windows` 1, unless stated. For what is not a
            series 1 says that it must be there, and a number of it finite and positive; 0 that it
            may be. A series that is needed holds finite numbers alone.

    `windows` may look back over bars of `timestamps`, `drawdowns` and `returns`, intervals of
    `price_changes` and `order_flows`, orders of `order_latencies_us`, and seconds of `trades`, at
    most a day. `needs` may name these, and every other attribute of AccountView.

    Raises:
        ValueError: A field is none.
    """

    calculate: Callable[[SettingsT, AccountView], Answer]
    needs: Callable[[SettingsT], Mapping[str, int]] = _nothing

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ValueError(f"a calculator's name must match {_NAME.pattern}, not {self.name!r}")
        if type(self.version) is not int or self.version < 1:
            raise ValueError(f"version of {self.name} must be 1 or more, not {self.version!r}")
        if not (isinstance(self.settings, type) and issubclass(self.settings, Settings)):
            raise ValueError(
                f"settings of {self.name} must be a subclass of tradewind.settings.Settings, "
                f"not {self.settings!r}"
            )
        for field in ("metrics", "windows", "needs", "calculate"):
            if not callable(getattr(self, field)):
                raise ValueError(f"{field} of {self.name} must be a function")
