"""The client that joins the three services: bars in, decisions and a paper account out."""

from orchestrator.execution import Decision, ExecutionAgent
from orchestrator.ledger import Ledger
from orchestrator.replay import ReplayResult, Strategy, replay

__all__ = ["Decision", "ExecutionAgent", "Ledger", "ReplayResult", "Strategy", "replay"]
