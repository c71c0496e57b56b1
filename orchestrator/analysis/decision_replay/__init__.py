"""Re-runs a decision log: proves it bit by bit, or says what another bundle would have done."""

from orchestrator.analysis.decision_replay.bundles import OpenBundle, open_bundle
from orchestrator.analysis.decision_replay.counterfactual import (
    ActionComparison,
    Counterfactual,
    OtherAction,
    replay_other,
)
from orchestrator.analysis.decision_replay.findings import ColumnFinding, Difference
from orchestrator.analysis.decision_replay.verify import Verification, verify

__all__ = [
    "ActionComparison",
    "ColumnFinding",
    "Counterfactual",
    "Difference",
    "OpenBundle",
    "OtherAction",
    "Verification",
    "open_bundle",
    "replay_other",
    "verify",
]
