"""Policies that act: a bundle's network executed, its answers checked and timed.

What executes a lowered network needs numpy and numba alone. The names that need torch, listed in
_TORCH, import it when they are first asked for: torch takes seconds and 200 MB, which a server of
compiled networks does without.
"""

from typing import TYPE_CHECKING

from tradewind.lazy import lazy_names
from tradewind.policy.bundle_policy import BundlePolicy
from tradewind.policy.compiled_network import CompiledNetwork, LoweredNetwork
from tradewind.policy.declared import compile_declared, lower_declared, open_declared
from tradewind.policy.golden import GOLDEN_TOLERANCE, check_golden
from tradewind.policy.latency import LatencyHistogram, LatencySnapshot
from tradewind.policy.measure import measure_latency
from tradewind.policy.protocol import Network, PolicyAction, PredictionInfo, RLPolicy
from tradewind.policy.sealed.process import SealedNetwork, load_sealed_policy
from tradewind.policy.torchscript import TorchScriptPolicy

if TYPE_CHECKING:
    from tradewind.policy.lowering import declare_network, lower_network
    from tradewind.policy.network import TorchScriptNetwork, use_one_torch_thread
    from tradewind.policy.runtime import choose_network, lower_and_prove, open_network, prove

__all__ = [
    "GOLDEN_TOLERANCE",
    "BundlePolicy",
    "CompiledNetwork",
    "LatencyHistogram",
    "LatencySnapshot",
    "LoweredNetwork",
    "Network",
    "PolicyAction",
    "PredictionInfo",
    "RLPolicy",
    "SealedNetwork",
    "TorchScriptNetwork",
    "TorchScriptPolicy",
    "check_golden",
    "choose_network",
    "compile_declared",
    "declare_network",
    "load_sealed_policy",
    "lower_and_prove",
    "lower_declared",
    "lower_network",
    "measure_latency",
    "open_declared",
    "open_network",
    "prove",
    "use_one_torch_thread",
]

_TORCH = {
    "TorchScriptNetwork": "network",
    "choose_network": "runtime",
    "declare_network": "lowering",
    "lower_and_prove": "runtime",
    "lower_network": "lowering",
    "open_network": "runtime",
    "prove": "runtime",
    "use_one_torch_thread": "network",
}

__getattr__ = lazy_names(__name__, _TORCH)
