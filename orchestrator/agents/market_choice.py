"""Which market each symbol belongs to: as the settings say, the policy, or the bars themselves."""

import logging
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.account.journal import JournalEntry
from orchestrator.feeds import KnownTimes
from orchestrator.markets import Markets
from orchestrator.settings import AllocationSettings
from tradewind.errors import ConflictError, MarketDataError
from tradewind.market.agreement import contradiction, shows_sessions
from tradewind.market.markets import Market, market_named, recognise_market

__all__ = ["AUTO", "choose_markets"]

_logger = logging.getLogger(__name__)

AUTO: Final = "auto"


def choose_markets(
    setting: str,
    allocations: Sequence[AllocationSettings],
    trained_on: Mapping[str, str | None],
    known_times: KnownTimes,
    entries: Sequence[JournalEntry],
    interval_ns: int,
) -> Markets:
    """The market of each symbol, said in one line for each allocation.

    Args:
        setting: The account's market by its name, or "auto".
        allocations: What is traded; each may name a market of its own.
        trained_on: The market that the bundle of each policy names, if it names one.
        known_times: Bars that will come, or that there were.
        entries: Of the journal: what is not known otherwise is recognised from their bars.
        interval_ns: Length of a bar.

    Raises:
        ConflictError: Settings, policy and bars contradict each other.
        MarketDataError: There is no market of such a name.
    """
    chosen: dict[str, Market | None] = {}
    for allocation in allocations:
        times = {
            symbol: known_times[symbol] if symbol in known_times else _journalled(entries, symbol)
            for symbol in allocation.symbols
        }
        named = allocation.market or setting
        market, why = _choose(named, trained_on.get(allocation.policy), times, interval_ns)
        chosen |= dict.fromkeys(allocation.symbols, market)
        told = why if market is None else f"{market.name} ({why})"
        _logger.info("market of %s: %s", ", ".join(allocation.symbols), told)
    return Markets(chosen, interval_ns)


def _choose(
    named: str, trained_on: str | None, times: KnownTimes, interval_ns: int
) -> tuple[Market | None, str]:
    """The market of one allocation, and why it is that."""
    if named != AUTO:
        market, why = market_named(named), "as the settings say"
        if trained_on is not None and market_named(trained_on) != market:
            raise ConflictError(
                f"the policy was trained on the market {trained_on}, the settings say {named}"
            )
    elif trained_on is not None:
        market, why = market_named(trained_on), "as the policy was trained"
    else:
        return _recognise(times, interval_ns)
    for symbol, starts in times.items():
        _refuse_contradiction(market, symbol, starts, interval_ns, why)
    return market, why


def _recognise(times: KnownTimes, interval_ns: int) -> tuple[Market | None, str]:
    found: dict[str, Market] = {}
    for symbol, starts in times.items():
        if shows_sessions(starts, interval_ns):
            try:
                found[symbol] = recognise_market(starts, interval_ns)
            except MarketDataError as problem:
                return None, f"not known: {symbol}: {problem}"
    if not found:
        return None, (
            "not known, for there are too few bars to recognise it: every gap is crossed as in "
            "training, and a closed market is taken for a silent one; `market` in the settings "
            "says which it is"
        )
    if len(set(found.values())) > 1:
        each = ", ".join(f"{symbol} {market.name}" for symbol, market in found.items())
        raise ConflictError(
            f"symbols that one policy trades together come from several markets ({each}): "
            "`market` in the settings says which counts"
        )
    market = next(iter(found.values()))
    return market, f"recognised from the bars: {market.said}"


def _refuse_contradiction(
    market: Market, symbol: str, starts: NDArray[np.int64], interval_ns: int, why: str
) -> None:
    """Refuses a market that the bars are not of."""
    if problem := contradiction(market, starts, interval_ns):
        raise ConflictError(
            f"the bars of {symbol} are not those of the market {market.name} ({why}): {problem}; "
            "`market: auto` recognises it"
        )


def _journalled(entries: Sequence[JournalEntry], symbol: str) -> NDArray[np.int64]:
    starts = {bar.start_ns for entry in entries for bar in entry.bars if bar.symbol == symbol}
    return np.array(sorted(starts), dtype=np.int64)
