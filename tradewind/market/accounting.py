"""Cash, position and costs of a one-symbol account: one state vector, one set of kernels.

The environment, its vectorised form and the orchestrator all run these kernels, so that what an
account is worth in training is what the same trades are worth anywhere else, to the last bit.
"""

import math
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from tradewind.errors import InvalidInputError
from tradewind.kernels.compiled import compiled
from tradewind.market.bars import FloatArray

__all__ = [
    "BARS_HELD",
    "BORROW_PAID",
    "CASH",
    "DIVIDENDS_RECEIVED",
    "ENTRY_PRICE",
    "EQUITY",
    "FEES_PAID",
    "FUNDING_PAID",
    "IMPACT_PAID",
    "LAST_FILL_PRICE",
    "LAST_TRADE_NOTIONAL",
    "MARK_PRICE",
    "MAX_COST_FRACTION",
    "QUANTITY",
    "REFUSED_TRADES",
    "SLIPPAGE_PAID",
    "SPREAD_PAID",
    "STATE_SIZE",
    "Account",
    "PositionState",
    "apply_fill",
    "close_bar",
    "exposure",
    "fill_toward",
    "open_account",
    "target_quantity",
    "unrealized_return",
]

# Places in the state vector. EQUITY = CASH + QUANTITY × MARK_PRICE holds after every kernel.
CASH: Final = 0
QUANTITY: Final = 1  # signed, in units of the asset
ENTRY_PRICE: Final = 2  # average price paid for the position; 0 while flat
MARK_PRICE: Final = 3
EQUITY: Final = 4
BARS_HELD: Final = 5  # closes since the position was opened or turned
LAST_FILL_PRICE: Final = 6  # 0 before the first fill
LAST_TRADE_NOTIONAL: Final = 7  # signed, buys positive; 0 before the first fill
FEES_PAID: Final = 8  # sum over all fills
SLIPPAGE_PAID: Final = 9  # sum over all fills of quantity × (fill − reference price)
SPREAD_PAID: Final = 10  # of the slippage, what the quoted spread took
IMPACT_PAID: Final = 11  # of the slippage, what the trades' own impact took
FUNDING_PAID: Final = 12  # sum over all bars; below 0 where more was received
BORROW_PAID: Final = 13  # sum over all bars
DIVIDENDS_RECEIVED: Final = 14  # sum over all bars; below 0 for what was paid while short
REFUSED_TRADES: Final = 15  # wanted, but less than a lot or than the minimum notional
STATE_SIZE: Final = 16

MAX_COST_FRACTION: Final = 0.5


@compiled
def open_account(state: FloatArray, cash: float, price: float) -> None:
    """Empties the state vector and puts cash into it; `price` is the first mark."""
    state[:] = 0.0
    state[CASH] = cash
    state[MARK_PRICE] = price
    state[EQUITY] = cash


@compiled
def apply_fill(
    state: FloatArray, quantity: float, fill_price: float, reference_price: float, fee: float
) -> None:
    """Books one fill, whole or partial.

    Adding to a position averages its entry price, reducing it leaves the entry price alone, and
    opening or turning one starts anew at the fill price.

    Args:
        state: State vector, changed in place.
        quantity: Signed quantity traded; not 0.
        fill_price: Price paid or received, slippage included.
        reference_price: Price without slippage; the account is marked at it.
        fee: Transaction cost in cash.
    """
    held = state[QUANTITY]
    after = held + quantity
    if after == 0.0:
        state[ENTRY_PRICE] = 0.0
        state[BARS_HELD] = 0.0
    elif held * after <= 0.0:
        state[ENTRY_PRICE] = fill_price
        state[BARS_HELD] = 0.0
    elif abs(after) > abs(held):
        state[ENTRY_PRICE] = (state[ENTRY_PRICE] * held + fill_price * quantity) / after
    state[CASH] -= quantity * fill_price + fee
    state[QUANTITY] = after
    state[MARK_PRICE] = reference_price
    state[EQUITY] = state[CASH] + after * reference_price
    state[LAST_FILL_PRICE] = fill_price
    state[LAST_TRADE_NOTIONAL] = quantity * fill_price
    state[FEES_PAID] += fee
    state[SLIPPAGE_PAID] += quantity * (fill_price - reference_price)


