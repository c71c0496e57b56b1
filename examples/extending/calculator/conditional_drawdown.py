"""Conditional drawdown: how deep the account was in the worst bars of a window, on average.

    conditional_drawdown = mean of the n − ⌊confidence · n⌋ largest drawdowns

Source: A. Chekhlov, S. Uryasev, M. Zabarankin, "Drawdown Measure in Portfolio Optimization",
Int. J. Theor. Appl. Finance 8 (2005), definition 4.1, without the fraction at the boundary.
"""

from typing import Final

import numpy as np
from pydantic import Field

from tradewind.risk import AccountView, PythonCalculator
from tradewind.settings import Settings


class ConditionalDrawdownSettings(Settings):
    """Settings of conditional_drawdown."""

    window_bars: int = Field(default=256, ge=20, le=100_000)
    """Drawdowns looked back over."""
    confidence: float = Field(default=0.95, gt=0.0, lt=1.0)
    """Fraction of the bars that is left out."""


def calculate(settings: ConditionalDrawdownSettings, account: AccountView) -> dict[str, float]:
    """Gives the metric; the drawdowns are there and finite, as `windows` and `needs` say."""
    count = account.drawdowns.size - int(settings.confidence * account.drawdowns.size)
    worst = np.sort(account.drawdowns)[-count:]
    return {"conditional_drawdown": float(worst.mean())}


CONDITIONAL_DRAWDOWN: Final = PythonCalculator(
    name="conditional_drawdown",
    version=1,
    settings=ConditionalDrawdownSettings,
    metrics=lambda _: {"conditional_drawdown": "fraction of the peak"},
    windows=lambda settings: {"drawdowns": settings.window_bars},
    needs=lambda _: {"drawdowns": 20},
    calculate=calculate,
)
