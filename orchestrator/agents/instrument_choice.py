"""What each symbol is traded as: as the settings say, or as its policy was trained."""

import logging
from collections.abc import Mapping, Sequence

from orchestrator.settings import AllocationSettings
from tradewind.errors import ConflictError
from tradewind.identity import Identity, part_key, stated
from tradewind.market import TradingTerms
from tradewind.market.instruments import Instrument
from tradewind.market.markets import market_named

__all__ = ["choose_instruments"]

_logger = logging.getLogger(__name__)


def choose_instruments(
    settings: Mapping[str, Instrument],
    allocations: Sequence[AllocationSettings],
    trained_on: Mapping[str, TradingTerms],
    markets: Mapping[str, str | None],
) -> dict[str, Instrument]:
    """The instrument of each symbol that has one, said in a line.

    Args:
        settings: The instruments that the settings name, by symbol.
        allocations: What is traded.
        trained_on: The trading terms of each policy.
        markets: The name of each symbol's market, where it is known.

    Raises:
        ConflictError: A policy was trained on another instrument than the settings say, or the
            instrument is traded on another market.
    """
    chosen: dict[str, Instrument] = {}
    for allocation in allocations:
        trained = trained_on[allocation.policy].instruments_of(len(allocation.symbols))
        for row, symbol in enumerate(allocation.symbols):
            named = settings.get(symbol)
            if trained and named is not None and named != trained[row]:
                raise ConflictError(
                    f"policy {allocation.policy} was trained on another instrument than the "
                    f"settings give {symbol}: {_difference(trained[row], named)}. Leave {symbol} "
                    "out of instruments, or train the policy on this one"
                )
            instrument = trained[row] if trained else named
            if instrument is None:
                continue
            if not trained:
                _logger.warning(
                    "%s is traded as an instrument that its policy %s was not trained on: orders "
                    "are rounded here that were not in training",
                    symbol,
                    allocation.policy,
                )
            _check_market(symbol, instrument, markets.get(symbol))
            _logger.info("instrument of %s: %s", symbol, stated(instrument))
            chosen[symbol] = instrument
    return chosen


def _check_market(symbol: str, instrument: Instrument, market: str | None) -> None:
    if instrument.market is None or market is None:
        return
    if market_named(instrument.market) != market_named(market):
        raise ConflictError(
            f"the instrument of {symbol} is traded on the market {instrument.market}, and {symbol} "
            f"is traded here on {market}"
        )


def _difference(trained: Instrument, named: Instrument) -> str:
    there, here = (
        Identity("instrument", {part_key("instrument", 1): stated(each)})
        for each in (trained, named)
    )
    return here.match(there.digest, there.parts).reason