@compiled
def target_quantity(
    state: FloatArray, target: float, price: float, transaction_cost: float, slippage: float
) -> float:
    """The quantity that is worth the fraction `target` of the equity left after trading to it.

    The fill itself costs `friction` per unit of notional at the reference price, so the equation
    q × price = target × (equity − |q − held| × price × friction) is solved for q: a full long
    position (target 1) leaves no debt behind. An account without equity can only go flat.
    """
    held: float = state[QUANTITY]
    equity: float = state[CASH] + held * price
    if equity <= 0.0:
        return 0.0
    if target * equity > held * price:
        friction = (1.0 + slippage) * (1.0 + transaction_cost) - 1.0
        return target * (equity + held * price * friction) / (price * (1.0 + target * friction))
    friction = 1.0 - (1.0 - slippage) * (1.0 - transaction_cost)
    return target * (equity - held * price * friction) / (price * (1.0 - target * friction))


@compiled
def fill_toward(
    state: FloatArray,
    target: float,
    price: float,
    transaction_cost: float,
    slippage: float,
    rebalance_threshold: float,
) -> float:
    """Trades toward a target position at a reference price, such as the next bar's open.

    A buy fills at price × (1 + slippage), a sale at price × (1 − slippage); either costs
    transaction_cost × its notional.

    Args:
        state: State vector, changed in place.
        target: Wanted position as a signed fraction of equity, -1 to 1.
        price: Reference price.
        transaction_cost: Fraction of the traded notional.
        slippage: Fraction of the price.
        rebalance_threshold: Trades of a smaller fraction of equity are left out, unless they
            close the position.

    Returns:
        The signed quantity traded, 0 for none.
    """
    held: float = state[QUANTITY]
    wanted = target_quantity(state, target, price, transaction_cost, slippage)
    quantity = wanted - held
    smallest = rebalance_threshold * (state[CASH] + held * price)
    if quantity == 0.0 or (wanted != 0.0 and abs(quantity) * price < smallest):
        return 0.0
    fill_price = price * (1.0 + slippage if quantity > 0.0 else 1.0 - slippage)
    fee = abs(quantity) * fill_price * transaction_cost
    apply_fill(state, quantity, fill_price, price, fee)
    return quantity


@compiled
def close_bar(state: FloatArray, price: float) -> None:
    """Marks the account at the close of a bar, and counts the bar if a position was held."""
    state[MARK_PRICE] = price
    state[EQUITY] = state[CASH] + state[QUANTITY] * price
    if state[QUANTITY] != 0.0:
        state[BARS_HELD] += 1.0


@compiled
def exposure(state: FloatArray) -> float:
    """Position value as a signed fraction of equity; infinite once the equity is gone."""
    quantity: float = state[QUANTITY]
    if quantity == 0.0:
        return 0.0
    if state[EQUITY] <= 0.0:
        return math.copysign(math.inf, quantity)
    value: float = quantity * state[MARK_PRICE]
    return value / float(state[EQUITY])


@compiled
def unrealized_return(state: FloatArray) -> float:
    """Return of the open position since its entry price, before the cost of closing; 0 if flat."""
    quantity: float = state[QUANTITY]
    if quantity == 0.0:
        return 0.0
    gain: float = state[MARK_PRICE] / state[ENTRY_PRICE] - 1.0
    return gain if quantity > 0.0 else -gain


@dataclass(frozen=True, slots=True)
class PositionState:
    """What an observation says about the position.

    Attributes:
        exposure: Position value as a signed fraction of equity.
        unrealized_return: Return of the position since its entry price.
        bars_held: Closes since the position was opened or turned.
    """

    exposure: float
    unrealized_return: float
    bars_held: int


