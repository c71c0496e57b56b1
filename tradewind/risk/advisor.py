"""ProductionRiskAdvisor: metrics for a reward or a dashboard, and nothing that enforces."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tradewind.risk.agent import RiskAgentV2
from tradewind.risk.batch import BatchRiskTracker
from tradewind.risk.inputs import RiskInputs
from tradewind.risk.policy import RiskPolicy
from tradewind.risk.report import RiskReport
from tradewind.risk.tracker import RiskTracker

__all__ = ["ProductionRiskAdvisor"]


class ProductionRiskAdvisor:
    """Thin facade over RiskAgentV2.calculate_only: the same numbers, no enforcement.

    Args:
        policy_yaml: Risk policy file.

    Raises:
        RiskPolicyError: The file cannot be read or a setting is refused.
    """

    def __init__(self, policy_yaml: Path | str) -> None:
        self._agent = RiskAgentV2.from_yaml(policy_yaml)

    @property
    def policy(self) -> RiskPolicy:
        """The policy that is calculated under."""
        return self._agent.policy

    @property
    def policy_digest(self) -> str:
        """Its digest."""
        return self._agent.policy_digest

    def warm_up(self) -> None:
        """Loads every kernel, compiling those that are not in the cache."""
        self._agent.warm_up()

    def evaluate(self, obs: RiskInputs | Mapping[str, Any]) -> dict[str, float]:
        """Values of the metrics that are available.

        Raises:
            RiskInputError: The inputs contradict themselves or have unknown fields.
        """
        return dict(self.report(obs).metric_values)

    def report(self, obs: RiskInputs | Mapping[str, Any]) -> RiskReport:
        """All that calculate_only says: metrics, reasons, risk score and penalty.

        Raises:
            RiskInputError: The inputs contradict themselves or have unknown fields.
        """
        return self._agent.calculate_only(obs)

    def tracker(self) -> RiskTracker:
        """A tracker of one account: the same numbers from what is new about it."""
        return self._agent.tracker()

    def batch(
        self,
        count: int,
        symbols: Sequence[str],
        capital_base: float,
        periods_per_year: float | None = None,
    ) -> BatchRiskTracker:
        """Trackers of accounts that step together; see RiskAgentV2.batch."""
        return self._agent.batch(count, symbols, capital_base, periods_per_year)
