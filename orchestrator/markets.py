"""The markets of what is traded: which bars there are, and until when an order may wait."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import MarketDataError
from tradewind.market.markets import ALWAYS_OPEN, Market, market_named

__all__ = ["Markets"]

_logger = logging.getLogger(__name__)


class Markets:
    """The market of each symbol, or that it is not known.

    Where it is not known, or beyond the end of its calendar, a bar follows the one before it
    whenever it comes.

    Args:
        markets: Of each symbol; None where it is not known.
        interval_ns: Length of a bar.
        annualises: Whether the risk service is told how many bars a year has; logs of releases that
            did not are replayed without.
    """

    def __init__(
        self,
        markets: Mapping[str, Market | None],
        interval_ns: int,
        *,
        annualises: bool = True,
    ) -> None:
        self._markets = dict(markets)
        self._annualises = annualises
        self._interval_ns = interval_ns
        self._told: set[Market] = set()
        self._account_market = _most_frequent(list(self._markets.values()), interval_ns)

    @classmethod
    def unknown(cls, symbols: Iterable[str], interval_ns: int) -> "Markets":
        """Symbols of which nothing is known."""
        return cls(dict.fromkeys(symbols), interval_ns)

    @classmethod
    def of_log(cls, symbols: Iterable[str], facts: Mapping[str, Any]) -> "Markets":
        """Those of a decision log's facts; in older ones every market is always open.

        Raises:
            MarketDataError: A market is not known here.
        """
        names = facts.get("markets", dict.fromkeys(symbols, ALWAYS_OPEN.name))
        markets = {
            symbol: None if name is None else market_named(name) for symbol, name in names.items()
        }
        return cls(markets, facts["interval_ns"], annualises="markets" in facts)

    @property
    def interval_ns(self) -> int:
        """Length of a bar."""
        return self._interval_ns

    @property
    def names(self) -> dict[str, str | None]:
        """The market of each symbol by its name."""
        return {
            symbol: None if market is None else market.name
            for symbol, market in self._markets.items()
        }

    @property
    def account_market(self) -> Market | None:
        """The market of the account; None where that of a symbol is not known.

        Of several, it is the one with the most bars: the account is valued at each of them.
        """
        return self._account_market

    @property
    def periods_per_year(self) -> float | None:
        """Bars in a year of the account; None where its market is not known."""
        market = self._account_market if self._annualises else None
        return None if market is None else market.periods_per_year(self._interval_ns)

    def trading_day(self, close_ns: int) -> int:
        """The trading day of the account that a close belongs to, as days since the epoch.

        Where its market is not known, the day of UTC.
        """
        market = self._account_market
        if market is not None:
            try:
                return market.trading_day(close_ns)
            except MarketDataError as problem:
                self._tell_once(market, problem)
        return ALWAYS_OPEN.trading_day(close_ns)

    def session_hours_ns(self, symbol: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """When the sessions of a symbol's market open and close.

        None where it never closes, or is not known. Shape [n] each.
        """
        return (self._markets.get(symbol) or ALWAYS_OPEN).session_hours_ns

    def knows(self, symbol: str) -> bool:
        """Whether the market of a symbol is known."""
        return self._markets.get(symbol) is not None

    def missing_bars(self, symbol: str, previous_start_ns: int, start_ns: int) -> int:
        """How many bars of a symbol are missing between two that begin at these times.

        Where its market is not known every interval without a bar counts.
        """
        market = self._markets.get(symbol)
        if market is not None:
            try:
                return market.missing_bars(previous_start_ns, start_ns, self._interval_ns)
            except MarketDataError as problem:
                self._tell_once(market, problem)
        return -((previous_start_ns - start_ns) // self._interval_ns) - 1

    def next_close_ns(self, symbol: str, close_ns: int) -> int:
        """When the bar closes that follows one of a symbol: until then its order may wait.

        Args:
            symbol: What is traded.
            close_ns: When its last bar closed.
        """
        start_ns = self._next_start_ns(self._markets.get(symbol), close_ns - self._interval_ns)
        return start_ns + self._interval_ns

    def due_ns(self, now_ns: int, bars: int = 1) -> int:
        """When so many bars that begin after a time have closed, in the market that is first."""
        return min(self._due_ns(market, now_ns, bars) for market in {*self._markets.values()})

    def _due_ns(self, market: Market | None, now_ns: int, bars: int) -> int:
        start_ns = now_ns
        for _ in range(bars):
            start_ns = self._next_start_ns(market, start_ns)
        return start_ns + self._interval_ns

    def _next_start_ns(self, market: Market | None, start_ns: int) -> int:
        if market is not None:
            try:
                return market.next_bar_start_ns(start_ns, self._interval_ns)
            except MarketDataError as problem:
                self._tell_once(market, problem)
        return start_ns + self._interval_ns

    def _tell_once(self, market: Market, problem: MarketDataError) -> None:
        if market not in self._told:
            self._told.add(market)
            _logger.warning("%s; it is taken to be always open there", problem)


def _most_frequent(markets: list[Market | None], interval_ns: int) -> Market | None:
    """The market with the most bars in a year; None where one is not known."""
    known = [market for market in markets if market is not None]
    if not known or len(known) < len(markets):
        return None
    return max(known, key=lambda market: market.periods_per_year(interval_ns))
