"""The metrics of each tick beside what RiskAgentV2 gives for the account's history."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestrator.analysis.decision_replay.findings import Difference, Findings
from orchestrator.analysis.decision_replay.formulas import RiskFormulas
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
        known: dict[str, tuple[RiskPolicy, Any]] = {}
        for policy in risk_policies:
            known |= dict.fromkeys(_digests(policy), (policy, log.facts))
        given = {policy.digest(): policy for policy in risk_policies}
        for part in log.parts:
            policy = RiskPolicy.parse(json.loads(part.facts["risk_policy"]))
            policy = given.get(policy.digest(), policy)  # which may have its calculators imported
            digests = (*_digests(policy), part.facts.get("risk_policy_digest", ""))
            known |= dict.fromkeys(digests, (policy, part.facts))
        self._agents = {
            digest: (RiskAgentV2(policy), RiskFormulas.of(policy, facts))
            for digest, (policy, facts) in known.items()
        }
        self._first_row = first_row
        self._closes = integers(table["close_ns"])
        self._findings = findings
        risk = table["risk"].combine_chunks()
        self.asked: NDArray[np.bool_] = np.asarray(risk.is_valid())
        self._answers = risk.to_pylist()
        self._unknown: dict[str, int] = {}
        self._not_checked: dict[str, None] = {}

    def compare(self, row: int, inputs: RiskInputs) -> None:
        """Compares the answer at a row of the log with that for the account there."""
        at = row - self._first_row
        logged = self._answers[at]
        digest = logged["policy_digest"]
        if digest not in self._agents:
            self._unknown[digest] = self._unknown.get(digest, 0) + 1
            return
        agent, formulas = self._agents[digest]
        report = agent.calculate_only(inputs)
        here = report.metric_values.keys() | report.unavailable.keys()
        metrics, unavailable = dict(logged["metrics"]), dict(logged["unavailable"])
        foreign = sorted((metrics.keys() | unavailable.keys()) - here)
        sentences = [*formulas.said]
        if foreign:
            sentences.append(f"{', '.join(foreign)}: no calculator here gives them")
        self._not_checked |= dict.fromkeys(sentences)
        skipped = formulas.skipped.union(foreign)
        close_ns = int(self._closes[at])
        self._findings.compare_maps(
            "risk",
            row,
            close_ns,
            _without(skipped, metrics),
            _without(skipped, report.metric_values),
        )
        compared: list[tuple[str, Any, Any]] = [
            (
                "risk.unavailable",
                _without(skipped, unavailable),
                _without(skipped, report.unavailable),
            )
        ]
        if formulas.with_score:
            compared.append(("risk.risk_score", logged["risk_score"], report.risk_score))
        for column, ours, theirs in compared:
            first = None if ours == theirs else Difference(row, close_ns, "", ours, theirs)
            self._findings.add(column, 1, int(first is not None), first)

    def not_checked(self) -> list[str]:
        """What could not be compared, in sentences."""
        return [f"risk metrics {sentence}" for sentence in self._not_checked] + [
            f"risk metrics of {count:,} ticks under the risk policy {digest[:12]}…, which is not "
            "in the log's facts: give its file with --risk-policy"
            for digest, count in self._unknown.items()
        ]


def _digests(policy: RiskPolicy) -> Iterator[str]:
    """The digests that answers may bear that were given under a policy."""
    identity = policy.identity
    yield identity.digest
    if identity.former is not None:
        yield identity.former


def _without(names: frozenset[str], values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}
