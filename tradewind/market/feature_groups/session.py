"""Where in its session a bar stands, and what happened while the market was closed."""

import math
from typing import ClassVar, Self

import numpy as np
from pydantic import Field

from tradewind.errors import MarketDataError
from tradewind.market.bars import FloatArray
from tradewind.market.calendars import market_named
from tradewind.market.feature_group import BarWindow, FeatureGroup
from tradewind.market.sessions import DAY_NS

__all__ = ["Session"]


class Session(FeatureGroup):
    """Time of the session, and the closing before the newest bar.

    - `session_elapsed`: what part of the session is over when the bar starts, from 0 to 1, by the
      market's own clock: half days and summer time count. Of the day (UTC) where it never closes.
    - `session_opening`: 1 for the first bar after the market was closed, else 0.
    - `session_closed_days`: for how many days it was closed before that bar, else 0.
    - `session_gap`: the logarithm of its open over the close before it, times `scale`; else 0.
    """

    name: ClassVar[str] = "session"
    version: ClassVar[int] = 1

    market: str | None = Field(default=None, min_length=1, max_length=128)
    """Name of the market; None takes that of the bars that are trained on, and a bundle names
    it."""

    scale: float = Field(default=100.0, gt=0.0)
    """100 puts gaps in percent."""

    @property
    def lookback(self) -> int:
        """The newest bar and the one before it."""
        return 2

    @property
    def component_names(self) -> tuple[str, ...]:
        """Four."""
        return ("session_elapsed", "session_opening", "session_closed_days", "session_gap")

    def of_market(self, market: str) -> Self:
        """The group with the market of the bars.

        Raises:
            MarketDataError: It names another one.
        """
        if self.market is not None and market_named(self.market).name != market:
            raise MarketDataError(
                f"features.groups: session is for bars of the market {self.market}, these are of "
                f"{market}; leave its market out to take that of the bars"
            )
        return self.model_copy(update={"market": market})

    def row(self, window: BarWindow) -> FloatArray:
        """The numbers after the second bar."""
        last: FloatArray = self.rows(window)[-1]
        return last

    def rows(self, bars: BarWindow) -> FloatArray:
        """The numbers after each bar."""
        if self.market is None:
            raise ValueError("session needs a market: name one, or make an environment with it")
        market = market_named(self.market)
        closed_ns = market.closed_before_ns(bars.timestamps_ns)
        rows = np.zeros((len(bars.close), 4))
        rows[:, 0] = market.session_elapsed(bars.timestamps_ns)
        rows[:, 2] = closed_ns / DAY_NS
        for at in np.flatnonzero(closed_ns).tolist():
            rows[at, 1] = 1.0
            rows[at, 3] = math.log(bars.open[at] / bars.close[at - 1]) * self.scale
        return rows
