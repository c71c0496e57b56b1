"""One module a calculator: its settings, its formula with its source, and its compiled kernel."""

from typing import Final

from tradewind.risk.calculators.base import Calculator, CalculatorSettings
from tradewind.risk.calculators.drawdown import DRAWDOWN
from tradewind.risk.calculators.drawdown_velocity import DRAWDOWN_VELOCITY
from tradewind.risk.calculators.expected_shortfall import EXPECTED_SHORTFALL
from tradewind.risk.calculators.turnover import TURNOVER
from tradewind.risk.calculators.var import VAR
from tradewind.risk.calculators.volatility import VOLATILITY

__all__ = ["CALCULATORS", "Calculator", "CalculatorSettings"]

CALCULATORS: Final = (
    DRAWDOWN,
    DRAWDOWN_VELOCITY,
    VOLATILITY,
    VAR,
    EXPECTED_SHORTFALL,
    TURNOVER,
)
"""Every calculator, in the order in which their metrics are reported."""
