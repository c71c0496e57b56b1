"""Return and risk of a whole equity curve, by the calculators that guard production."""

from dataclasses import dataclass
from typing import Final

from tradewind.errors import RiskInputError
from tradewind.risk.agent import RiskAgentV2
from tradewind.risk.calculators.registry import CALCULATORS
from tradewind.risk.inputs import FloatArray, RiskInputs
from tradewind.risk.policy import RiskPolicy

__all__ = ["CurveSummary", "summarize_curve"]

_CALCULATORS: Final = frozenset({"drawdown", "volatility", "var", "expected_shortfall"})
_SMALLEST_WINDOW: Final = 20


@dataclass(frozen=True, slots=True)
class CurveSummary:
    """What an equity curve earned and risked, from its first value to its last.

    A tail or a deviation is None when there are too few bars for it.

    Attributes:
        total_return: Simple return.
        max_drawdown: Largest fraction lost from a running peak.
        volatility: Annualised standard deviation of the returns.
        downside_deviation: Annualised deviation below the target return.
        var_95: Loss per bar that is exceeded in 5 % of the bars.
        expected_shortfall_95: Mean loss per bar of the worst 5 % of the bars.
    """

    total_return: float
    max_drawdown: float
    volatility: float | None
    downside_deviation: float | None
    var_95: float | None
    expected_shortfall_95: float | None


def summarize_curve(
    values: FloatArray,
    timestamps: FloatArray,
    policy: RiskPolicy | None = None,
    periods_per_year: float | None = None,
) -> CurveSummary:
    """Summarises a curve; windows span the whole of it, whatever those of the risk policy are.

    Args:
        values: Account values, oldest first. Shape [n].
        timestamps: Seconds since the epoch, one per value. Shape [n].
        policy: Settings of the calculators; by default their defaults.
        periods_per_year: Bars in a year; without it, and unless the policy states it, no deviation
            is known.

    Raises:
        RiskInputError: The curve has no drawdown: it is empty or not positive and finite.
    """
    agent = RiskAgentV2(_spanning(policy or RiskPolicy(), len(values) - 1))
    report = agent.calculate_only(
        RiskInputs(
            portfolio_values=values, timestamps=timestamps, periods_per_year=periods_per_year
        )
    )
    if "max_drawdown" in report.unavailable:
        raise RiskInputError(f"no drawdown of this curve: {report.unavailable['max_drawdown']}")
    metrics = report.metric_values
    return CurveSummary(
        total_return=float(values[-1] / values[0] - 1.0),
        max_drawdown=metrics["max_drawdown"],
        volatility=metrics.get("volatility"),
        downside_deviation=metrics.get("downside_deviation"),
        var_95=metrics.get("var_95"),
        expected_shortfall_95=metrics.get("expected_shortfall_95"),
    )


def _spanning(policy: RiskPolicy, return_count: int) -> RiskPolicy:
    """The policy's calculators of a curve alone, with windows as long as the curve."""
    window = max(return_count, _SMALLEST_WINDOW)
    changed = {}
    for calculator in CALCULATORS:
        settings = policy.calculators.of(calculator)
        changes: dict[str, bool | int] = {"enabled": calculator.name in _CALCULATORS}
        if changes["enabled"] and "returns" in calculator.windows(settings):
            changes["window_bars"] = window
        changed[calculator.name] = settings.model_copy(update=changes)
    return RiskPolicy(calculators=policy.calculators.model_copy(update=changed))
