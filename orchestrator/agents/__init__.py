"""The agents that trade: one decides a tick, the other runs the account."""

from orchestrator.agents.contract_guard import ContractGuard, VerifiedPolicy
from orchestrator.agents.decision import TickDecision
from orchestrator.agents.execution import ExecutionAgent
from orchestrator.agents.orchestrator import OpenBroker, OpenFeed, OrchestratorAgent
from orchestrator.agents.reasons import Reason

__all__ = [
    "ContractGuard",
    "ExecutionAgent",
    "OpenBroker",
    "OpenFeed",
    "OrchestratorAgent",
    "Reason",
    "TickDecision",
    "VerifiedPolicy",
]
