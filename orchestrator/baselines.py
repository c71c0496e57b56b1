"""What a policy has to beat: buy and hold, and chance."""

import numpy as np

from orchestrator.ledger import Ledger
from tradewind.constants import ACTION_BUY, ACTION_SELL
from tradewind.market import Account, Bar, TradingTerms

__all__ = ["BuyAndHold", "RandomPolicy"]


class BuyAndHold:
    """Buys once and keeps the quantity.

    Args:
        terms: Size of the position.
    """

    def __init__(self, terms: TradingTerms) -> None:
        self._target = terms.position_fraction

    def update(self, bar: Bar) -> None:
        """Looks at no bar."""

    def decide(self, account: Account, ledger: Ledger) -> float | None:
        """Buys as long as there is no position."""
        del ledger
        return None if account.quantity else self._target


class RandomPolicy:
    """Draws uniformly from all actions.

    Args:
        terms: What the actions mean.
        seed: Seed of the draws.
    """

    def __init__(self, terms: TradingTerms, seed: int) -> None:
        self._terms = terms
        self._random = np.random.default_rng(seed)

    def update(self, bar: Bar) -> None:
        """Looks at no bar."""

    def decide(self, account: Account, ledger: Ledger) -> float | None:
        """Draws an action."""
        del account, ledger
        if self._terms.actions == "continuous":
            return self._terms.target(self._random.uniform(self._terms.lowest_action, 1.0))
        return self._terms.target(int(self._random.integers(ACTION_SELL, ACTION_BUY + 1)))
