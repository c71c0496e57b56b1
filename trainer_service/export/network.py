"""The networks that a bundle holds: normalisation, layers and action post-processing in one."""

from typing import TypeAlias

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.distributions import (
    CategoricalDistribution,
    DiagGaussianDistribution,
)
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor
from stable_baselines3.common.vec_env import VecNormalize
from stable_baselines3.dqn.policies import DQNPolicy
from torch import Tensor, nn

from tradewind.bundle import Distribution
from tradewind.errors import ExportError

__all__ = [
    "GaussianPolicyNetwork",
    "GreedyPolicyNetwork",
    "ObservationNormalizer",
    "PolicyNetwork",
    "build_network",
]


class ObservationNormalizer(nn.Module):
    """VecNormalize's observation normalisation, in its float64 arithmetic and thus its bits.

    Args:
        mean: Running mean of the observations. Shape: that of one observation.
        variance: Running variance of the observations. Shape: that of one observation.
        epsilon: Added to the variance.
        clip: Largest magnitude of a normalised value.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        mean: NDArray[np.float64],
        variance: NDArray[np.float64],
        epsilon: float,
        clip: float,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(mean.astype(np.float64)))
        self.register_buffer("scale", torch.from_numpy(np.sqrt(variance + epsilon)))
        self.clip = clip

    def forward(self, observations: Tensor) -> Tensor:
        """Normalises float32 observations. Shape: [N, *shape] to [N, *shape]."""
        normalized = (observations.double() - self.mean) / self.scale
        return normalized.clamp(-self.clip, self.clip).float()


class GreedyPolicyNetwork(nn.Module):
    """Discrete policy: the action with the highest Q value or logit.

    Args:
        normalizer: Observation to network input.
        layers: Network input to one number per action.
    """

    def __init__(self, normalizer: nn.Module, layers: nn.Module) -> None:
        super().__init__()
        self.normalizer = normalizer
        self.layers = layers

    def forward(self, observations: Tensor) -> Tensor:
        """Deterministic actions, int64. Shape: [N, *shape] to [N]."""
        return torch.argmax(self.distribution(observations), dim=1)

    @torch.jit.export
    def distribution(self, observations: Tensor) -> Tensor:
        """Q values or logits, float32. Shape: [N, *shape] to [N, actions]."""
        outputs: Tensor = self.layers(self.normalizer(observations))
        return outputs


class GaussianPolicyNetwork(nn.Module):
    """Continuous policy: the mean of a diagonal Gaussian, clipped to the action bounds.

    Args:
        normalizer: Observation to network input.
        layers: Network input to the mean of each action element.
        log_std: Logarithm of the standard deviation of each action element. Shape: [A].
        low: Lowest action, minus infinity where unbounded. Shape: that of one action.
        high: Highest action, infinity where unbounded. Shape: that of one action.
    """

    log_std: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self,
        normalizer: nn.Module,
        layers: nn.Module,
        log_std: Tensor,
        low: NDArray[np.float32],
        high: NDArray[np.float32],
    ) -> None:
        super().__init__()
        self.normalizer = normalizer
        self.layers = layers
        self.register_buffer("log_std", log_std.detach().clone())
        self.register_buffer("low", torch.from_numpy(low.astype(np.float32)))
        self.register_buffer("high", torch.from_numpy(high.astype(np.float32)))

    def forward(self, observations: Tensor) -> Tensor:
        """Deterministic actions, float32. Shape: [N, *shape] to [N, *action_shape]."""
        mean: Tensor = self.layers(self.normalizer(observations))
        actions = mean.reshape(mean.shape[:1] + self.low.shape)
        return torch.minimum(torch.maximum(actions, self.low), self.high)

    @torch.jit.export
    def distribution(self, observations: Tensor) -> Tensor:
        """Mean and log standard deviation, float32. Shape: [N, *shape] to [N, 2, A]."""
        mean: Tensor = self.layers(self.normalizer(observations))
        return torch.stack([mean, self.log_std.expand_as(mean)], dim=1)


PolicyNetwork: TypeAlias = GreedyPolicyNetwork | GaussianPolicyNetwork


def build_network(model: BaseAlgorithm) -> tuple[PolicyNetwork, Distribution]:
    """Assembles what a model computes between an observation and its deterministic action.

    Args:
        model: The model, with its environment and so with its VecNormalize, if it has one.

    Returns:
        The network, sharing its weights with the model, and what its distribution means.

    Raises:
        ExportError: The model has an observation space, an action space, a policy or a
            distribution that no bundle can hold.
    """
    space = model.observation_space
    if not isinstance(space, spaces.Box) or space.dtype != np.float32 or is_image_space(space):
        raise ExportError(f"a bundle needs Box observations of float32, not {space}")
    if isinstance(model.action_space, spaces.Discrete) and model.action_space.start != 0:
        raise ExportError(f"a bundle needs actions counted from 0, not {model.action_space}")
    normalizer = _observation_normalizer(model.get_vec_normalize_env())
    policy = model.policy
    if isinstance(policy, DQNPolicy):
        layers = _sequence(policy.q_net.features_extractor, policy.q_net.q_net)
        assert isinstance(model, DQN)
        distribution = Distribution(kind="q_values", exploration_rate=model.exploration_rate)
        return GreedyPolicyNetwork(normalizer, layers), distribution
    if isinstance(policy, ActorCriticPolicy):
        return _actor_network(policy, normalizer)
    raise ExportError(f"no export is known for a {type(policy).__name__}")


def _actor_network(
    policy: ActorCriticPolicy, normalizer: nn.Module
) -> tuple[PolicyNetwork, Distribution]:
    actor = policy.mlp_extractor.policy_net
    layers = _sequence(policy.pi_features_extractor, actor, policy.action_net)
    if isinstance(policy.action_dist, CategoricalDistribution):
        return GreedyPolicyNetwork(normalizer, layers), Distribution(kind="categorical_logits")
    if isinstance(policy.action_dist, DiagGaussianDistribution) and isinstance(
        policy.action_space, spaces.Box
    ):
        network = GaussianPolicyNetwork(
            normalizer, layers, policy.log_std, policy.action_space.low, policy.action_space.high
        )
        return network, Distribution(kind="diag_gaussian")
    kind = type(policy.action_dist).__name__
    raise ExportError(f"no export is known for actions drawn from a {kind}")


def _observation_normalizer(statistics: VecNormalize | None) -> nn.Module:
    if statistics is None or not statistics.norm_obs:
        return nn.Identity()
    moments = statistics.obs_rms
    if not isinstance(moments, RunningMeanStd):
        raise ExportError("a bundle needs one observation array, not a dict of them")
    return ObservationNormalizer(
        moments.mean, moments.var, statistics.epsilon, float(statistics.clip_obs)
    )


def _sequence(extractor: BaseFeaturesExtractor, *parts: nn.Module) -> nn.Sequential:
    """One flat sequence of plain layers where that is possible: the easiest to lower and read."""
    first = nn.Flatten() if isinstance(extractor, FlattenExtractor) else extractor
    layers: list[nn.Module] = [first]
    for part in parts:
        layers.extend(part if isinstance(part, nn.Sequential) else [part])
    return nn.Sequential(*layers)
