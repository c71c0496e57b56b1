"""What a risk calculation answers."""

from collections.abc import Mapping
from typing import NamedTuple

from tradewind.showing import Table, html_of, number

__all__ = ["RiskReport"]


class RiskReport(NamedTuple):
    """Metrics of one account at one moment; each is available or says why it is not.

    Attributes:
        metric_values: Value of each available metric, in its metric's unit.
        unavailable: Reason for each other metric of the enabled calculators.
        risk_score: Largest utilisation (metric / limit) among available metrics with a limit,
            clipped to [0, 1]. None if there is none: unknown, which is not the same as safe.
        penalty: Weighted mean of the utilisations, not clipped. None if there is none.
        unchecked_limits: Metrics with a limit that are unavailable.
        notes: By metric: what a reader must know about how its value came about.
        policy_digest: Digest of the risk policy that this was calculated under.
    """

    metric_values: Mapping[str, float]
    unavailable: Mapping[str, str]
    risk_score: float | None
    penalty: float | None
    unchecked_limits: tuple[str, ...]
    notes: Mapping[str, str]
    policy_digest: str

    def _repr_html_(self) -> str:
        unknown = {name: f"unavailable: {why}" for name, why in self.unavailable.items()}
        shown = {name: number(value) for name, value in self.metric_values.items()} | unknown
        rows = tuple((name, value, self.notes.get(name, "")) for name, value in shown.items())
        facts = {
            "risk score": "unknown" if self.risk_score is None else number(self.risk_score),
            "penalty": "unknown" if self.penalty is None else number(self.penalty),
            "limits that cannot be checked": ", ".join(self.unchecked_limits),
            "risk policy": self.policy_digest,
        }
        return html_of("Risk report", facts, Table(("metric", "value", "note"), rows))
