"""One module a calculator: its settings, its formula with its source, and its compiled kernel."""

from tradewind.risk.calculators.base import Calculator, CalculatorSettings
from tradewind.risk.calculators.registry import CALCULATORS

__all__ = ["CALCULATORS", "Calculator", "CalculatorSettings"]
