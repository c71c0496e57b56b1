"""Where the close stands within the range of the last bars: a feature from outside, in NumPy."""

from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from pydantic import Field

from tradewind.market import BarWindow, FeatureGroup


class StochasticOscillator(FeatureGroup):
    """-1 at the lowest price of the window, 1 at the highest, 0 where nothing moved."""

    name: ClassVar[str] = "stochastic_oscillator"
    version: ClassVar[int] = 1

    window: int = Field(default=14, ge=2, le=1_000)
    """Bars of the range."""

    @property
    def lookback(self) -> int:
        """The window."""
        return self.window

    @property
    def component_names(self) -> tuple[str, ...]:
        """One."""
        return (f"stochastic_{self.window}",)

    def row(self, window: BarWindow) -> list[float]:
        """After the last bar of a window: what production asks for."""
        return [float(_place(window.low.min(), window.high.max(), window.close[-1]))]

    def rows(self, bars: BarWindow) -> np.ndarray:
        """After every bar at once: what training asks for, and must be the same."""
        rows = np.zeros((len(bars.close), 1))
        lowest = sliding_window_view(bars.low, self.window).min(axis=1)
        highest = sliding_window_view(bars.high, self.window).max(axis=1)
        rows[self.window - 1 :, 0] = _place(lowest, highest, bars.close[self.window - 1 :])
        return rows


def _place(lowest: np.ndarray, highest: np.ndarray, close: np.ndarray) -> np.ndarray:
    spread = highest - lowest
    moved = spread > 0.0
    return np.where(moved, 2.0 * (close - lowest) / np.where(moved, spread, 1.0) - 1.0, 0.0)
