"""The conditions of bars: what instruments ask, and what depends on the bar."""

import warnings
from collections.abc import Sequence
from typing import Final

import numpy as np

from tradewind.errors import MarketDataError
from tradewind.market.bars import Bars, FloatArray, format_time
from tradewind.market.conditions import BORROW, DIVIDEND, FUNDING, IMPACT, SPLIT
from tradewind.market.instruments import Instrument
from tradewind.market.markets import market_named
from tradewind.market.terms import TradingTerms
from tradewind.market.volume import average_daily_volumes, daily_averages

__all__ = [
    "InstrumentWarning",
    "bar_conditions",
    "carry_rates",
    "check_instruments",
    "elapsed_costs",
]

_NS_PER_HOUR: Final = 3_600 * 1_000_000_000
_NS_PER_YEAR: Final = 365 * 24 * _NS_PER_HOUR


_SMALLEST_STEP: Final = 1e-4
_LARGEST_DIVIDEND: Final = 1.2


class InstrumentWarning(UserWarning):
    """An account that can hardly trade what it is to trade."""


def bar_conditions(series: Sequence[Bars], terms: TradingTerms) -> FloatArray | None:
    """What each bar of some symbols is traded on, as `tradewind.market.conditions` reads it.

    The impact of a trade at the open of a bar is what was known at the close before. As long as
    seven days have not gone by, it is that of the first seven.

    Returns:
        Shape [n, CONDITION_COUNT, s], or [1, CONDITION_COUNT, s] where nothing depends on the bar;
        None where there are no conditions.

    Raises:
        InvalidInputError: There are instruments of another number of symbols.
        MarketDataError: An impact is asked of bars that have no volume.
    """
    actions = {row: each for row, each in enumerate(series) if each.adjustment is not None}
    if not (terms.has_conditions or actions):
        return None
    fixed = terms.conditions(len(series))
    instruments = terms.instruments_of(len(series)) or (Instrument(),) * len(series)
    carried = [carry_rates(each, terms) for each in instruments]
    if not (terms.costs.impact or actions or any(map(any, carried))):
        return fixed[np.newaxis]
    found = np.repeat(fixed[np.newaxis], len(series[0]), axis=0)
    for row, (bars, instrument) in enumerate(zip(series, instruments, strict=True)):
        closes = bars.close_times_ns
        funding, borrow = carried[row]
        found[1:, FUNDING, row] = [
            elapsed_costs(instrument, funding, borrow, before, now)[0]
            for before, now in zip(closes[:-1].tolist(), closes[1:].tolist(), strict=True)
        ]
        found[1:, BORROW, row] = borrow * (np.diff(closes) / _NS_PER_YEAR)
        if terms.costs.impact:
            found[:, IMPACT, row] = terms.costs.impact * _unit_impacts(bars)
        if row in actions:
            found[1:, SPLIT, row], found[1:, DIVIDEND, row] = _actions(bars)
    return found


def _actions(bars: Bars) -> tuple[FloatArray, FloatArray]:
    """Splits and dividends between a bar and the one before it. Shapes [n - 1].

    A step of the adjustment by a factor f says that what one unit was worth at a close is worth as
    much as f units at the next open. A large one is a split: units are multiplied by f. A small one
    is a dividend of close · (1 − 1/f) in cash (the CRSP convention, which Yahoo's closes follow).
    Taken one for the other, an account is worth the same. Smaller ones yet are the rounding of
    adjusted closes.
    """
    assert bars.adjustment is not None, "others have no actions"
    steps = bars.adjustment[1:] / bars.adjustment[:-1]
    last = bars.traded(bars.close)[:-1]
    is_real = np.abs(steps - 1.0) > _SMALLEST_STEP
    is_dividend = is_real & (steps > 1.0) & (steps <= _LARGEST_DIVIDEND)
    splits = np.where(is_real & ~is_dividend, steps, 1.0)
    dividends = np.where(is_dividend, last * (1.0 - 1.0 / steps), 0.0)
    return splits, dividends


