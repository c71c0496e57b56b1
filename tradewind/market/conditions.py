"""What a venue makes of an order, and what a position costs while it is held: kernels.

The environment, the orchestrator and the paper broker round, refuse and pay by these kernels.
The conditions of s symbols are an array of shape [CONDITION_COUNT, s].
"""

import math
from typing import Final

from tradewind.kernels.compiled import compiled, inlined
from tradewind.market.accounting import (
    BORROW_PAID,
    CASH,
    DIVIDENDS_RECEIVED,
    ENTRY_PRICE,
    FUNDING_PAID,
    IMPACT_PAID,
    MARK_PRICE,
    QUANTITY,
    REFUSED_TRADES,
    SPREAD_PAID,
    apply_fill,
)
from tradewind.market.bars import FloatArray

__all__ = [
    "BORROW",
    "CONDITION_COUNT",
    "DIVIDEND",
    "FEE",
    "FUNDING",
    "IMPACT",
    "LOT",
    "MAINTENANCE",
    "MIN_NOTIONAL",
    "SPLIT",
    "SPREAD",
    "TICK",
    "book_actions",
    "carry_positions",
    "fill_on_conditions",
    "is_called",
    "round_price",
    "round_trade",
    "worst_friction",
]

LOT: Final = 0  # step of a traded quantity, in units of the asset; 0 for none
MIN_NOTIONAL: Final = 1  # least notional of a trade; 0 for none
TICK: Final = 2  # step of a price; 0 for none
FEE: Final = 3  # fraction of the traded notional
SPREAD: Final = 4  # quoted spread as a fraction of the price; a fill pays half of it
MAINTENANCE: Final = 5  # equity that positions need, as a fraction of their value
IMPACT: Final = 6  # fraction of the price for a trade of one unit; grows with its square root
FUNDING: Final = 7  # fraction of a position's value that longs pay shorts at the close of the bar
BORROW: Final = 8  # fraction of a short position's value for the time of the bar
SPLIT: Final = 9  # units that one unit becomes at the open of the bar; 1 for none
DIVIDEND: Final = 10  # cash a unit, after the split, at the open of the bar
CONDITION_COUNT: Final = 11

_ROUNDING: Final = 1e-9
"""Of sums, as a fraction of a lot, of a position, and of a price in ticks."""


@inlined
def _steps(count: float, step: float) -> float:
    """So many steps, as a decimal says it: 3 steps of 0.1 are 0.3, not 0.30000000000000004."""
    inverse = math.floor(1.0 / step + 0.5)
    if step < 1.0 and abs(inverse * step - 1.0) < 1e-12:
        return count / inverse
    return count * step


@compiled
def round_trade(
    quantity: float, held: float, price: float, lot: float, min_notional: float
) -> float:
    """The quantity that may be traded of one that is wanted: towards zero to the lot.

    A trade that closes its position whole is always possible, however small the position is. One
    that would go through zero and may not be traded, or would not even reach zero, closes.

    Args:
        quantity: Signed quantity wanted.
        held: Signed position.
        price: Reference price.
        lot: Step of quantities; 0 for none.
        min_notional: Smaller trades are refused.

    Returns:
        The signed quantity, never more than was wanted; 0 where nothing may be traded.
    """
    if quantity == 0.0 or abs(quantity + held) <= _ROUNDING * abs(held):
        return quantity
    wanted = abs(quantity)
    size = wanted
    if lot > 0.0:
        count = math.floor(wanted / lot + 0.5)
        size = _steps(count, lot)
        if size > wanted:
            size = _steps(count - 1.0, lot)
    closes = held * quantity < 0.0 and wanted >= abs(held)
    too_small = size == 0.0 or size * price < min_notional
    # What would be left beyond zero is the rounding of sums, or not to be had.
    if closes and (too_small or size <= abs(held) + _ROUNDING * lot):
        return -held
    return 0.0 if too_small else math.copysign(size, quantity)


@compiled
def round_price(price: float, side: float, tick: float) -> float:
    """The next price that there is, never a better one: up for a buy, down for a sale.

    Args:
        price: Positive.
        side: Above 0 for a buy, below for a sale.
        tick: Step of prices; 0 for none.

    Returns:
        A multiple of the tick, one tick at least.
    """
    if tick <= 0.0:
        return price
    ticks = price / tick
    count = math.floor(ticks + 0.5)
    if abs(ticks - count) > _ROUNDING * max(1.0, ticks):
        count = math.ceil(ticks) if side > 0.0 else math.floor(ticks)
    return _steps(max(count, 1.0), tick)


