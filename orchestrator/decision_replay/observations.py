"""Observations built again from the bars of a log and the positions of an account."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from orchestrator.decision_log import BarRecord
from orchestrator.decision_replay.ticks import LoggedTick
from orchestrator.feeds import BarFlag
from tradewind.market import Bars, FeaturePipeline, FeatureSpec
from tradewind.market.feature_kernels import POSITION_SIZE, write_position_rows
from tradewind.risk import FloatArray

__all__ = ["MarketRows", "build_observations"]

Float32Array = NDArray[np.float32]


class MarketRows:
    """The market part of every symbol's observation at every tick, each specification once.

    Args:
        ticks: From the first one on.
        symbols: What is traded.
        interval_ns: Length of a bar.
    """

    def __init__(self, ticks: Sequence[LoggedTick], symbols: Sequence[str], interval_ns: int):
        self._interval_ns = interval_ns
        self._series: dict[str, list[Bars]] = {}
        self._last_bars: dict[str, NDArray[np.int64]] = {}
        for symbol in symbols:
            self._series[symbol], self._last_bars[symbol] = _series(ticks, symbol, interval_ns)
        self._rows: dict[tuple[str, str], Float32Array] = {}

    def at(self, symbol: str, spec: FeatureSpec) -> Float32Array:
        """One row for each tick, NaN where there is no observation. Shape [n, market_size]."""
        key = (symbol, spec.digest)
        if key not in self._rows:
            nothing = np.full((1, spec.market_size), np.nan, dtype=np.float32)
            parts = [nothing, *(self._transform(bars, spec) for bars in self._series[symbol])]
            self._rows[key] = np.concatenate(parts)[self._last_bars[symbol] + 1]
        return self._rows[key]

    def _transform(self, bars: Bars, spec: FeatureSpec) -> Float32Array:
        if len(bars) < spec.lookback:
            return np.full((len(bars), spec.market_size), np.nan, dtype=np.float32)
        return FeaturePipeline(spec).transform(bars)


def build_observations(
    market: Sequence[Float32Array],
    positions: Mapping[str, Sequence[FloatArray | NDArray[np.int64]]],
    spec: FeatureSpec,
) -> Float32Array:
    """Observations of one or several symbols: the market's parts, then the positions'.

    Args:
        market: Market rows of each symbol. Shapes [n, market_size].
        positions: `exposure`, `unrealized_return` and `bars_held` of each symbol. Shapes [n].
        spec: What each symbol's part is made of.

    Returns:
        Shape [n, symbols × observation_size].
    """
    parts = list(market)
    if spec.position:
        for exposure, unrealized_return, bars_held in zip(
            positions["exposure"],
            positions["unrealized_return"],
            positions["bars_held"],
            strict=True,
        ):
            rows = np.empty((len(exposure), POSITION_SIZE), dtype=np.float32)
            write_position_rows(
                np.ascontiguousarray(exposure, dtype=np.float64),
                np.ascontiguousarray(unrealized_return, dtype=np.float64),
                np.ascontiguousarray(bars_held, dtype=np.float64),
                spec.scale,
                spec.clip,
                spec.holding_cap_bars,
                rows,
            )
            parts.append(rows)
    return np.concatenate(parts, axis=1)


def _series(
    ticks: Sequence[LoggedTick], symbol: str, interval_ns: int
) -> tuple[list[Bars], NDArray[np.int64]]:
    """A symbol's bars, cut where it warmed up anew; and for each tick the last bar so far."""
    last = np.full(len(ticks), -1, dtype=np.int64)
    bars: list[BarRecord] = []
    starts: list[int] = []
    for row, tick in enumerate(ticks):
        for bar in tick.bars:
            if bar.symbol == symbol:
                if not bars or BarFlag.WARM_UP_AGAIN in bar.flags:
                    starts.append(len(bars))
                bars.append(bar)
        last[row] = len(bars) - 1
    parts = [
        _bars(symbol, bars[start:stop], interval_ns)
        for start, stop in pairwise([*starts, len(bars)])
    ]
    return parts, last


def _bars(symbol: str, bars: Sequence[BarRecord], interval_ns: int) -> Bars:
    return Bars(
        symbol,
        np.array([bar.start_ns for bar in bars], dtype=np.int64),
        open=np.array([bar.open for bar in bars]),
        high=np.array([bar.high for bar in bars]),
        low=np.array([bar.low for bar in bars]),
        close=np.array([bar.close for bar in bars]),
        volume=np.array([bar.volume for bar in bars]),
        interval_ns=interval_ns,
    )
