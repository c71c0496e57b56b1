"""The formulas of the features, version 1: one row of an observation from one window of bars.

Every feature looks at the last bars of the window only and carries nothing over from row to row.
Sums run from the oldest bar to the newest, so that a window gives the same bits wherever it lies
in memory and whatever came before it.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tradewind.kernels.compiled import compiled
from tradewind.market.bars import FloatArray, TimestampArray

__all__ = [
    "POSITION_SIZE",
    "MarketParameters",
    "ObservationArray",
    "write_market_row",
    "write_market_rows",
    "write_position_row",
    "write_position_rows",
]

POSITION_SIZE: Final = 3
"""Components that say a position: exposure, unrealised return, holding time."""

ObservationArray = NDArray[np.float32]

_NS_PER_DAY: Final = 86_400_000_000_000


class MarketParameters(NamedTuple):
    """What the kernels need of a FeatureSpec; a period of 0 leaves its feature out."""

    return_count: int
    volatility_windows: TimestampArray
    rsi_period: int
    ema_periods: TimestampArray
    ema_depth: int
    vwap_window: int
    time_of_day: bool
    scale: float
    clip: float


@compiled
def _clipped(value: float, limit: float) -> float:
    # Written so that NaN stays NaN and is seen, instead of becoming a limit.
    if value > limit:
        return limit
    if value < -limit:
        return -limit
    return value


@compiled
def _sample_deviation(values: FloatArray) -> float:
    """Standard deviation with n − 1 degrees of freedom, by two passes."""
    total = 0.0
    for value in values:
        total += value
    mean = total / len(values)
    squares = 0.0
    for value in values:
        squares += (value - mean) ** 2
    return math.sqrt(squares / (len(values) - 1))


@compiled
def _relative_strength(close: FloatArray) -> float:
    """Cutler's RSI (simple sums, no smoothing) mapped from [0, 100] to [-1, 1].

    Without any movement in the window it is 0, the middle: neither side is stronger.
    """
    gains = 0.0
    losses = 0.0
    for i in range(1, len(close)):
        change = close[i] - close[i - 1]
        if change > 0.0:
            gains += change
        else:
            losses -= change
    movement = gains + losses
    return (gains - losses) / movement if movement > 0.0 else 0.0


@compiled
def _truncated_ema(close: FloatArray, period: int) -> float:
    """Moving average with the weights (1 − α)^age, α = 2 / (period + 1), divided by their sum."""
    decay = 1.0 - 2.0 / (period + 1.0)
    total = 0.0
    weight = 0.0
    for price in close:
        total = total * decay + price
        weight = weight * decay + 1.0
    return total / weight


@compiled
def _volume_weighted_price(
    high: FloatArray, low: FloatArray, close: FloatArray, volume: FloatArray
) -> float:
    """VWAP of the typical prices (high + low + close) / 3.

    Without any volume in the window it is their plain mean, the limit of equal volumes.
    """
    turnover = 0.0
    total_volume = 0.0
    total_price = 0.0
    for i in range(len(close)):
        typical = (high[i] + low[i] + close[i]) / 3.0
        turnover += typical * volume[i]
        total_volume += volume[i]
        total_price += typical
    return turnover / total_volume if total_volume > 0.0 else total_price / len(close)


@compiled(allocates=True)
def write_market_row(
    timestamp_ns: int,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    volume: FloatArray,
    parameters: MarketParameters,
    out: ObservationArray,
) -> None:
    """Writes the market part of one observation.

    Args:
        timestamp_ns: Start of the newest bar.
        high: Highs of exactly the last `lookback` bars. Shape [lookback], like the next three.
        low: Lows.
        close: Closes.
        volume: Volumes.
        parameters: The specification.
        out: The row. Shape [market_size].
    """
    log_returns = np.empty(len(close) - 1, dtype=np.float64)
    _write_log_returns(close, log_returns)
    _write_row(timestamp_ns, log_returns, high, low, close, volume, parameters, out)


@compiled
def _write_log_returns(close: FloatArray, out: FloatArray) -> None:
    for i in range(len(out)):
        out[i] = math.log(close[i + 1] / close[i])


@compiled
def _write_row(
    timestamp_ns: int,
    log_returns: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    volume: FloatArray,
    parameters: MarketParameters,
    out: ObservationArray,
) -> None:
    """`write_market_row` with the logarithms of close / close before. Shape [lookback - 1]."""
    p = parameters
    last = len(close) - 1
    column = 0
    for i in range(last - p.return_count, last):
        out[column] = _clipped(log_returns[i] * p.scale, p.clip)
        column += 1
    for window in p.volatility_windows:
        deviation = _sample_deviation(log_returns[last - window :])
        out[column] = _clipped(deviation * p.scale, p.clip)
        column += 1
    if p.rsi_period > 0:
        out[column] = _relative_strength(close[last - p.rsi_period :])
        column += 1
    for period in p.ema_periods:
        ema = _truncated_ema(close[last + 1 - period * p.ema_depth :], period)
        out[column] = _clipped(math.log(close[last] / ema) * p.scale, p.clip)
        column += 1
    if p.vwap_window > 0:
        start = last + 1 - p.vwap_window
        vwap = _volume_weighted_price(high[start:], low[start:], close[start:], volume[start:])
        out[column] = _clipped(math.log(close[last] / vwap) * p.scale, p.clip)
        column += 1
    if p.time_of_day:
        angle = 2.0 * math.pi * ((timestamp_ns % _NS_PER_DAY) / _NS_PER_DAY)
        out[column] = math.sin(angle)
        out[column + 1] = math.cos(angle)


@compiled(allocates=True)
def write_market_rows(
    timestamps_ns: TimestampArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    volume: FloatArray,
    lookback: int,
    parameters: MarketParameters,
    out: ObservationArray,
) -> None:
    """Writes a row for every bar of a series; NaN for those with too few bars behind them.

    Args:
        timestamps_ns: Starts of the bars. Shape [n], like the four series after it.
        high: Highs.
        low: Lows.
        close: Closes.
        volume: Volumes.
        lookback: Bars that one row looks at.
        parameters: The specification.
        out: The rows. Shape [n, market_size].
    """
    out[: lookback - 1] = np.nan
    # Each is in `lookback` windows: a logarithm costs more than the rest of what is done with it.
    log_returns = np.empty(len(close) - 1, dtype=np.float64)
    _write_log_returns(close, log_returns)
    for i in range(lookback - 1, len(close)):
        start = i + 1 - lookback
        _write_row(
            timestamps_ns[i],
            log_returns[start:i],
            high[start : i + 1],
            low[start : i + 1],
            close[start : i + 1],
            volume[start : i + 1],
            parameters,
            out[i],
        )


@compiled
def write_position_row(
    exposure: float,
    unrealized_return: float,
    bars_held: float,
    scale: float,
    clip: float,
    holding_cap: int,
    out: ObservationArray,
) -> None:
    """Writes the position part of one observation. Shape of `out` [3]."""
    out[0] = _clipped(exposure, clip)
    out[1] = _clipped(unrealized_return * scale, clip)
    out[2] = min(bars_held, holding_cap) / holding_cap


@compiled
def write_position_rows(
    exposures: FloatArray,
    unrealized_returns: FloatArray,
    bars_held: FloatArray,
    scale: float,
    clip: float,
    holding_cap: int,
    out: ObservationArray,
) -> None:
    """Writes the position parts of many observations. Shapes [n] and, of `out`, [n, 3]."""
    for i in range(len(exposures)):
        write_position_row(
            exposures[i], unrealized_returns[i], bars_held[i], scale, clip, holding_cap, out[i]
        )
