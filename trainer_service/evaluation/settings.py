"""Settings of the evaluation on held-out bars."""

from typing import Self

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from tradewind.settings import Settings

__all__ = ["EvaluationConfig"]


class EvaluationConfig(Settings):
    """How figures on held-out bars are judged, and what is written about them."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    """Confidence of the bootstrap intervals."""

    resamples: int = Field(default=2_000, ge=100, le=100_000)
    """Bootstrap resamples."""

    block_bars: PositiveInt | None = None
    """Length of the resampled blocks, in bars; None takes the automatic choice of Politis and
    White."""

    trials: PositiveInt = 1
    """Configurations that were tried before this one was chosen, itself included: what the
    deflated Sharpe ratio discounts."""

    trial_sharpe_variance: NonNegativeFloat | None = None
    """Variance of the trials' annualised Sharpe ratios. None takes that of trials without skill,
    the sampling variance of a Sharpe ratio of 0."""

    report: bool = True
    """Whether the bundle holds report.html."""

    @model_validator(mode="after")
    def _check_trials(self) -> Self:
        if self.trial_sharpe_variance is not None and self.trials == 1:
            raise ValueError("trial_sharpe_variance needs more than one trial")
        return self
