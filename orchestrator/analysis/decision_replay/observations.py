"""Observations built again from the bars of a log and the positions of an account."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from orchestrator.analysis.decision_replay.ticks import LoggedTick
from orchestrator.feeds import BarFlag
from tradewind.market import Bar, BarAligner, Bars, FeaturePipeline, FeatureSpec
from tradewind.market.feature_kernels import POSITION_SIZE, write_position_rows
from tradewind.risk import FloatArray

__all__ = ["MarketRows", "build_observations", "component_names"]

Float32Array = NDArray[np.float32]


class MarketRows:
    """The market part of observations at every tick, of each symbols and specification once.

    Args:
        ticks: From the first one on.
        interval_ns: Length of a bar.
    """

    def __init__(self, ticks: Sequence[LoggedTick], interval_ns: int) -> None:
        self._ticks = ticks
        self._interval_ns = interval_ns
        self._rows: dict[tuple[tuple[str, ...], str], Float32Array] = {}

    def at(self, symbols: tuple[str, ...], spec: FeatureSpec) -> Float32Array:
        """One row for each tick, the symbols' parts side by side; NaN where there is none.

        Shape [n, symbols × market_size].
        """
        key = (symbols, spec.digest)
        if key not in self._rows:
            stretches, last_bars = _aligned(self._ticks, symbols)
            width = len(symbols) * spec.market_size
            nothing = np.full((1, width), np.nan, dtype=np.float32)
            parts = [nothing, *(self._transform(bars, symbols, spec) for bars in stretches)]
            self._rows[key] = np.concatenate(parts)[last_bars + 1]
        return self._rows[key]

    def _transform(
        self, bars: Sequence[tuple[Bar, ...]], symbols: tuple[str, ...], spec: FeatureSpec
    ) -> Float32Array:
        if len(bars) < spec.lookback:
            width = len(symbols) * spec.market_size
            return np.full((len(bars), width), np.nan, dtype=np.float32)
        pipeline = FeaturePipeline(spec)
        return np.hstack(
            [
                pipeline.transform(_bars(symbol, own, self._interval_ns), as_it_was=True)
                for symbol, own in zip(symbols, zip(*bars, strict=True), strict=True)
            ]
        )


def build_observations(
    market: Float32Array,
    positions: Mapping[str, Sequence[FloatArray | NDArray[np.int64]]],
    spec: FeatureSpec,
) -> Float32Array:
    """Observations of one or several symbols: the market's parts, then the positions'.

    Args:
        market: Market rows of the symbols. Shape [n, symbols × market_size].
        positions: `exposure`, `unrealized_return` and `bars_held` of each symbol. Shapes [n].
        spec: What each symbol's part is made of.

    Returns:
        Shape [n, symbols × observation_size].
    """
    parts = [market]
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


def component_names(spec: FeatureSpec, symbols: Sequence[str]) -> list[str]:
    """A name for each number of an observation of several symbols."""
    if len(symbols) == 1:
        return list(spec.component_names)
    positions = spec.component_names[spec.market_size :]
    return [
        f"{symbol} {name}"
        for names in (spec.market_component_names, positions)
        for symbol in symbols
        for name in names
    ]


def _aligned(
    ticks: Sequence[LoggedTick], symbols: tuple[str, ...]
) -> tuple[list[list[tuple[Bar, ...]]], NDArray[np.int64]]:
    """The bars that all symbols have, cut where they warm up anew; each tick's last one so far."""
    last = np.full(len(ticks), -1, dtype=np.int64)
    aligner = BarAligner(symbols)
    bars: list[tuple[Bar, ...]] = []
    starts = [0]
    for row, tick in enumerate(ticks):
        for record in tick.bars:
            if record.symbol in symbols:
                if BarFlag.WARM_UP_AGAIN in record.flags:
                    aligner.forget_before(record.start_ns)
                    starts.append(len(bars))
                together = aligner.add(record.symbol, record.bar)
                if together is not None:
                    bars.append(together)
        last[row] = len(bars) - 1
    return [bars[start:stop] for start, stop in pairwise([*starts, len(bars)])], last


def _bars(symbol: str, bars: Sequence[Bar], interval_ns: int) -> Bars:
    return Bars(
        symbol,
        np.array([bar.timestamp_ns for bar in bars], dtype=np.int64),
        open=np.array([bar.open for bar in bars]),
        high=np.array([bar.high for bar in bars]),
        low=np.array([bar.low for bar in bars]),
        close=np.array([bar.close for bar in bars]),
        volume=np.array([bar.volume for bar in bars]),
        interval_ns=interval_ns,
    )
