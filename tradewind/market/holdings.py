"""Cash, positions and costs of an account in several symbols, on the kernels of one in one.

Each symbol has a row of the account's state as `tradewind.market.accounting` lays it out. CASH of
a row is what the symbol has brought in or taken, the first row's also the cash at the start: the
account's cash is their sum. EQUITY of every row is that of the whole account. An account in one
symbol is one row, and the same numbers to the last bit.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tradewind.errors import InvalidInputError
from tradewind.kernels.compiled import compiled, inlined
from tradewind.market.accounting import (
    BORROW_PAID,
    CASH,
    DIVIDENDS_RECEIVED,
    EQUITY,
    FEES_PAID,
    FUNDING_PAID,
    IMPACT_PAID,
    MARK_PRICE,
    QUANTITY,
    REFUSED_TRADES,
    SLIPPAGE_PAID,
    SPREAD_PAID,
    STATE_SIZE,
    Account,
    apply_fill,
    close_bar,
    open_account,
)
from tradewind.market.bars import FloatArray
from tradewind.market.conditions import (
    BORROW,
    CONDITION_COUNT,
    FUNDING,
    SPLIT,
    book_actions,
    carry_positions,
    fill_on_conditions,
    is_called,
    worst_friction,
)
from tradewind.market.terms import TradingTerms

__all__ = [
    "Holdings",
    "close_holdings",
    "fill_holdings",
    "open_holdings",
    "padded_states",
    "plan_on_conditions",
    "plan_trades",
    "trade_on_conditions",
    "value_holdings",
]


@inlined
def open_holdings(states: FloatArray, cash: float, prices: FloatArray) -> None:
    """Empties the state and puts cash into it. Shapes [s, STATE_SIZE], [s] (the first marks)."""
    for row in range(states.shape[0]):
        open_account(states[row], cash if row == 0 else 0.0, prices[row])
        states[row, EQUITY] = cash


@inlined
def close_holdings(states: FloatArray, prices: FloatArray) -> None:
    """Marks every position at the close of a bar. Shapes [s, STATE_SIZE], [s]."""
    for row in range(states.shape[0]):
        close_bar(states[row], prices[row])
    value_holdings(states)


@inlined
def value_holdings(states: FloatArray) -> None:
    """Says what the account is worth at the marks. Shape [s, STATE_SIZE]."""
    equity = 0.0
    for row in range(states.shape[0]):
        equity += states[row, CASH] + states[row, QUANTITY] * states[row, MARK_PRICE]
    for row in range(states.shape[0]):
        states[row, EQUITY] = equity


@inlined
def fill_holdings(
    states: FloatArray,
    targets: FloatArray,
    gross_limit: float,
    sizing_prices: FloatArray,
    prices: FloatArray,
    transaction_cost: float,
    slippage: float,
    rebalance_threshold: float,
    traded: FloatArray,
) -> None:
    """Trades toward target positions at reference prices, such as the next bar's opens.

    What is traded is what `plan_trades` says; fills and costs are those of
    `tradewind.market.accounting.fill_toward`. EQUITY is not valid until the next close.

    Args:
        states: State of the account, changed in place. Shape [s, STATE_SIZE].
        targets: As of `plan_trades`, like all that follow.
        gross_limit: Of the targets.
        sizing_prices: Prices that the quantities follow from.
        prices: Reference prices of the fills.
        transaction_cost: Fraction of the traded notional.
        slippage: Fraction of the price.
        rebalance_threshold: Of all trades together.
        traded: Becomes the signed quantities traded.
    """
    plan_trades(
        states,
        targets,
        gross_limit,
        sizing_prices,
        transaction_cost,
        slippage,
        rebalance_threshold,
        traded,
    )
    for row in range(targets.size):
        quantity, price = traded[row], prices[row]
        if quantity != 0.0:
            fill_price = price * (1.0 + slippage if quantity > 0.0 else 1.0 - slippage)
            fee = abs(quantity) * fill_price * transaction_cost
            apply_fill(states[row], quantity, fill_price, price, fee)


@inlined
def plan_trades(
    states: FloatArray,
    targets: FloatArray,
    gross_limit: float,
    prices: FloatArray,
    transaction_cost: float,
    slippage: float,
    rebalance_threshold: float,
    traded: FloatArray,
) -> None:
    """Says what has to be traded to go to target positions at reference prices.

    Args:
        states: State of the account. Shape [s, STATE_SIZE].
        targets: Wanted positions as signed fractions of the equity that is left after all trades;
            NaN keeps a quantity. Shape [s].
        gross_limit: Targets whose magnitudes add up to more are scaled down to it.
        prices: Reference prices. Shape [s].
        transaction_cost: Fraction of the traded notional.
        slippage: Fraction of the price.
        rebalance_threshold: When all trades together are a smaller fraction of equity, they are
            left out, unless one closes a position.
        traded: Becomes the signed quantities to trade, 0 for none. Shape [s].
    """
    buying = (1.0 + slippage) * (1.0 + transaction_cost) - 1.0
    selling = 1.0 - (1.0 - slippage) * (1.0 - transaction_cost)
    _plan(
        states,
        targets,
        gross_limit,
        prices,
        slippage,
        buying,
        selling,
        rebalance_threshold,
        traded,
        states,  # in the place of conditions, which are not looked at
        False,
    )


@compiled
def plan_on_conditions(
    states: FloatArray,
    targets: FloatArray,
    gross_limit: float,
    prices: FloatArray,
    slippage: float,
    rebalance_threshold: float,
    traded: FloatArray,
    conditions: FloatArray,
) -> None:
    """`plan_trades` where there are conditions, which say fees, spreads and the tick.

    Below the maintenance margin everything is to be closed.

    Args:
        states: As of `plan_trades`, like all but the last.
        targets: Wanted positions.
        gross_limit: Of the targets.
        prices: Reference prices.
        slippage: Fraction of the price.
        rebalance_threshold: Of all trades together.
        traded: Becomes the signed quantities to trade, not rounded yet.
        conditions: Shape [CONDITION_COUNT, s].
    """
    if is_called(states, prices, conditions):
        for row in range(targets.size):
            traded[row] = -states[row, QUANTITY]
        return
    _plan(
        states,
        targets,
        gross_limit,
        prices,
        slippage,
        0.0,
        0.0,
        rebalance_threshold,
        traded,
        conditions,
        True,
    )


@compiled
def trade_on_conditions(
    states: FloatArray,
    targets: FloatArray,
    gross_limit: float,
    last_closes: FloatArray,
    sized_at_close: bool,
    opens: FloatArray,
    closes: FloatArray,
    slippage: float,
    rebalance_threshold: float,
    traded: FloatArray,
    conditions: FloatArray,
) -> None:
    """Takes an account over a bar on conditions, but for the marks at its close.

    Splits and dividends are booked before its open, positions are traded at it, and funding and
    borrowing charged at its close.

    Args:
        states: As of `plan_on_conditions`, like what is not said here.
        targets: Wanted positions.
        gross_limit: Of the targets.
        last_closes: The closes before the bar. Shape [s].
        sized_at_close: Whether quantities follow from them, or from the opens. A split in between
            multiplies what was ordered.
        opens: Reference prices of the fills. Shape [s].
        closes: Prices that funding and borrowing are charged at. Shape [s].
        slippage: Fraction of the price.
        rebalance_threshold: Of all trades together.
        traded: Becomes the signed quantities traded.
        conditions: Of the bar.
    """
    sizing_prices = last_closes if sized_at_close else opens
    if not sized_at_close:
        book_actions(states, conditions)
    plan_on_conditions(
        states,
        targets,
        gross_limit,
        sizing_prices,
        slippage,
        rebalance_threshold,
        traded,
        conditions,
    )
    if sized_at_close:
        book_actions(states, conditions)
        for row in range(traded.size):
            traded[row] *= conditions[SPLIT, row]
    fill_on_conditions(states, opens, slippage, traded, conditions, sizing_prices)
    carry_positions(states, closes, conditions)


@inlined
def _plan(
    states: FloatArray,
    targets: FloatArray,
    gross_limit: float,
    prices: FloatArray,
    slippage: float,
    buying: float,
    selling: float,
    rebalance_threshold: float,
    traded: FloatArray,
    conditions: FloatArray,
    conditioned: bool,
) -> None:
    equity = _wanted_trades(
        states,
        targets,
        gross_limit,
        prices,
        slippage,
        buying,
        selling,
        traded,
        conditions,
        conditioned,
    )
    turnover, closes = 0.0, False
    for row in range(targets.size):
        turnover += abs(traded[row]) * prices[row]
        closes |= traded[row] != 0.0 and targets[row] == 0.0
    if turnover < rebalance_threshold * equity and not closes:
        traded[:] = 0.0


@inlined
def _wanted_trades(
    states: FloatArray,
    targets: FloatArray,
    gross_limit: float,
    prices: FloatArray,
    slippage: float,
    buying: float,
    selling: float,
    traded: FloatArray,
    conditions: FloatArray,
    conditioned: bool,
) -> float:
    """What has to be traded to have the targets, of what is left after the costs of it all.

    The equity E that is left solves E = equity − Σ friction · |target · E − value|, piecewise
    linear in E. Newton's steps find it: the side on which each symbol trades gives E, and E the
    side. Targets that add up to 1 leave no debt behind so.

    Returns:
        Equity at the reference prices.
    """
    count = targets.size
    equity, gross = 0.0, 0.0
    for row in range(count):
        equity += states[row, CASH] + states[row, QUANTITY] * prices[row]
        gross += 0.0 if math.isnan(targets[row]) else abs(targets[row])
    scale = gross_limit / gross if gross > gross_limit else 1.0
    left, dividend, divisor = equity, equity, 1.0
    # On which side a single symbol trades does not depend on the costs.
    for _ in range(1 if count == 1 else count + 1):
        dividend, divisor = equity, 1.0
        for row in range(count):
            target, value = scale * targets[row], states[row, QUANTITY] * prices[row]
            if conditioned and not math.isnan(target):
                most = (target * equity - value) / prices[row]
                buying, selling = worst_friction(conditions, row, slippage, most, prices[row])
            if target * left > value:
                dividend += value * buying
                divisor += target * buying
            elif not math.isnan(target):
                dividend -= value * selling
                divisor -= target * selling
        if dividend / divisor == left:
            break
        left = dividend / divisor
    for row in range(count):
        wanted = 0.0  # without equity an account can only go flat
        if equity > 0.0:
            wanted = scale * targets[row] * dividend / (prices[row] * divisor)
        keeps = math.isnan(targets[row])
        traded[row] = 0.0 if keeps else wanted - states[row, QUANTITY]
    return equity


def padded_states(states: FloatArray) -> FloatArray:
    """States that were kept, with 0 for the figures that an earlier release did not keep."""
    absent = STATE_SIZE - states.shape[-1]
    if absent <= 0:
        return states
    return np.pad(states, [(0, 0)] * (states.ndim - 1) + [(0, absent)])


class Holdings:
    """An account in one symbol or several.

    Args:
        cash: Initial cash.
        prices: Price of each symbol at the start, the first marks.

    Attributes:
        states: What the kernels of this module work on. Shape [s, STATE_SIZE].

    Raises:
        InvalidInputError: There are no symbols, or cash or a price is not positive and finite.
    """

    def __init__(self, cash: float, prices: Sequence[float] | FloatArray) -> None:
        marks = np.array(prices, dtype=np.float64)
        if marks.ndim != 1 or not marks.size:
            raise InvalidInputError(f"prices must be one number a symbol, not {prices!r}")
        for name, values in (("cash", np.array([cash])), ("prices", marks)):
            if not (np.isfinite(values) & (values > 0.0)).all():
                raise InvalidInputError(f"{name} must be positive and finite: {values.tolist()}")
        self.states: FloatArray = np.empty((marks.size, STATE_SIZE), dtype=np.float64)
        open_holdings(self.states, cash, marks)

    def __setstate__(self, state: dict[str, FloatArray]) -> None:
        self.states = padded_states(state["states"])

    def account(self, row: int) -> Account:
        """One symbol's row, as an account that shares the memory."""
        return Account.over(self.states[row])

    def apply_fill(
        self, row: int, quantity: float, fill_price: float, *, reference_price: float, fee: float
    ) -> None:
        """Books a fill that a broker reports, of one symbol.

        Raises:
            InvalidInputError: As `Account.apply_fill` says.
        """
        self.account(row).apply_fill(quantity, fill_price, reference_price=reference_price, fee=fee)
        value_holdings(self.states)

    def carry(self, row: int, price: float, funding: float, borrow: float) -> None:
        """Charges what the position in a symbol costs until a close, before it is marked at it.

        Args:
            row: The symbol.
            price: The close.
            funding: Fraction of its value that a long position pays.
            borrow: Fraction of its value that a short position pays.
        """
        conditions = np.zeros((CONDITION_COUNT, 1))
        conditions[FUNDING], conditions[BORROW] = funding, borrow
        carry_positions(self.states[row : row + 1], np.array([price]), conditions)
        value_holdings(self.states)

    def close_bars(self, prices: Mapping[int, float]) -> None:
        """Marks the positions that have a bar at its close; the others stay as they are.

        Args:
            prices: Closes by row.

        Raises:
            InvalidInputError: A price is not positive and finite.
        """
        for row, price in prices.items():
            self.account(row).close_bar(price)
        value_holdings(self.states)

    def plan_trades(self, targets: FloatArray, terms: TradingTerms) -> FloatArray:
        """What has to be traded to go to target positions at the mark prices, not rounded yet.

        Args:
            targets: Signed fractions of equity, the gross limit still to come; NaN keeps a
                quantity. Shape [s].
            terms: Costs, gross limit and the smallest trade.

        Returns:
            Signed quantities, 0 for none. Shape [s].

        Raises:
            InvalidInputError: The targets have another shape.
        """
        if targets.shape != (len(self.states),):
            raise InvalidInputError(f"targets must be {len(self.states)} numbers, not {targets!r}")
        traded: FloatArray = np.empty(len(self.states), dtype=np.float64)
        if terms.has_conditions:
            plan_on_conditions(
                self.states,
                targets,
                terms.margin_limit,
                self.mark_prices,
                terms.slippage,
                terms.rebalance_threshold,
                traded,
                terms.conditions(len(self.states)),
            )
            return traded
        plan_trades(
            self.states,
            targets,
            terms.gross_limit,
            self.mark_prices,
            terms.transaction_cost,
            terms.slippage,
            terms.rebalance_threshold,
            traded,
        )
        return traded

    @property
    def cash(self) -> float:
        """Cash; negative is debt."""
        return float(self.states[:, CASH].sum())

    @property
    def fees_paid(self) -> float:
        """Transaction costs of all fills."""
        return float(self.states[:, FEES_PAID].sum())

    @property
    def equity(self) -> float:
        """Cash plus the positions at the mark prices."""
        return float(self.states[0, EQUITY])

    @property
    def quantities(self) -> FloatArray:
        """Signed positions in units of the assets, a copy. Shape [s]."""
        return self.states[:, QUANTITY].copy()

    @property
    def mark_prices(self) -> FloatArray:
        """Prices that the positions are valued at, a copy. Shape [s]."""
        return self.states[:, MARK_PRICE].copy()

    @property
    def costs(self) -> float:
        """Fees and slippage of all fills, funding and borrowing."""
        states = self.states
        return self.fees_paid + float(states[:, SLIPPAGE_PAID].sum()) + self.carry_paid

    @property
    def carry_paid(self) -> float:
        """Funding and borrowing."""
        return float(self.states[:, FUNDING_PAID].sum() + self.states[:, BORROW_PAID].sum())

    @property
    def costs_by_component(self) -> dict[str, float]:
        """What the costs are made of: fees, slippage, spread, impact, funding and borrow."""
        paid = self.states.sum(axis=0)
        of_slippage = paid[SPREAD_PAID] + paid[IMPACT_PAID]
        return {
            "fees": float(paid[FEES_PAID]),
            "slippage": float(paid[SLIPPAGE_PAID] - of_slippage),
            "spread": float(paid[SPREAD_PAID]),
            "impact": float(paid[IMPACT_PAID]),
            "funding": float(paid[FUNDING_PAID]),
            "borrow": float(paid[BORROW_PAID]),
        }

    @property
    def dividends(self) -> float:
        """Dividends received, less those paid on short positions."""
        return float(self.states[:, DIVIDENDS_RECEIVED].sum())

    @property
    def refused_trades(self) -> int:
        """Trades that were wanted, and are less than a lot or than the minimum notional."""
        return int(self.states[:, REFUSED_TRADES].sum())
