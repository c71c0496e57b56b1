"""From bars and positions of several symbols to one observation, bar by bar."""

from collections.abc import Sequence

import numpy as np

from tradewind.errors import ObservationError
from tradewind.market.accounting import PositionState
from tradewind.market.bars import Bar
from tradewind.market.feature_kernels import POSITION_SIZE, ObservationArray
from tradewind.market.features import FeatureSpec
from tradewind.market.panel import BarAligner
from tradewind.market.pipeline import FeaturePipeline

__all__ = ["PanelPipeline"]


class PanelPipeline:
    """Builds the observations of a policy of several symbols, or of one, as training does.

    An observation is the market's part of each symbol, then each position, in the order of the
    symbols. As training drops a bar that one symbol lacks, here only bars that all symbols have
    are learned from; a bar waits for those of the others.

    Args:
        symbols: What the observation is of, in order.
        spec: What each symbol's part is made of.

    Raises:
        MarketDataError: A symbol stands there twice.
    """

    def __init__(self, symbols: Sequence[str], spec: FeatureSpec) -> None:
        self.spec = spec
        self._market_size = spec.market_size
        self._observation_size = len(symbols) * spec.observation_size
        self._aligner = BarAligner(symbols)
        self._pipelines = {symbol: FeaturePipeline(spec) for symbol in symbols}

    def update(self, symbol: str, bar: Bar) -> None:
        """Takes in the next closed bar of one symbol; gaps are allowed.

        Raises:
            MarketDataError: The bar is impossible, or starts before the last one that was learned
                from has closed; nothing has changed.
        """
        if len(self._pipelines) == 1:
            self._pipelines[symbol].update(bar)
            return
        self._pipelines[symbol].check(bar)
        bars = self._aligner.add(symbol, bar)
        if bars is not None:
            for pipeline, each in zip(self._pipelines.values(), bars, strict=True):
                pipeline.update(each)

    def start_over(self, start_ns: int) -> None:
        """Forgets the bars that start before a time: all symbols warm up anew."""
        self._aligner.forget_before(start_ns)
        self._pipelines = {symbol: FeaturePipeline(self.spec) for symbol in self._pipelines}

    @property
    def ready(self) -> bool:
        """Whether there are enough bars for an observation."""
        return next(iter(self._pipelines.values())).ready

    def observation(self, positions: Sequence[PositionState]) -> ObservationArray:
        """The observation after the last bars.

        Args:
            positions: Of each symbol; not looked at if the specification leaves them out.

        Returns:
            A new array. Shape [symbols × observation_size], float32.

        Raises:
            UnavailableError: There are fewer than `lookback` bars so far.
            ObservationError: A position is not a number, or a group of the specification fails.
        """
        row, fault = self.observation_or_fault(positions)
        if fault:
            raise ObservationError(fault)
        return row

    def observation_or_fault(
        self, positions: Sequence[PositionState]
    ) -> tuple[ObservationArray, str]:
        """As `observation`; where a group fails, what there is, NaN in its place, and why."""
        row: ObservationArray = np.empty(self._observation_size, dtype=np.float32)
        at, fault = 0, ""
        for symbol, pipeline in self._pipelines.items():
            try:
                pipeline.write_market(row[at : at + self._market_size])
            except ObservationError as problem:
                fault = fault or f"{symbol}: {problem}"
            at += self._market_size
        if self.spec.position:
            for pipeline, position in zip(self._pipelines.values(), positions, strict=True):
                pipeline.write_position(position, row[at : at + POSITION_SIZE])
                at += POSITION_SIZE
        return row, fault
