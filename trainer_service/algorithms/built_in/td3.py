"""TD3: learns a deterministic continuous policy from a replay buffer."""

from collections.abc import Mapping
from typing import Any, ClassVar

import stable_baselines3
from torch import nn

from tradewind.bundle import Distribution
from tradewind.errors import ExportError
from trainer_service.algorithms.algorithm import Algorithm
from trainer_service.algorithms.checks import check_replay
from trainer_service.algorithms.networks import ActorQCriticSettings
from trainer_service.algorithms.noise import NormalNoise
from trainer_service.algorithms.vectorization import OFF_POLICY
from trainer_service.export import DeterministicPolicyNetwork, flat_sequence

__all__ = ["TD3"]


class TD3(Algorithm):
    """Twin delayed deterministic policy gradients."""

    name = "TD3"
    model_class = stable_baselines3.TD3
    network_settings = ActorQCriticSettings
    action_kinds = ("continuous",)
    checks = (check_replay,)
    # The library's default is none at all, with which a deterministic policy explores nothing.
    defaults: ClassVar[Mapping[str, Any]] = {"action_noise": NormalNoise()}
    vectorization = OFF_POLICY

    def export(self, model: Any, normalizer: nn.Module) -> tuple[nn.Module, Distribution]:
        """The actor, whose tanh the exported network has itself."""
        actor, space = model.actor, model.action_space
        *layers, squash = actor.mu
        if not isinstance(squash, nn.Tanh):
            raise ExportError(f"no export is known for an actor that ends in {squash}")
        network = DeterministicPolicyNetwork(
            normalizer, flat_sequence(actor.features_extractor, *layers), space.low, space.high
        )
        return network, Distribution(kind="deterministic")
