"""QR-DQN: learns quantiles of each discrete action's return and takes the best mean, or CVaR."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import PositiveFloat
from torch import Tensor, nn

from tradewind.bundle import Distribution
from trainer_service.algorithms.algorithm import Algorithm
from trainer_service.algorithms.checks import VALUE_CHECKS
from trainer_service.algorithms.networks import QuantileNetworkSettings
from trainer_service.algorithms.tail_learning import TailQRDQN, TailQuantileNetwork
from trainer_service.algorithms.vectorization import VALUE_BASED
from trainer_service.export import GreedyPolicyNetwork, QuantileMean, flat_sequence

__all__ = ["QRDQN"]


class QRDQN(Algorithm):
    """DQN with quantile regression."""

    name = "QR-DQN"
    model_class = TailQRDQN
    network_settings = QuantileNetworkSettings
    action_kinds = ("discrete",)
    checks = VALUE_CHECKS
    types: ClassVar[Mapping[str, Any]] = {"max_grad_norm": PositiveFloat | None}
    # The library's 0.005 is for the fifty million frames of an Atari game; this is that of DQN.
    defaults: ClassVar[Mapping[str, Any]] = {"exploration_fraction": 0.1}
    vectorization = VALUE_BASED

    def export(self, model: Any, normalizer: nn.Module) -> tuple[nn.Module, Distribution]:
        """Means of the quantiles that count, of which the largest is taken."""
        network = model.quantile_net
        means = QuantileMean(network.n_quantiles, int(network.action_space.n), _tail(network))
        layers = flat_sequence(network.features_extractor, network.quantile_net, means)
        distribution = Distribution(kind="q_values", exploration_rate=model.exploration_rate)
        return GreedyPolicyNetwork(normalizer, layers), distribution

    def action_scores(self, model: Any, inputs: Tensor) -> Tensor:
        """The same means."""
        quantiles: Tensor = model.quantile_net(inputs)
        return quantiles[:, : _tail(model.quantile_net)].mean(dim=1)


def _tail(network: Any) -> int:
    """How many quantiles an action is judged by."""
    tail: int = network.tail if isinstance(network, TailQuantileNetwork) else network.n_quantiles
    return tail
