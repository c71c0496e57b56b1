"""The terms a policy trades on: what its actions mean, and what trading costs."""

from pydantic import Field

from tradewind.constants import ACTION_BUY, ACTION_HOLD, ACTION_SELL
from tradewind.errors import InvalidInputError
from tradewind.settings import Settings

__all__ = ["TradingTerms"]


class TradingTerms(Settings):
    """What an action means and what a fill costs, in training and wherever the policy trades."""

    initial_cash: float = Field(default=100_000.0, gt=0.0)
    """Cash at the start, in the currency of the prices; the capital base."""

    transaction_cost: float = Field(default=0.001, ge=0.0, le=0.1)
    """Fraction of the traded notional, paid on every fill: a usual taker fee."""

    slippage: float = Field(default=0.0002, ge=0.0, le=0.1)
    """Fraction of the open price by which fills are worse."""

    allow_short: bool = False
    """Whether SELL goes short; without it, SELL goes flat."""

    position_fraction: float = Field(default=1.0, gt=0.0, le=1.0)
    """Size of the position after BUY or SELL, as a fraction of equity."""

    rebalance_threshold: float = Field(default=0.01, ge=0.0, le=0.5)
    """Trades of a smaller fraction of equity are left out, unless they close the position: a
    repeated BUY does not pay for rounding the position to size again."""

    def target(self, action: int) -> float | None:
        """The position that an action goes to, as a signed fraction of equity.

        Returns:
            The target; None for HOLD, which keeps the quantity.

        Raises:
            InvalidInputError: There is no such action.
        """
        if action == ACTION_BUY:
            return self.position_fraction
        if action == ACTION_SELL:
            return -self.position_fraction if self.allow_short else 0.0
        if action == ACTION_HOLD:
            return None
        raise InvalidInputError(
            f"action must be {ACTION_SELL} (SELL), {ACTION_HOLD} (HOLD) or {ACTION_BUY} (BUY), "
            f"not {action}"
        )
