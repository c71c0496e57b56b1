"""Keeps bars that must not be learned from away from the policy, and says why."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field

from orchestrator.feeds.feed import FeedBar
from orchestrator.markets import Markets
from orchestrator.records import BarRecord, RefusedBarRecord
from tradewind.market import Bar
from tradewind.market.bars import format_time
from tradewind.market.checks import MAX_TIMESTAMP_NS, TIME_RULE, bar_violations
from tradewind.market.jumps import MAX_JUMP, is_jump
from tradewind.settings import Settings

__all__ = ["BarFault", "BarFlag", "BarGuard", "BarGuardSettings"]

_logger = logging.getLogger(__name__)

_NS_PER_SECOND = 1_000_000_000
_SHORTEST_DAILY_NS = 20 * 3_600 * _NS_PER_SECOND


class BarFault(StrEnum):
    """Why a bar was refused; nothing is learned from it and nothing traded on it."""

    MALFORMED = "MALFORMED"  # not a bar at all
    UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"
    ABSURD = "ABSURD"  # not finite, no price, high below low, no time
    FUTURE = "FUTURE"  # has not closed yet by the feed's clock
    FORMING = "FORMING"  # came before its close, and then another one for its time
    INTERVAL = "INTERVAL"  # is of another length than the bars that are traded on
    DUPLICATE = "DUPLICATE"  # the very bar that came before
    REVISED = "REVISED"  # another bar for a time that has been traded on: the first one stands
    OUT_OF_ORDER = "OUT_OF_ORDER"  # starts before the last one has closed
    JUMP = "JUMP"  # opens or closes too far from the last close


class BarFlag(StrEnum):
    """What was odd about a bar that was let through."""

    LATE = "LATE"  # it is learned from, but its symbol holds at this tick
    GAP = "GAP"  # bars are missing before it, few enough to go on
    WARM_UP_AGAIN = "WARM_UP_AGAIN"  # so many are missing that its symbol starts anew
    UNKNOWN_GAP = "UNKNOWN_GAP"  # as many may be: its market is not known, so the symbol goes on
    JUMP_CONFIRMED = "JUMP_CONFIRMED"  # several bars agree on the new price: it is one


class BarGuardSettings(Settings):
    """What is let through."""

    max_lateness_s: float = Field(default=5.0, gt=0.0)
    """A bar that arrives this long after its close is LATE."""

    max_clock_skew_s: float = Field(default=1.0, ge=0.0)
    """A bar may close this much later than the feed's clock says it is."""

    max_jump: float = Field(default=MAX_JUMP, gt=0.0)
    """Largest absolute log return from the last close to the open or the close of a bar."""

    jump_confirmations: int = Field(default=3, ge=2)
    """After so many bars in a row that would jump but agree with each other, the price is believed:
    a split or a crash does not shut a symbol out for ever."""

    max_gap_bars: int = Field(default=96, ge=0)
    """Most bars that may be missing in a row before the symbol warms up anew. Counted are those
    that its market should have had: a night is no gap. Where its market is not known it goes on
    whatever is missing, as training does."""

    @property
    def max_lateness_ns(self) -> int:
        """`max_lateness_s` in nanoseconds."""
        return round(self.max_lateness_s * _NS_PER_SECOND)


@dataclass(slots=True)
class _Symbol:
    """What is known of a symbol: its last bar, and bars that jumped away from it."""

    last: Bar | None = None
    doubted: Bar | None = None
    doubted_count: int = 0


