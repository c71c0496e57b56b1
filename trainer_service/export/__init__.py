"""From a Stable-Baselines3 model to a TorchScript network that needs nothing but torch."""

from trainer_service.export.network import PolicyNetwork, build_network
from trainer_service.export.script import script_policy, serialize, verify_policy

__all__ = ["PolicyNetwork", "build_network", "script_policy", "serialize", "verify_policy"]
