"""The client that joins the three services: bars in, decisions and a paper account out."""

from orchestrator.ledger import Ledger
from orchestrator.replay import ReplayResult, Strategy, replay
from orchestrator.served_policy import Decision, ServedPolicy

__all__ = ["Decision", "Ledger", "ReplayResult", "ServedPolicy", "Strategy", "replay"]
