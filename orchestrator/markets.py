"""The markets of what is traded: which bars there are, and until when an order may wait."""

import logging
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import MarketDataError
from tradewind.market.instruments import Instrument
from tradewind.market.markets import ALWAYS_OPEN, Market, market_named
from tradewind.settings import parse_settings

__all__ = ["LAST_CLOSE", "Markets"]

_logger = logging.getLogger(__name__)

LAST_CLOSE: Final = "last_close"
"""What a log's facts say of the start of a day, where it is the last close before it."""

_LONGEST_DAILY_NS: Final = 129_600 * 1_000_000_000
"""Bars of more than a day and a half are of several days."""


class Markets:
    """The market of each symbol, or that it is not known.

    Where it is not known, or beyond the end of its calendar, a bar follows the one before it
    whenever it comes.

    Args:
        markets: Of each symbol; None where it is not known.
        interval_ns: Length of a bar.
        annualises: Whether the risk service is told how many bars a year has; logs of releases that
            did not are replayed without.
        days_begin_before: Whether a day begins with the last close before it also where the bar
            that ends the day before is missing; else with the first close within it, as in logs
            of earlier releases.
        instruments: What symbols are traded as; any quantity of the others is, at any price.

    Attributes:
        instruments: The same.
    """

    def __init__(
        self,
        markets: Mapping[str, Market | None],
        interval_ns: int,
        *,
        annualises: bool = True,
        instruments: Mapping[str, Instrument] = MappingProxyType({}),
        days_begin_before: bool = True,
    ) -> None:
        self.instruments = dict(instruments)
        self._markets = dict(markets)
        self._distinct = tuple({*self._markets.values()})
        self._annualises = annualises
        self._days_begin_before = days_begin_before
        self._interval_ns = interval_ns
        self._told: set[Market] = set()
        self._account_market = _most_frequent(list(self._markets.values()), interval_ns)
        self._next_starts_ns: dict[str, tuple[int, int]] = {}

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
        instruments = {
            symbol: parse_settings(said, Instrument, source="the log's instruments")
            for symbol, said in facts.get("instruments", {}).items()
        }
        return cls(
            markets,
            facts["interval_ns"],
            annualises="markets" in facts,
            days_begin_before=facts.get("start_of_day") == LAST_CLOSE,
            instruments=instruments,
        )

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

    def ends_day(self, close_ns: int) -> bool:
        """Whether the bar of a close ends a trading day of the account, or goes on beyond its end.

        Asked of the first close of a day: if not, the bar that ends the day before is missing.
        """
        if not self._days_begin_before:
            return True
        return self.trading_day(close_ns - self._interval_ns) != self.trading_day(close_ns)

    def session_hours_ns(self, symbol: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """When the sessions of a symbol's market open and close.

        None where it never closes, or is not known. Shape [n] each.
        """
        return (self._markets.get(symbol) or ALWAYS_OPEN).session_hours_ns

    def knows(self, symbol: str, at_ns: int | None = None) -> bool:
        """Whether the market of a symbol is known, and its calendar as far as a time if one is."""
        market = self._markets.get(symbol)
        return market is not None and (at_ns is None or market.covers(at_ns))

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

    def end_ns(self, symbol: str, start_ns: int) -> int:
        """From when on nothing more is traded in a bar of a symbol.

        The last bar of a session is over when that closes: the half hour after 15:30 of hours that
        begin at 9:30, and a day's bar long before midnight.
        """
        market = self._markets.get(symbol)
        nominal_ns = start_ns + self._interval_ns
        sessions = None if market is None else market.sessions
        if sessions is None or self._interval_ns > _LONGEST_DAILY_NS:
            return nominal_ns
        run = int(np.searchsorted(sessions.run_closes_ns, start_ns, side="right"))
        if run == sessions.run_closes_ns.size or sessions.run_opens_ns[run] >= nominal_ns:
            return nominal_ns  # beyond the calendar, or outside its hours
        return min(nominal_ns, int(sessions.run_closes_ns[run]))

    def next_close_ns(self, symbol: str, close_ns: int) -> int:
        """When the bar closes that follows one of a symbol: until then its order may wait.

        Args:
            symbol: What is traded.
            close_ns: When its last bar closed.
        """
        start_ns = self._next_start_ns(self._markets.get(symbol), close_ns - self._interval_ns)
        return start_ns + self._interval_ns

    def due_ns(self, start_ns: int, bars: int = 1, symbol: str | None = None) -> int:
        """When so many bars that follow one have closed, in the market that is first.

        Args:
            start_ns: When the bar starts, or another time of its grid.
            bars: How many.
            symbol: In the market of this one instead.
        """
        markets = self._distinct if symbol is None else (self._markets.get(symbol),)
        return min([self._due_ns(market, start_ns, bars) for market in markets])

    def first_due_ns(self, now_ns: int) -> int:
        """When the bar after the present one has closed, where no bar has shown its grid yet."""
        return min(
            self._due_ns(market, self._on_grid(market, now_ns), 1) for market in self._distinct
        )

    def _on_grid(self, market: Market | None, now_ns: int) -> int:
        """The latest time up to now at which a bar starts, or would if the market were open.

        Bars within sessions start with the opening: an hour's at half past nine, and half past ten.
        """
        start_ns = now_ns - now_ns % self._interval_ns
        if market is None or market.sessions is None or market.is_daily(self._interval_ns):
            return start_ns
        if self._interval_ns > _LONGEST_DAILY_NS or not market.covers(now_ns):
            return start_ns
        runs = market.sessions
        opens_ns = int(runs.run_opens_ns[np.searchsorted(runs.run_closes_ns, now_ns, "right")])
        return now_ns - (now_ns - opens_ns) % self._interval_ns

    def _due_ns(self, market: Market | None, start_ns: int, bars: int) -> int:
        for _ in range(bars):
            start_ns = self._next_start_ns(market, start_ns)
        return start_ns + self._interval_ns

    def _next_start_ns(self, market: Market | None, start_ns: int) -> int:
        if market is None:
            return start_ns + self._interval_ns
        # All symbols of a tick, and what comes after it, ask the same.
        asked_ns, answer_ns = self._next_starts_ns.get(market.name, (None, 0))
        if asked_ns != start_ns:
            try:
                answer_ns = market.next_bar_start_ns(start_ns, self._interval_ns)
            except MarketDataError as problem:
                self._tell_once(market, problem)
                answer_ns = start_ns + self._interval_ns
            self._next_starts_ns[market.name] = (start_ns, answer_ns)
        return answer_ns

    def _tell_once(self, market: Market, problem: MarketDataError) -> None:
        if market not in self._told:
            self._told.add(market)
            _logger.warning("%s; there the market is not known", problem)


def _most_frequent(markets: list[Market | None], interval_ns: int) -> Market | None:
    """The market with the most bars in a year; None where one is not known."""
    known = [market for market in markets if market is not None]
    if not known or len(known) < len(markets):
        return None
    return max(known, key=lambda market: market.periods_per_year(interval_ns))