def elapsed_costs(
    instrument: Instrument, funding: float, borrow: float, before_ns: int, now_ns: int
) -> tuple[float, float]:
    """What a position costs from one close to the next, as fractions of its value.

    Args:
        instrument: How long a funding period is.
        funding: A period.
        borrow: A year.
        before_ns: The close before, nanoseconds since the epoch.
        now_ns: The close.

    Returns:
        Funding for the periods that end after the one and not after the other, and borrowing for
        the time between, nights and week-ends included.
    """
    period_ns = round(instrument.funding_hours * _NS_PER_HOUR)
    periods = now_ns // period_ns - before_ns // period_ns
    return funding * periods, borrow * ((now_ns - before_ns) / _NS_PER_YEAR)


def carry_rates(instrument: Instrument, terms: TradingTerms) -> tuple[float, float]:
    """Funding a period, and borrowing a year."""
    costs = terms.costs
    funding = instrument.funding if costs.funding is None else costs.funding
    borrow = instrument.borrow_cost if costs.borrow is None else costs.borrow
    return funding, borrow


def _unit_impacts(bars: Bars) -> FloatArray:
    """σ / √V at the close before each bar: what one unit moves the price. Shape [n]."""
    returns = np.diff(np.log(bars.close), prepend=np.log(bars.close[0]))
    volatility = np.sqrt(daily_averages(bars, returns**2))
    volumes = average_daily_volumes(bars)
    with np.errstate(divide="ignore", invalid="ignore"):
        units = volatility / np.sqrt(volumes)
    known = np.flatnonzero(np.isfinite(units))
    if not known.size:
        raise MarketDataError(
            f"{bars.symbol}: costs.impact needs the volume and the volatility of seven days, and "
            "the bars have none; leave it out, or take bars with volume"
        )
    # What was known last; at the beginning, what is known first.
    places = known[np.maximum(np.searchsorted(known, np.arange(len(bars)), side="right") - 1, 0)]
    filled: FloatArray = units[places]
    return np.concatenate([filled[:1], filled[:-1]])


def check_instruments(series: Sequence[Bars], terms: TradingTerms, *, stacklevel: int = 2) -> None:
    """Holds instruments against the bars and the cash that are to trade them.

    Warns, once a symbol, where the account cannot hold a lot or reach the smallest order.

    Args:
        series: What is traded.
        terms: On which terms.
        stacklevel: Whom the warning is to name, as `warnings.warn` counts.

    Raises:
        InvalidInputError: There are instruments of another number of symbols.
        MarketDataError: The bars are of another market, or a price is below one tick.
    """
    for bars, each in zip(series, terms.instruments_of(len(series)), strict=False):
        if each.market is not None and market_named(each.market) != bars.market:
            raise MarketDataError(
                f"{bars.symbol}: its instrument is traded on the market {each.market}, the bars "
                f"are of {bars.market.name}: name another instrument, or the bars' market"
            )
        lows = bars.traded(bars.low)
        below = np.flatnonzero(lows < (each.tick or 0.0))
        if below.size:
            at = int(below[0])
            raise MarketDataError(
                f"{bars.symbol}: row {at + 1} ({format_time(bars.timestamps_ns[at])}) has a low of "
                f"{lows[at]:g}, below one tick of {each.tick:g}: it is another instrument, or "
                "its prices have another unit"
            )
        most = terms.initial_cash * min(terms.position_fraction, terms.margin_limit)
        smallest = max(each.lot_units * float(lows.min()), each.min_notional or 0.0)
        if smallest > most:
            warnings.warn(
                f"{bars.symbol}: its smallest order is one of {smallest:,.2f} {each.currency}, and "
                f"a position may be {most:,.2f}: nothing can be traded. Raise initial_cash, or "
                "name an instrument with a smaller lot and min_notional",
                InstrumentWarning,
                stacklevel=stacklevel + 1,
            )
