"""Feature groups of an operator's own."""

from typing import ClassVar

import numpy as np

from tradewind.market import BarWindow, FeatureGroup

__all__ = ["Gap", "Late"]


class Gap(FeatureGroup):
    """Log ratio of each of the last highs to the close before, in percent; the latest is last."""

    name: ClassVar[str] = "gap"
    version: ClassVar[int] = 3

    bars: int = 2

    @property
    def lookback(self) -> int:
        return self.bars + 1

    @property
    def component_names(self) -> tuple[str, ...]:
        return tuple(f"gap_{lag}" for lag in reversed(range(self.bars)))

    def row(self, window: BarWindow) -> np.ndarray:
        gaps: np.ndarray = 100.0 * np.log(window.high[1:] / window.close[:-1])
        return gaps


class Late(FeatureGroup):
    """Has no number after one bar."""

    name: ClassVar[str] = "late"
    version: ClassVar[int] = 1

    fails_at_ns: int = 0

    @property
    def lookback(self) -> int:
        return 1

    @property
    def component_names(self) -> tuple[str, ...]:
        return ("late",)

    def row(self, window: BarWindow) -> list[float]:
        return [np.nan if window.timestamps_ns[-1] == self.fails_at_ns else 0.5]
