"""What every risk calculator declares about itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tradewind.settings import Settings

__all__ = ["Calculator", "CalculatorSettings"]


class CalculatorSettings(Settings):
    """Base of the settings of a calculator."""

    enabled: bool = True
    """Whether it is calculated; its metrics are unknown to limits and rules when it is not."""


def _no_windows(_: Any) -> Mapping[str, int]:
    return {}


@dataclass(frozen=True, slots=True)
class Calculator:
    """Declaration of a calculator; its kernel has the name `calculate_<name>` in the same module.

    Attributes:
        name: Key of its settings in the policy.
        version: Of what it calculates: raised when the same inputs and settings give other values.
        settings: Class of its settings.
        metrics: Names of its metrics under given settings, in the order the kernel writes them.
        windows: How much of each series its kernel looks back over, under given settings.
    """

    name: str
    version: int
    settings: type[CalculatorSettings]
    metrics: Callable[[Any], tuple[str, ...]]
    windows: Callable[[Any], Mapping[str, int]] = field(default=_no_windows)
