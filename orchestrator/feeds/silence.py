"""How long a feed may be silent before it is asked again."""

from typing import Final

from orchestrator.markets import Markets

__all__ = ["Silence"]

_NS_PER_SECOND: Final = 1_000_000_000
_SHORTEST_NS: Final = 5 * _NS_PER_SECOND
_OF_UNKNOWN_BARS_NS: Final = 600 * _NS_PER_SECOND
_LARGEST_FACTOR: Final = 8


class Silence:
    """Says until when a new bar must have come.

    Counted are bars that the markets should have brought: a night, a week-end or a holiday is no
    silence. Who asks in vain asks again after twice as long, up to eight times as long.

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
        last_ns = self._last_starts_ns.get(symbol)
        self._last_starts_ns[symbol] = start_ns
        if last_ns is not None:
            self._spacing_ns = min(start_ns - last_ns, self._spacing_ns or start_ns - last_ns)

    def asks_in_vain(self) -> None:
        """Takes note that nothing came for as long as was allowed."""
        self._factor = min(2 * self._factor, _LARGEST_FACTOR)

    def allowed_ns(self, now_ns: int) -> int:
        """Nanoseconds from now until a new bar must have come."""
        bars = self._bars * self._factor
        if self._markets is not None:
            until_ns = self._markets.due_ns(self._last_start_ns(now_ns), bars) - now_ns
        elif self._spacing_ns is not None:
            until_ns = (bars + 1) * self._spacing_ns
        else:
            until_ns = self._factor * _OF_UNKNOWN_BARS_NS
        return max(until_ns, self._factor * _SHORTEST_NS)

    def _last_start_ns(self, now_ns: int) -> int:
        """Start of the last bar that may have come by now, on the grid of those that did."""
        assert self._markets is not None
        interval_ns = self._markets.interval_ns
        last_ns = max(self._last_starts_ns.values(), default=0)
        return last_ns + max((now_ns - last_ns) // interval_ns - 1, 0) * interval_ns
