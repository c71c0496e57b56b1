"""Return and risk of a whole equity curve, by the calculators that guard production."""

from dataclasses import dataclass

from tradewind.errors import RiskInputError
from tradewind.risk.agent import RiskAgentV2
from tradewind.risk.inputs import FloatArray, RiskInputs
from tradewind.risk.policy import RiskPolicy

__all__ = ["CurveSummary", "summarize_curve"]

_SMALLEST_WINDOW = 20


@dataclass(frozen=True, slots=True)
class CurveSummary:
    """What an equity curve earned and risked, from its first value to its last.

    Attributes:
        total_return: Simple return.
        max_drawdown: Largest fraction lost from a running peak.
        expected_shortfall_95: Mean loss per bar of the worst 5 % of the bars; None when there are
            too few of them.
    """

    total_return: float
    max_drawdown: float
    expected_shortfall_95: float | None


def summarize_curve(values: FloatArray, timestamps: FloatArray) -> CurveSummary:
    """Summarises a curve; windows span the whole of it, whatever those of a risk policy are.

    Args:
        values: Account values, oldest first. Shape [n].
        timestamps: Seconds since the epoch, one per value. Shape [n].

    Raises:
        RiskInputError: The curve has no drawdown: it is empty or not positive and finite.
    """
    window = max(len(values) - 1, _SMALLEST_WINDOW)
    policy = RiskPolicy.parse({"calculators": {"expected_shortfall": {"window_bars": window}}})
    report = RiskAgentV2(policy).calculate_only(
        RiskInputs(portfolio_values=values, timestamps=timestamps)
    )
    if "max_drawdown" in report.unavailable:
        raise RiskInputError(f"no drawdown of this curve: {report.unavailable['max_drawdown']}")
    return CurveSummary(
        total_return=float(values[-1] / values[0] - 1.0),
        max_drawdown=report.metric_values["max_drawdown"],
        expected_shortfall_95=report.metric_values.get("expected_shortfall_95"),
    )
