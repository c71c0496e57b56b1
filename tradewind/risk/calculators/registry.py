"""The list of all calculators of Tradewind's own: what the modules beside this one declare."""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Final

from tradewind.risk import calculators
from tradewind.risk.calculators.base import CompiledCalculator

__all__ = ["CALCULATORS"]


def _declared() -> Iterator[CompiledCalculator[Any]]:
    for module in iter_modules(calculators.__path__, f"{calculators.__name__}."):
        if module.name == __name__:
            continue
        for value in vars(import_module(module.name)).values():
            if isinstance(value, CompiledCalculator):
                yield value


CALCULATORS: Final = tuple(sorted(_declared(), key=lambda calculator: calculator.order))
"""Every calculator, in the order in which their metrics are reported."""

assert len({each.order for each in CALCULATORS}) == len(CALCULATORS), "two have one order"