class Account:
    """An account in one symbol.

    Args:
        cash: Initial cash.
        price: Price of the symbol at the start, the first mark.

    Attributes:
        state: The vector that the kernels of this module work on. Shape [STATE_SIZE].

    Raises:
        InvalidInputError: Cash or price is not positive and finite.
    """

    def __init__(self, cash: float, price: float) -> None:
        _require_positive("cash", cash)
        _require_positive("price", price)
        self.state: FloatArray = np.empty(STATE_SIZE, dtype=np.float64)
        open_account(self.state, cash, price)

    @classmethod
    def over(cls, state: FloatArray) -> Self:
        """An account on a state vector that is there, sharing its memory. Shape [STATE_SIZE]."""
        account = cls.__new__(cls)
        account.state = state
        return account

    def fill_toward(
        self,
        target: float,
        price: float,
        *,
        transaction_cost: float,
        slippage: float,
        rebalance_threshold: float,
    ) -> float:
        """Trades toward a signed fraction of equity; see the kernel of the same name.

        Returns:
            The signed quantity traded, 0 for none.

        Raises:
            InvalidInputError: The target is not within -1 and 1, the price not positive, or a
                fraction not within 0 and 0.5.
        """
        if not -1.0 <= target <= 1.0:
            raise InvalidInputError(f"target must lie between -1 and 1: {target}")
        _require_positive("price", price)
        for name, value in (
            ("transaction_cost", transaction_cost),
            ("slippage", slippage),
            ("rebalance_threshold", rebalance_threshold),
        ):
            if not 0.0 <= value <= MAX_COST_FRACTION:
                raise InvalidInputError(
                    f"{name} must lie between 0 and {MAX_COST_FRACTION}: {value}"
                )
        return fill_toward(
            self.state, target, price, transaction_cost, slippage, rebalance_threshold
        )

    def apply_fill(
        self, quantity: float, fill_price: float, *, reference_price: float, fee: float
    ) -> None:
        """Books a fill that a broker reports.

        Raises:
            InvalidInputError: The quantity is 0 or not finite, a price not positive, or the fee
                not finite (rebates are negative).
        """
        if not math.isfinite(quantity) or quantity == 0.0:
            raise InvalidInputError(f"quantity must be finite and not 0: {quantity}")
        _require_positive("fill_price", fill_price)
        _require_positive("reference_price", reference_price)
        if not math.isfinite(fee):
            raise InvalidInputError(f"fee must be finite: {fee}")
        apply_fill(self.state, quantity, fill_price, reference_price, fee)

    def close_bar(self, price: float) -> None:
        """Marks the account at the close of a bar.

        Raises:
            InvalidInputError: The price is not positive and finite.
        """
        _require_positive("price", price)
        close_bar(self.state, price)

    @property
    def cash(self) -> float:
        """Cash; negative is debt."""
        return float(self.state[CASH])

    @property
    def quantity(self) -> float:
        """Signed position in units of the asset."""
        return float(self.state[QUANTITY])

    @property
    def entry_price(self) -> float | None:
        """Average price paid for the position, slippage included; None while flat."""
        return float(self.state[ENTRY_PRICE]) if self.state[QUANTITY] else None

    @property
    def mark_price(self) -> float:
        """Price that the position is valued at."""
        return float(self.state[MARK_PRICE])

    @property
    def equity(self) -> float:
        """Cash plus the position at the mark price."""
        return float(self.state[EQUITY])

    @property
    def fees_paid(self) -> float:
        """Transaction costs of all fills."""
        return float(self.state[FEES_PAID])

    @property
    def slippage_paid(self) -> float:
        """What all fills cost beyond their reference prices."""
        return float(self.state[SLIPPAGE_PAID])

    @property
    def last_fill_price(self) -> float | None:
        """Price of the last fill; None before the first."""
        return float(self.state[LAST_FILL_PRICE]) or None

    @property
    def last_trade_notional(self) -> float | None:
        """Signed notional of the last fill at its price, buys positive; None before the first."""
        return float(self.state[LAST_TRADE_NOTIONAL]) or None

    @property
    def position(self) -> PositionState:
        """What an observation says about the position."""
        return PositionState(
            exposure=exposure(self.state),
            unrealized_return=unrealized_return(self.state),
            bars_held=int(self.state[BARS_HELD]),
        )


def _require_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0.0):
        raise InvalidInputError(f"{name} must be positive and finite: {value}")
