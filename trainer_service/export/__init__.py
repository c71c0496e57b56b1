"""From a Stable-Baselines3 model to a TorchScript network that needs nothing but torch."""

from trainer_service.export.modules import (
    DeterministicPolicyNetwork,
    GaussianPolicyNetwork,
    GreedyPolicyNetwork,
    QuantileMean,
    SquashedGaussianPolicyNetwork,
)
from trainer_service.export.network import Exporter, build_network, flat_sequence
from trainer_service.export.script import check_exportable, script_policy, serialize, verify_policy

__all__ = [
    "DeterministicPolicyNetwork",
    "Exporter",
    "GaussianPolicyNetwork",
    "GreedyPolicyNetwork",
    "QuantileMean",
    "SquashedGaussianPolicyNetwork",
    "build_network",
    "check_exportable",
    "flat_sequence",
    "script_policy",
    "serialize",
    "verify_policy",
]
