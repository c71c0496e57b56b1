"""Policies that act: a bundle's network executed, its answers checked and timed. Needs torch."""

from tradewind.policy.golden import GOLDEN_TOLERANCE, check_golden
from tradewind.policy.latency import LatencyHistogram, LatencySnapshot
from tradewind.policy.measure import measure_latency
from tradewind.policy.network import TorchScriptNetwork, use_one_torch_thread
from tradewind.policy.protocol import Action, Network, PredictionInfo, RLPolicy
from tradewind.policy.torchscript import TorchScriptPolicy

__all__ = [
    "GOLDEN_TOLERANCE",
    "Action",
    "LatencyHistogram",
    "LatencySnapshot",
    "Network",
    "PredictionInfo",
    "RLPolicy",
    "TorchScriptNetwork",
    "TorchScriptPolicy",
    "check_golden",
    "measure_latency",
    "use_one_torch_thread",
]
