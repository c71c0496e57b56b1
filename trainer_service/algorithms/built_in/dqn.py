"""DQN: learns the value of each discrete action and takes the best."""

from typing import Any

import stable_baselines3
from torch import Tensor, nn

from tradewind.bundle import Distribution
from trainer_service.algorithms.algorithm import Algorithm
from trainer_service.algorithms.checks import VALUE_CHECKS
from trainer_service.algorithms.networks import QNetworkSettings
from trainer_service.algorithms.vectorization import VALUE_BASED
from trainer_service.export import GreedyPolicyNetwork, flat_sequence

__all__ = ["DQN"]


class DQN(Algorithm):
    """Deep Q-learning."""

    name = "DQN"
    model_class = stable_baselines3.DQN
    network_settings = QNetworkSettings
    action_kinds = ("discrete",)
    checks = VALUE_CHECKS
    vectorization = VALUE_BASED

    def export(self, model: Any, normalizer: nn.Module) -> tuple[nn.Module, Distribution]:
        """Q values, of which the largest counts."""
        layers = flat_sequence(model.q_net.features_extractor, model.q_net.q_net)
        distribution = Distribution(kind="q_values", exploration_rate=model.exploration_rate)
        return GreedyPolicyNetwork(normalizer, layers), distribution

    def action_scores(self, model: Any, inputs: Tensor) -> Tensor:
        """Q values."""
        scores: Tensor = model.q_net(inputs)
        return scores
