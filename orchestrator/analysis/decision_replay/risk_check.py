"""The metrics of each tick beside what RiskAgentV2 gives for the account's history."""

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestrator.analysis.decision_replay.findings import Difference, Findings
from orchestrator.analysis.decision_replay.ticks import integers
from orchestrator.decision_log import DecisionLog
from tradewind.risk import RiskAgentV2, RiskInputs
from tradewind.risk.policy import RiskPolicy

__all__ = ["RiskCheck"]


class RiskCheck:
    """Compares what the risk service said with its own code, tick by tick.

    Args:
        log: The log, whose facts have the risk policies.
        table: Its ticks that are compared.
        first_row: Row of the first of them.
        findings: Takes in what is compared.
        risk_policies: Risk policies that were in force beside those in the facts.

    Attributes:
        asked: Whether the risk service answered. Shape [ticks of the table].
    """

    def __init__(
        self,
        log: DecisionLog,
        table: pa.Table,
        first_row: int,
        findings: Findings,
        risk_policies: Sequence[RiskPolicy],
    ) -> None:
        facts = [json.loads(part.facts["risk_policy"]) for part in log.parts]
        known = [*map(RiskPolicy.parse, facts), *risk_policies]
        self._agents = {policy.digest(): RiskAgentV2(policy) for policy in known}
        self._first_row = first_row
        self._closes = integers(table["close_ns"])
        self._findings = findings
        risk = table["risk"].combine_chunks()
        self.asked: NDArray[np.bool_] = np.asarray(risk.is_valid())
        self._answers = risk.to_pylist()
        self._unknown: dict[str, int] = {}
        self._not_here: dict[str, int] = {}

    def compare(self, row: int, inputs: RiskInputs) -> None:
        """Compares the answer at a row of the log with that for the account there."""
        at = row - self._first_row
        logged = self._answers[at]
        agent = self._agents.get(logged["policy_digest"])
        if agent is None:
            digest = logged["policy_digest"]
            self._unknown[digest] = self._unknown.get(digest, 0) + 1
            return
        report = agent.calculate_only(inputs)
        close_ns = int(self._closes[at])
        findings = self._findings
        absent = agent.policy.calculators.not_here
        for use in set(absent.values()):
            self._not_here[use] = self._not_here.get(use, 0) + 1
        metrics, ours_unavailable, theirs_unavailable = (
            {metric: item for metric, item in dict(items).items() if metric not in absent}
            for items in (logged["metrics"], logged["unavailable"], report.unavailable)
        )
        findings.compare_maps("risk", row, close_ns, metrics, report.metric_values)
        score = logged["risk_score"]
        for column, ours, theirs in (
            # It may follow from a metric that is not calculated here.
            ("risk.risk_score", score, score if absent else report.risk_score),
            ("risk.unavailable", ours_unavailable, theirs_unavailable),
        ):
            first = None if ours == theirs else Difference(row, close_ns, "", ours, theirs)
            findings.add(column, 1, int(first is not None), first)

    def not_checked(self) -> list[str]:
        """What could not be compared, in sentences."""
        return [
            f"risk metrics of {count:,} ticks under the risk policy {digest[:12]}…, which is not "
            "in the log's facts: give its file with --risk-policy"
            for digest, count in self._unknown.items()
        ] + [
            f"metrics of the calculator {use} and the risk score of {count:,} ticks: no code is "
            "imported because a log names it; give the policy's file with --risk-policy"
            for use, count in self._not_here.items()
        ]