class BarGuard:
    """Checks every bar before anything else sees it.

    Args:
        settings: What is let through.
        symbols: What is traded.
        interval_ns: Length of a bar.
        markets: Their markets; by default none is known.

    Attributes:
        settings: What is let through.
    """

    def __init__(
        self,
        settings: BarGuardSettings,
        symbols: Sequence[str],
        interval_ns: int,
        markets: Markets | None = None,
    ) -> None:
        self.settings = settings
        self._interval_ns = interval_ns
        self._markets = markets or Markets.unknown(symbols, interval_ns)
        self._lateness_ns = settings.max_lateness_ns
        self._skew_ns = settings.max_clock_skew_s * _NS_PER_SECOND
        self._told: set[str] = set()
        # By the clocks of a place days differ by an hour, half days close earlier, months by days.
        is_intraday = interval_ns < _SHORTEST_DAILY_NS
        self._shortest_ns = interval_ns if is_intraday else interval_ns * 5 // 6
        self._symbols = {symbol: _Symbol() for symbol in symbols}

    def check(self, item: FeedBar) -> BarRecord | RefusedBarRecord:
        """Lets a bar through or refuses it; a refused one leaves no trace in what comes."""
        bar = item.bar
        state = self._symbols.get(item.symbol)
        if state is None:
            return _refused(item, BarFault.UNKNOWN_SYMBOL, "is not traded here")
        refusal = self._impossible(item) or self._misplaced(item, state.last)
        if refusal is not None:
            return refusal
        jumps = state.last is not None and self._jumps(state.last, bar)
        if jumps and not self._confirmed(state, bar):
            assert state.last is not None
            detail = f"{bar.open:g} to {bar.close:g} after a close of {state.last.close:g}"
            return _refused(item, BarFault.JUMP, detail)
        flags = [BarFlag.JUMP_CONFIRMED] if jumps else []
        flags += self._oddities(item, state.last)
        state.last, state.doubted, state.doubted_count = bar, None, 0
        return BarRecord(
            item.symbol, bar.timestamp_ns, bar.open, bar.high, bar.low, bar.close, bar.volume,
            item.arrived_ns, tuple(flags),
        )  # fmt: skip

    def knows(self, symbol: str) -> bool:
        """Whether a symbol is traded here."""
        return symbol in self._symbols

    def early_ns(self, item: FeedBar) -> int:
        """How long before its close a bar arrived, nanoseconds; negative when it came after it."""
        start_ns = item.bar.timestamp_ns
        early_ns = start_ns + self._interval_ns - item.arrived_ns
        if early_ns <= 0:
            return early_ns  # a session may have cut it short, which makes no difference any more
        return self._markets.end_ns(item.symbol, start_ns) - item.arrived_ns

    def seen(self, symbol: str, bar: Bar) -> None:
        """Takes in a bar that was let through before a restart."""
        self._symbols[symbol].last = bar

    def _impossible(self, item: FeedBar) -> RefusedBarRecord | None:
        bar = item.bar
        violations = bar_violations(bar.open, bar.high, bar.low, bar.close, bar.volume)
        if violations:
            return _refused(item, BarFault.ABSURD, "; ".join(map(str, violations)))
        if abs(bar.timestamp_ns) > MAX_TIMESTAMP_NS:
            return _refused(item, BarFault.ABSURD, f"timestamp: {TIME_RULE}")
        if item.interval_ns is not None and item.interval_ns != self._interval_ns:
            detail = f"is {item.interval_ns / 1e9:g} s long, not {self._interval_ns / 1e9:g} s"
            return _refused(item, BarFault.INTERVAL, detail)
        early_ns = bar.timestamp_ns + self._interval_ns - item.arrived_ns
        if early_ns > self._skew_ns and (early_ns := self.early_ns(item)) > self._skew_ns:
            return _refused(item, BarFault.FUTURE, f"closes {early_ns / 1e9:g} s after it arrived")
        return None

    def _misplaced(self, item: FeedBar, last: Bar | None) -> RefusedBarRecord | None:
        if last is None or item.bar.timestamp_ns >= last.timestamp_ns + self._shortest_ns:
            return None
        if item.bar == last:
            return _refused(item, BarFault.DUPLICATE, "came before")
        if item.bar.timestamp_ns == last.timestamp_ns:
            return _refused(item, BarFault.REVISED, f"was {last} and is {item.bar}")
        detail = f"starts before the bar of {format_time(last.timestamp_ns)} has closed"
        return _refused(item, BarFault.OUT_OF_ORDER, detail)

    def _jumps(self, last: Bar, bar: Bar) -> bool:
        return is_jump(last.close, bar.open, bar.close, self.settings.max_jump)

    def _confirmed(self, state: _Symbol, bar: Bar) -> bool:
        doubted = state.doubted
        follows = (
            doubted is not None
            and bar.timestamp_ns >= doubted.timestamp_ns + self._shortest_ns
            and not self._jumps(doubted, bar)
        )
        state.doubted_count = state.doubted_count + 1 if follows else 1
        state.doubted = bar
        return state.doubted_count >= self.settings.jump_confirmations

    def _oddities(self, item: FeedBar, last: Bar | None) -> list[BarFlag]:
        flags = []
        close_ns = item.bar.timestamp_ns + self._interval_ns
        if item.arrived_ns - close_ns > self._lateness_ns:
            flags.append(BarFlag.LATE)
        if last is not None and item.bar.timestamp_ns - last.timestamp_ns > self._interval_ns:
            missing = self._markets.missing_bars(
                item.symbol, last.timestamp_ns, item.bar.timestamp_ns
            )
            if missing > self.settings.max_gap_bars:
                flags.append(self._long_gap(item, last, missing))
            elif missing:
                flags.append(BarFlag.GAP)
        return flags

    def _long_gap(self, item: FeedBar, last: Bar, missing: int) -> BarFlag:
        where = (
            f"{item.symbol}: {missing} bars from {format_time(last.timestamp_ns)} to "
            f"{format_time(item.bar.timestamp_ns)}, more than max_gap_bars "
            f"({self.settings.max_gap_bars})"
        )
        if self._markets.knows(item.symbol, item.bar.timestamp_ns):
            market = self._markets.names[item.symbol]
            _logger.warning("%s, are missing of the market %s: it warms up anew", where, market)
            return BarFlag.WARM_UP_AGAIN
        if item.symbol not in self._told:
            self._told.add(item.symbol)
            _logger.warning(
                "%s, may be missing; its market is not known, so it goes on across them, as "
                "training does: `market` in the settings says which nights are no gap; said once",
                where,
            )
        return BarFlag.UNKNOWN_GAP


def _refused(item: FeedBar, fault: BarFault, detail: str) -> RefusedBarRecord:
    return RefusedBarRecord(item.symbol, item.bar.timestamp_ns, fault, detail)
