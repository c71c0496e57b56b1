"""What every risk calculator declares about itself."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tradewind.settings import Settings

__all__ = ["Calculator", "CalculatorSettings", "CompiledCalculator", "SettingsT"]

SettingsT = TypeVar("SettingsT", bound=Settings)


class CalculatorSettings(Settings):
    """Base of the settings of a calculator of Tradewind's own."""

    enabled: bool = True
    """Whether it is calculated; its metrics are unknown to limits and rules when it is not."""


def _no_windows(_: Any) -> Mapping[str, int]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Calculator(Generic[SettingsT]):
    """What a calculator is, whoever brings it.

    Attributes:
        name: Key of its settings in the policy.
        version: Of what it calculates: raised when the same inputs and settings give other values.
        settings: Class of its settings.
        metrics: Unit of each of its metrics under given settings, in the order of the reports.
        windows: How much of each series it looks back over, under given settings.
    """

    name: str
    version: int
    settings: type[SettingsT]
    metrics: Callable[[SettingsT], Mapping[str, str]]
    windows: Callable[[SettingsT], Mapping[str, int]] = _no_windows


@dataclass(frozen=True, kw_only=True)
class CompiledCalculator(Calculator[SettingsT]):
    """One of Tradewind's own: all that is enabled runs in one compiled call (engine.kernel).

    Attributes:
        order: Where its metrics stand in reports, and with that in the sum of the penalty.
        kernel: Writes its metrics from column `config.<name>` on. It is given what its arguments
            are named after: `config` (where `config.<name>_<setting>` is a setting of its own),
            `account`, `out`, a field of engine.state.Series or State, or `tail`: the largest losses
            of its `window_bars`.
        needs: Inputs without which all of its metrics are unavailable.
        after: The changes after which its last result no longer holds: fields of
            engine.state.Touched, "periods" (the bars in a year) or "time", which always changes.
        reads: Settings of other calculators that it goes by, each as `calculator.setting`.
    """

    order: int
    kernel: Callable[..., None]
    needs: tuple[str, ...]
    after: tuple[str, ...]
    reads: tuple[str, ...] = ()

    def describe(self) -> str:
        """What its module says of it first, and the metrics that it gives by default."""
        said = (sys.modules[self.settings.__module__].__doc__ or "").partition("\n\n")[0]
        metrics = self.metrics(self.settings()).items()
        return f"{said} Gives {', '.join(f'{name} ({unit})' for name, unit in metrics)}."
