"""What holding a position costs in a simulated account: funding and borrowing, as in training."""

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.account.portfolio import Allocation
from tradewind.identity import stated
from tradewind.market import Instrument, TradingTerms
from tradewind.market.bar_conditions import carry_rates
from tradewind.settings import parse_settings

__all__ = ["carried_facts", "carried_instruments", "read_carried"]


def carried_instruments(
    allocations: Iterable[Allocation],
    trained_on: Mapping[str, TradingTerms],
    instruments: Mapping[str, Instrument],
) -> dict[str, Instrument]:
    """The symbols that cost something while they are held, with what they cost.

    Args:
        allocations: What is traded.
        trained_on: The trading terms of each policy, whose costs stand over those of instruments.
        instruments: What symbols are traded as.
    """
    found: dict[str, Instrument] = {}
    for allocation in allocations:
        for symbol in allocation.symbols:
            instrument = instruments.get(symbol, Instrument())
            funding, borrow = carry_rates(instrument, trained_on[allocation.policy])
            if funding or borrow:
                rates = {"funding": funding, "borrow_cost": borrow}
                found[symbol] = instrument.model_copy(update=rates)
    return found


def carried_facts(carried: Mapping[str, Instrument]) -> dict[str, Any]:
    """What a decision log says of them."""
    return {symbol: stated(each) for symbol, each in carried.items()}


def read_carried(facts: Mapping[str, Any]) -> dict[str, Instrument]:
    """Those of a decision log's facts; none in older ones."""
    return {
        symbol: parse_settings(said, Instrument, source="the log's carried instruments")
        for symbol, said in facts.get("carried", {}).items()
    }