@inlined
def worst_friction(
    conditions: FloatArray, row: int, slippage: float, quantity: float, price: float
) -> tuple[float, float]:
    """What a trade of some quantity costs at most, per unit of notional: as a buy, as a sale."""
    slip = slippage + 0.5 * conditions[SPREAD, row] + conditions[TICK, row] / price
    slip = min(slip + conditions[IMPACT, row] * math.sqrt(abs(quantity)), 0.5)
    fee = conditions[FEE, row]
    return (1.0 + slip) * (1.0 + fee) - 1.0, 1.0 - (1.0 - slip) * (1.0 - fee)


@compiled
def is_called(states: FloatArray, prices: FloatArray, conditions: FloatArray) -> bool:
    """Whether the equity at some prices is less than the positions' maintenance margin."""
    equity, needed = 0.0, 0.0
    for row in range(states.shape[0]):
        value = states[row, QUANTITY] * prices[row]
        equity += states[row, CASH] + value
        needed += conditions[MAINTENANCE, row] * abs(value)
    return equity < needed


@compiled
def fill_on_conditions(
    states: FloatArray,
    prices: FloatArray,
    slippage: float,
    traded: FloatArray,
    conditions: FloatArray,
    sizing_prices: FloatArray,
) -> None:
    """Fills what is wanted as far as the conditions let it, and counts what they do not.

    A fill is worse than its reference price by slippage, half the quoted spread, and the impact
    σ · Y · √(quantity / volume a day), IMPACT · √quantity here; then it is rounded to the tick.

    Args:
        states: State of the account. Shape [s, STATE_SIZE].
        prices: Reference prices. Shape [s].
        slippage: Fraction of the price.
        traded: The signed quantities wanted, which become those traded. Shape [s].
        conditions: Shape [CONDITION_COUNT, s].
        sizing_prices: What quantities were sized at, and smallest orders are judged at. Shape [s].
    """
    for row in range(traded.size):
        asked, price, held = traded[row], prices[row], states[row, QUANTITY]
        if asked == 0.0:
            continue
        quantity = round_trade(
            asked, held, sizing_prices[row], conditions[LOT, row], conditions[MIN_NOTIONAL, row]
        )
        traded[row] = quantity
        if quantity == 0.0:
            states[row, REFUSED_TRADES] += 1.0
            continue
        spread = 0.5 * conditions[SPREAD, row]
        impact = conditions[IMPACT, row] * math.sqrt(abs(quantity))
        slip = min(slippage + spread + impact, 0.5)
        fill_price = price * (1.0 + slip if quantity > 0.0 else 1.0 - slip)
        fill_price = round_price(fill_price, quantity, conditions[TICK, row])
        fee = abs(quantity) * fill_price * conditions[FEE, row]
        apply_fill(states[row], quantity, fill_price, price, fee)
        states[row, SPREAD_PAID] += abs(quantity) * price * spread
        states[row, IMPACT_PAID] += abs(quantity) * price * impact


@compiled
def book_actions(states: FloatArray, conditions: FloatArray) -> None:
    """Books splits and dividends before the open of a bar; what an account is worth stays.

    Args:
        states: State of the account. Shape [s, STATE_SIZE].
        conditions: Of the bar. Shape [CONDITION_COUNT, s].
    """
    for row in range(states.shape[0]):
        split, dividend = conditions[SPLIT, row], conditions[DIVIDEND, row]
        if split != 1.0:
            states[row, QUANTITY] *= split
            states[row, ENTRY_PRICE] /= split
            states[row, MARK_PRICE] /= split
        if dividend != 0.0:
            received = states[row, QUANTITY] * dividend
            states[row, CASH] += received
            states[row, MARK_PRICE] -= dividend
            states[row, DIVIDENDS_RECEIVED] += received


@compiled
def carry_positions(states: FloatArray, prices: FloatArray, conditions: FloatArray) -> None:
    """Charges what positions cost until the close of a bar: funding, and borrowing of shorts.

    Args:
        states: State of the account, changed in place; what it is worth is to be said anew.
            Shape [s, STATE_SIZE].
        prices: Closes. Shape [s].
        conditions: Of the bar. Shape [CONDITION_COUNT, s].
    """
    for row in range(states.shape[0]):
        value = states[row, QUANTITY] * prices[row]
        funding = value * conditions[FUNDING, row]
        borrow = max(-value, 0.0) * conditions[BORROW, row]
        states[row, CASH] -= funding + borrow
        states[row, FUNDING_PAID] += funding
        states[row, BORROW_PAID] += borrow
