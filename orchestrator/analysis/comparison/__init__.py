"""Which of two policies earns more, asked as often as one likes while they trade."""

from orchestrator.analysis.comparison.bounds import BoundReading, read_bounds
from orchestrator.analysis.comparison.report import (
    Comparison,
    ComparisonSettings,
    VariantFigures,
    Verdict,
    compare,
    measure_variant,
)
from orchestrator.analysis.comparison.sequential import ConfidenceSequence, confidence_sequence
from orchestrator.analysis.comparison.series import VariantSeries, read_account, split_variants

__all__ = [
    "BoundReading",
    "Comparison",
    "ComparisonSettings",
    "ConfidenceSequence",
    "VariantFigures",
    "VariantSeries",
    "Verdict",
    "compare",
    "confidence_sequence",
    "measure_variant",
    "read_account",
    "read_bounds",
    "split_variants",
]
