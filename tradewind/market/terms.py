"""The terms a policy trades on: what its actions mean, and what trading costs."""

import operator
from functools import cached_property
from typing import Any, Final, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from tradewind.constants import ACTION_BUY, ACTION_HOLD, ACTION_SELL
from tradewind.errors import InvalidInputError
from tradewind.identity import Identity, part_key, stated
from tradewind.market.bars import FloatArray
from tradewind.market.conditions import (
    CONDITION_COUNT,
    FEE,
    LOT,
    MAINTENANCE,
    MIN_NOTIONAL,
    SPLIT,
    SPREAD,
    TICK,
)
from tradewind.market.instruments import Costs, Instrument
from tradewind.settings import Settings

__all__ = ["TradingTerms"]

_VERSION: Final = 1
"""Of what actions mean and of how an account is booked (`tradewind.market.accounting`)."""


class TradingTerms(Settings):
    """What an action means and what a fill costs, in training and wherever the policy trades."""

    actions: Literal["discrete", "continuous"] = "discrete"
    """SELL, HOLD and BUY; or the position to go to, as a share of `position_fraction` from
    `lowest_action` to 1."""

    initial_cash: float = Field(default=100_000.0, gt=0.0)
    """Cash at the start, in the currency of the prices; the capital base."""

    transaction_cost: float = Field(default=0.001, ge=0.0, le=0.1)
    """Fraction of the traded notional, paid on every fill: a usual taker fee."""

    slippage: float = Field(default=0.0002, ge=0.0, le=0.1)
    """Fraction of the open price by which fills are worse."""

    allow_short: bool = False
    """Whether a position may be short; without it, SELL goes flat and no continuous action is
    negative."""

    position_fraction: float = Field(default=1.0, gt=0.0, le=1.0)
    """Size of the largest position, that after BUY or SELL, as a fraction of equity."""

    gross_limit: float = Field(default=1.0, gt=0.0, le=2.0)
    """Largest sum of the positions' magnitudes as a fraction of equity; targets beyond it are
    scaled down together."""

    sized_at: Literal["open", "close"] = "open"
    """Which price makes a quantity of a target: the open that it is filled at, or the close that
    was decided on. Orders in production are sized at that close, for nobody knows the next open:
    with "close" an account is production's to the last bit whatever happens over a night, with
    "open" only where bars open where the last one closed."""

    rebalance_threshold: float = Field(default=0.01, ge=0.0, le=0.5)
    """Trades of a smaller fraction of equity are left out, unless they close the position: a
    repeated BUY does not pay for rounding the position to size again."""

    instruments: tuple[Instrument, ...] = ()
    """What each symbol is traded as, in their order, or one for all of them: its lot, tick and
    smallest order, its margin, and what it costs. None: any quantity at any price."""

    costs: Costs = Costs()
    """What trading and holding costs beside `transaction_cost` and `slippage`."""

    @model_validator(mode="after")
    def _check_gross_limit(self) -> Self:
        if self.gross_limit < self.position_fraction:
            raise ValueError(
                f"gross_limit ({self.gross_limit:g}) must be at least position_fraction "
                f"({self.position_fraction:g})"
            )
        currencies = sorted({each.currency for each in self.instruments})
        if len(currencies) > 1:
            raise ValueError(
                f"instruments: one account has one currency, not {', '.join(currencies)}"
            )
        return self

    @property
    def identity(self) -> Identity:
        """What has to be equal wherever the policy trades; nothing that a subclass adds."""
        values = {name: getattr(self, name) for name in TradingTerms.model_fields}
        terms = stated(TradingTerms.model_construct(**values))
        return Identity("trading terms", {part_key("trading", _VERSION): terms})

    def instruments_of(self, count: int) -> tuple[Instrument, ...]:
        """The instrument of each of so many symbols; none where there are none.

        Raises:
            InvalidInputError: There are as many as of other symbols.
        """
        if len(self.instruments) in (0, count):
            return self.instruments
        if len(self.instruments) == 1:
            return self.instruments * count
        raise InvalidInputError(
            f"instruments: there are {len(self.instruments)} for {count} symbol(s); give one for "
            "each, in their order, or one for all"
        )

    def conditions(self, count: int) -> FloatArray:
        """What a venue asks and takes, as kernels read it (`tradewind.market.conditions`).

        Without what depends on the bar: impact, funding, borrowing, splits and dividends.

        Returns:
            Shape [CONDITION_COUNT, count].
        """
        instruments = self.instruments_of(count)
        found = np.zeros((CONDITION_COUNT, count))
        found[SPREAD], found[SPLIT] = self.costs.spread, 1.0
        for row, each in enumerate(instruments or (Instrument(),) * count):
            fee = self.costs.fee if each.taker_fee is None else each.taker_fee
            found[FEE, row] = self.transaction_cost if fee is None else fee
            found[LOT, row] = each.lot_units
            found[TICK, row] = each.tick or 0.0
            found[MIN_NOTIONAL, row] = each.min_notional or 0.0
            found[MAINTENANCE, row] = each.maintenance_margin
        return found

    @cached_property
    def has_conditions(self) -> bool:
        """Whether there is more to trading than `transaction_cost` and `slippage`."""
        return bool(self.instruments) or self.costs != Costs()

    @property
    def margin_limit(self) -> float:
        """`gross_limit`, or less where the instruments' initial margin allows less."""
        most = max((each.initial_margin for each in self.instruments), default=0.0)
        return min(self.gross_limit, 1.0 / most) if most else self.gross_limit

    @property
    def lowest_action(self) -> float:
        """Lowest continuous action: -1, or 0 where shorting is not allowed."""
        return -1.0 if self.allow_short else 0.0

    def target(self, action: Any) -> float | None:
        """The position that an action goes to, as a signed fraction of equity.

        Args:
            action: SELL, HOLD or BUY, as any integer; or, continuous, one number, also in an array.

        Returns:
            The target; None for HOLD, which keeps the quantity.

        Raises:
            InvalidInputError: There is no such action.
        """
        if self.actions == "continuous":
            return self._continuous_target(action)
        try:
            index = operator.index(action)
        except TypeError:
            index = None
        if index == ACTION_BUY:
            return self.position_fraction
        if index == ACTION_SELL:
            return -self.position_fraction if self.allow_short else 0.0
        if index == ACTION_HOLD:
            return None
        raise InvalidInputError(
            f"action must be {ACTION_SELL} (SELL), {ACTION_HOLD} (HOLD) or {ACTION_BUY} (BUY), "
            f"not {action!r}"
        )

    def targets(self, action: Any, count: int) -> FloatArray:
        """The positions in several symbols that a continuous action goes to.

        Args:
            action: A number for each symbol. Shape [count].
            count: How many symbols.

        Returns:
            Signed fractions of equity; NaN for HOLD, of one symbol. Shape [count].

        Raises:
            InvalidInputError: There is no such action.
        """
        if count == 1:
            target = self.target(action)
            return np.array([np.nan if target is None else target])
        try:
            shares = np.asarray(action, dtype=np.float64)
        except (TypeError, ValueError):
            shares = np.empty(0)
        within = shares.shape == (count,) and (shares >= self.lowest_action) & (shares <= 1.0)
        if not np.all(within):
            raise InvalidInputError(
                f"action must be {count} numbers from {self.lowest_action:g} to 1, not {action!r}"
            )
        targets: FloatArray = shares * self.position_fraction
        return targets

    def _continuous_target(self, action: Any) -> float:
        try:
            share = float(np.asarray(action, dtype=np.float64).item())
        except (TypeError, ValueError):
            share = np.nan
        if not self.lowest_action <= share <= 1.0:
            raise InvalidInputError(
                f"action must be one number from {self.lowest_action:g} to 1, not {action!r}"
            )
        return share * self.position_fraction
