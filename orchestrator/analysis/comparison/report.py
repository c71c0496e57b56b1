"""Two variants side by side, and whether one of them earns more."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from orchestrator.analysis.comparison.sequential import ConfidenceSequence, confidence_sequence
from orchestrator.analysis.comparison.series import VariantSeries
from tradewind.errors import FieldViolation, InvalidInputError
from tradewind.risk.curve import summarize_curve
from tradewind.settings import Settings

__all__ = [
    "Comparison",
    "ComparisonSettings",
    "VariantFigures",
    "Verdict",
    "compare",
    "measure_variant",
]

_PERCENTILES = (50.0, 99.0, 99.9)


class ComparisonSettings(Settings):
    """How sure a verdict is to be. To be chosen before the comparison begins, and kept."""

    alpha: float = Field(default=0.05, gt=0.0, lt=0.5)
    """Probability of ever calling one of two equal variants better, however often it is asked."""

    first_bars: int = Field(default=200, ge=30)
    """Bars in common before there is a verdict: the test is one for long series."""

    best_bars: PositiveInt = 5_000
    """Bars at which it is to be most sensitive."""


class Verdict(StrEnum):
    """What the bars in common allow to be said."""

    CHALLENGER_BETTER = "CHALLENGER_BETTER"
    CHAMPION_BETTER = "CHAMPION_BETTER"
    UNDECIDED = "UNDECIDED"


@dataclass(frozen=True, slots=True)
class VariantFigures:
    """What one variant earned and risked, and how fast it answered.

    Attributes:
        bar_count: Bars it traded.
        total_return: Over all of them.
        max_drawdown: Largest fraction lost from a running peak.
        expected_shortfall_95: Mean loss per bar of the worst 5 % of the bars; None with too few.
        latencies_us: Percentiles in microseconds: `model_compute_p50`, `_p99` and `_p99.9`, and the
            same of `predict` and `bar_to_order`.
    """

    bar_count: int
    total_return: float
    max_drawdown: float
    expected_shortfall_95: float | None
    latencies_us: dict[str, float]


@dataclass(frozen=True, eq=False)
class Comparison:
    """The challenger's return of each bar less the champion's, and the verdict on their mean.

    Attributes:
        common_bars: Bars that both traded; only those count.
        sequence: The confidence sequence of the mean difference per bar.
        verdict: It stays as it is, once it is not UNDECIDED.
        decided_at_ns: Close of the bar that decided it; None while it is UNDECIDED.
    """

    common_bars: int
    sequence: ConfidenceSequence
    verdict: Verdict
    decided_at_ns: int | None


def compare(
    champion: VariantSeries, challenger: VariantSeries, settings: ComparisonSettings
) -> Comparison:
    """Compares two variants bar by bar.

    May be called after every bar: the chance that a challenger with the champion's mean return is
    ever called better or worse stays at alpha. See `confidence_sequence`.

    Raises:
        InvalidInputError: They have fewer than first_bars bars in common.
    """
    closes, ours, theirs = np.intersect1d(
        champion.close_ns, challenger.close_ns, assume_unique=True, return_indices=True
    )
    if len(closes) < settings.first_bars:
        description = (
            f"{champion.name} and {challenger.name} have {len(closes)} bars in common, "
            f"fewer than first_bars ({settings.first_bars})"
        )
        raise InvalidInputError("too early to compare", [FieldViolation("log", description)])
    sequence = confidence_sequence(
        challenger.returns[theirs] - champion.returns[ours],
        alpha=settings.alpha,
        first=settings.first_bars,
        best_at=settings.best_bars,
    )
    verdict = {1: Verdict.CHALLENGER_BETTER, -1: Verdict.CHAMPION_BETTER, 0: Verdict.UNDECIDED}
    at = sequence.decided_at
    return Comparison(
        common_bars=len(closes),
        sequence=sequence,
        verdict=verdict[sequence.sign],
        decided_at_ns=None if at is None else int(closes[at - 1]),
    )


def measure_variant(series: VariantSeries) -> VariantFigures:
    """Return, risk and latency of one variant."""
    curve = np.concatenate([[1.0], np.cumprod(1.0 + series.returns)])
    times = series.close_ns / 1e9
    first = times[0] - (times[1] - times[0] if len(times) > 1 else 60.0)
    found = summarize_curve(curve, np.concatenate([[first], times]))
    return VariantFigures(
        bar_count=len(series.returns),
        total_return=found.total_return,
        max_drawdown=found.max_drawdown,
        expected_shortfall_95=found.expected_shortfall_95,
        latencies_us={
            **_percentiles("model_compute", series.model_compute_ns),
            **_percentiles("predict", series.predict_ns),
            **_percentiles("bar_to_order", series.bar_to_order_ns),
        },
    )


def _percentiles(name: str, times_ns: NDArray[np.int64]) -> dict[str, float]:
    if not len(times_ns):
        return {}
    values = np.percentile(times_ns, _PERCENTILES) / 1e3
    return {
        f"{name}_p{percentile:g}": float(value)
        for percentile, value in zip(_PERCENTILES, values, strict=True)
    }
