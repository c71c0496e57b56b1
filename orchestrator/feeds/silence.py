"""How long a feed, or a symbol of it, may be silent before it is asked again."""

import asyncio
import time
from collections.abc import Collection
from typing import Final

from orchestrator.markets import Markets

__all__ = ["Patience", "Silence"]

_NS_PER_SECOND: Final = 1_000_000_000
_SHORTEST_NS: Final = 5 * _NS_PER_SECOND
_OF_UNKNOWN_BARS_NS: Final = 600 * _NS_PER_SECOND
_LARGEST_FACTOR: Final = 8


class Silence:
    """Says until when a new bar must have come.

    Counted are bars that the markets should have brought: a night, a week-end or a holiday is no
    silence. Who asks in vain asks again after twice as long, up to eight times as long. A symbol
    that is silent while others trade has half a bar more: asking again must not be in the way of
    the bars of the others, which come at closes.

    Args:
        bars: So many bars must have been missed, and 5 s must have gone by.
        markets: What is traded, and in bars of what length; None learns the length from the bars
            and takes the markets to be always open.
    """

    def __init__(self, bars: int, markets: Markets | None) -> None:
        self._bars = bars
        self._markets = markets
        self._spacing_ns: int | None = None
        self._last_starts_ns: dict[str, int] = {}
        self._factor = 1
        self._factors: dict[str, int] = {}

    @property
    def interval_ns(self) -> int | None:
        """Length of a bar; None while it is not known."""
        return self._spacing_ns if self._markets is None else self._markets.interval_ns

    def end_ns(self, symbol: str, start_ns: int) -> int:
        """From when on nothing more is traded in a bar, as far as its length is known."""
        if self._markets is not None:
            return self._markets.end_ns(symbol, start_ns)
        return start_ns + (self._spacing_ns or 0)

    def heard(self, symbol: str, start_ns: int) -> None:
        """Takes note of a new bar, which starts later than those of its symbol before it."""
        self._factor = 1
        self._factors.pop(symbol, None)
        last_ns = self._last_starts_ns.get(symbol)
        self._last_starts_ns[symbol] = start_ns
        if last_ns is not None:
            self._spacing_ns = min(start_ns - last_ns, self._spacing_ns or start_ns - last_ns)

    def asks_in_vain(self, symbols: Collection[str] = ()) -> None:
        """Takes note that nothing came for as long as was allowed.

        Args:
            symbols: Of these alone; none for the feed as a whole.
        """
        for symbol in symbols:
            self._factors[symbol] = min(2 * self._factor_of(symbol), _LARGEST_FACTOR)
        if not symbols:
            self._factor = min(2 * self._factor, _LARGEST_FACTOR)

    def allowed_ns(self, now_ns: int, symbol: str | None = None) -> int:
        """Nanoseconds from now until a new bar must have come.

        Args:
            now_ns: The clock, nanoseconds since the epoch.
            symbol: Of this one; None for one of any symbol.
        """
        factor = self._factor if symbol is None else self._factor_of(symbol)
        bars = self._bars * factor
        if self._markets is not None:
            start_ns = self._last_start_ns(now_ns, symbol)
            until_ns = self._markets.due_ns(start_ns, bars, symbol) - now_ns
        elif self._spacing_ns is not None:
            until_ns = (bars + 1) * self._spacing_ns
        else:
            until_ns = factor * _OF_UNKNOWN_BARS_NS
        if symbol is not None:
            until_ns += (self.interval_ns or 0) // 2
        return max(until_ns, factor * _SHORTEST_NS)

    def _factor_of(self, symbol: str) -> int:
        return max(self._factor, self._factors.get(symbol, 1))

    def _last_start_ns(self, now_ns: int, symbol: str | None) -> int:
        """Start of the last bar that may have come by now, on the grid of those that did."""
        assert self._markets is not None
        interval_ns = self._markets.interval_ns
        last_ns = max(self._last_starts_ns.values(), default=0)
        if symbol is not None:
            last_ns = self._last_starts_ns.get(symbol, last_ns)
        return last_ns + max((now_ns - last_ns) // interval_ns - 1, 0) * interval_ns


class Patience:
    """Until when new bars must have come over one connection.

    Args:
        silence: How long the feed may be silent.
        symbols: What was subscribed to.

    Attributes:
        until: Then it is over, on the clock of the loop.
    """

    def __init__(self, silence: Silence, symbols: Collection[str]) -> None:
        self._silence = silence
        self._allowed: dict[str | None, tuple[float, float]] = {}
        self._begin(None, *symbols)

    def hears(self, symbol: str) -> None:
        """Takes note of a new bar."""
        self._begin(None, symbol)

    def end(self) -> str:
        """Notes that it is over; gives whose bars did not come, and for how long, for people."""
        silent = [name for name, (_, until) in self._allowed.items() if until <= self.until]
        allowed_s, _ = self._allowed[silent[0]]
        if None in silent:
            self._silence.asks_in_vain()
            return f"no new bar for {allowed_s:g} s"
        names = [name for name in silent if name is not None]
        self._silence.asks_in_vain(names)
        return f"no new bar of {', '.join(names)} for {allowed_s:g} s"

    def _begin(self, *names: str | None) -> None:
        now_ns, now = time.time_ns(), asyncio.get_running_loop().time()
        for name in names:
            allowed_s = self._silence.allowed_ns(now_ns, name) / 1e9
            self._allowed[name] = (allowed_s, now + allowed_s)
        self.until = min(until for _, until in self._allowed.values())
