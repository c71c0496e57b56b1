"""Policies that act: a bundle's network executed, its answers checked and timed. Needs torch."""

from tradewind.policy.compiled_network import CompiledNetwork, LoweredNetwork
from tradewind.policy.golden import GOLDEN_TOLERANCE, check_golden
from tradewind.policy.latency import LatencyHistogram, LatencySnapshot
from tradewind.policy.lowering import lower_network
from tradewind.policy.measure import measure_latency
from tradewind.policy.network import TorchScriptNetwork, use_one_torch_thread
from tradewind.policy.protocol import Action, Network, PredictionInfo, RLPolicy
from tradewind.policy.runtime import choose_network
from tradewind.policy.torchscript import TorchScriptPolicy

__all__ = [
    "GOLDEN_TOLERANCE",
    "Action",
    "CompiledNetwork",
    "LatencyHistogram",
    "LatencySnapshot",
    "LoweredNetwork",
    "Network",
    "PredictionInfo",
    "RLPolicy",
    "TorchScriptNetwork",
    "TorchScriptPolicy",
    "check_golden",
    "choose_network",
    "lower_network",
    "measure_latency",
    "use_one_torch_thread",
]
