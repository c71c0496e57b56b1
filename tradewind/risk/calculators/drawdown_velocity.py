"""How fast a drawdown deepens, and whether it deepens ever faster.

    velocity[t]     = (drawdown[t] − drawdown[t − w]) / minutes(t − w, t)
    acceleration[t] = (velocity[t] − velocity[t − w]) / minutes(t − w, t)

First and second backward differences over w bars, in 1/min and 1/min²; positive while the drawdown
deepens. Drawdowns are those of the whole history (see drawdown). Times that cannot be
(engine.clock) make them unavailable: in another unit, a drawdown would seem to deepen slowly.
"""

from typing import Final

from pydantic import Field

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.base import CalculatorSettings, CompiledCalculator
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.clock import find_bar_clock_problem
from tradewind.risk.engine.result import lacks_timestamps, lacks_values, put, refuse
from tradewind.risk.inputs import FloatArray

__all__ = ["DRAWDOWN_VELOCITY", "DrawdownVelocitySettings"]

METRICS: Final = {
    "drawdown_velocity": "fraction / min",
    "drawdown_acceleration": "fraction / min²",
}
SECONDS_PER_MINUTE: Final = 60.0


class DrawdownVelocitySettings(CalculatorSettings):
    """Settings of drawdown_velocity."""

    window_bars: int = Field(default=12, ge=1, le=100_000)
    """Bars over which the drawdown's change is taken."""


def _windows(settings: DrawdownVelocitySettings) -> dict[str, int]:
    bars = 2 * settings.window_bars + 1
    return {"drawdowns": bars, "timestamps": bars}


@compiled
def _minutes(timestamps: FloatArray, end: int, bars: int) -> float:
    seconds: float = timestamps[end] - timestamps[end - bars]
    return seconds / SECONDS_PER_MINUTE


@compiled
def _velocity(timestamps: FloatArray, drawdowns: FloatArray, end: int, bars: int) -> float:
    deepened: float = drawdowns[end] - drawdowns[end - bars]
    return deepened / _minutes(timestamps, end, bars)


@compiled
def calculate_drawdown_velocity(
    config: Record,
    account: Record,
    header: FloatArray,
    timestamps: FloatArray,
    drawdowns: FloatArray,
    out: FloatArray,
) -> None:
    """Writes the metrics of METRICS."""
    first = config.drawdown_velocity
    bars = config.drawdown_velocity_window_bars
    code, at = find_bar_clock_problem(config, account, header)
    for order in range(2):
        span = (order + 1) * bars + 1
        if lacks_values(account, out, first + order, 1, span):
            continue
        if lacks_timestamps(account, out, first + order, 1, span):
            continue
        if code != 0:
            refuse(out, first + order, 1, code, at, 0)
            continue
        velocity = _velocity(timestamps, drawdowns, -1, bars)
        if order == 0:
            put(out, first, velocity)
        else:
            minutes = _minutes(timestamps, -1, bars)
            put(
                out,
                first + 1,
                (velocity - _velocity(timestamps, drawdowns, -1 - bars, bars)) / minutes,
            )


DRAWDOWN_VELOCITY: Final = CompiledCalculator(
    name="drawdown_velocity",
    version=1,
    order=20,
    settings=DrawdownVelocitySettings,
    metrics=lambda _: METRICS,
    windows=_windows,
    kernel=calculate_drawdown_velocity,
    needs=("portfolio_values", "timestamps"),
    after=("time",),
    reads=("feed_staleness.max_clock_skew_ms",),
)
