"""From a Stable-Baselines3 model to a TorchScript network that needs nothing but torch."""

from trainer_service.export.modules import PolicyNetwork
from trainer_service.export.network import build_network
from trainer_service.export.script import check_exportable, script_policy, serialize, verify_policy

__all__ = [
    "PolicyNetwork",
    "build_network",
    "check_exportable",
    "script_policy",
    "serialize",
    "verify_policy",
]
