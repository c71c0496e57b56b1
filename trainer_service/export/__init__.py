"""From a Stable-Baselines3 model to a declared network, and to a script that torch can load."""

from trainer_service.export.copies import CopySettings, write_copies
from trainer_service.export.decided import decided_rows
from trainer_service.export.declared import DeclaredExport, declare_export
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
    "CopySettings",
    "DeclaredExport",
    "DeterministicPolicyNetwork",
    "Exporter",
    "GaussianPolicyNetwork",
    "GreedyPolicyNetwork",
    "QuantileMean",
    "SquashedGaussianPolicyNetwork",
    "build_network",
    "check_exportable",
    "decided_rows",
    "declare_export",
    "flat_sequence",
    "script_policy",
    "serialize",
    "verify_policy",
    "write_copies",
]
