"""Typed clients of the three services; a failed call raises what its server raised."""

from tradewind.rpc.clients.inference import InferenceClient, Prediction
from tradewind.rpc.clients.risk import RiskClient
from tradewind.rpc.clients.trainer import ENDED_STATES, TrainerClient

__all__ = ["ENDED_STATES", "InferenceClient", "Prediction", "RiskClient", "TrainerClient"]
