"""What a model computes between an observation and its deterministic action, as one network."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import QRDQN, TQC, TRPO
from sb3_contrib.qrdqn.policies import QuantileNetwork
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.distributions import (
    CategoricalDistribution,
    DiagGaussianDistribution,
    SquashedDiagGaussianDistribution,
)
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor
from stable_baselines3.common.vec_env import VecNormalize
from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN
from torch import nn

from tradewind.bundle import Distribution
from tradewind.errors import ExportError
from trainer_service.algorithms.tail_learning import TailQuantileNetwork
from trainer_service.export.modules import (
    DeterministicPolicyNetwork,
    GaussianPolicyNetwork,
    GreedyPolicyNetwork,
    ObservationNormalizer,
    PolicyNetwork,
    QuantileMean,
    SquashedGaussianPolicyNetwork,
)

__all__ = ["action_scores", "build_network", "quantile_reduction"]

# Stable-Baselines3 types the parts of its models too loosely to be used without Any.
Exporter: TypeAlias = Callable[[Any, nn.Module], tuple[PolicyNetwork, Distribution]]


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
    exporter = next((_EXPORTERS[kind] for kind in type(model).__mro__ if kind in _EXPORTERS), None)
    if exporter is None:
        raise ExportError(f"no export is known for a {type(model).__name__}")
    space, actions = model.observation_space, model.action_space
    if not isinstance(space, spaces.Box) or space.dtype != np.float32 or is_image_space(space):
        raise ExportError(f"a bundle needs Box observations of float32, not {space}")
    if isinstance(actions, spaces.Discrete) and actions.start != 0:
        raise ExportError(f"a bundle needs actions counted from 0, not {actions}")
    if isinstance(actions, spaces.Box) and actions.dtype != np.float32:
        raise ExportError(f"a bundle needs continuous actions of float32, not {actions}")
    return exporter(model, _observation_normalizer(model.get_vec_normalize_env()))


def action_scores(model: BaseAlgorithm, inputs: torch.Tensor) -> torch.Tensor:
    """What a model compares to choose a discrete action, as its own code calculates it.

    Args:
        model: One of discrete actions.
        inputs: Observations as its policy takes them, on its device. Shape: [N, *shape].

    Returns:
        Q values, or logarithms of probabilities. Shape: [N, actions].
    """
    if isinstance(model, DQN):
        q_values: torch.Tensor = model.q_net(inputs)
        return q_values
    if isinstance(model, QRDQN):
        network: Any = model.quantile_net
        quantiles: torch.Tensor = network(inputs)
        if isinstance(network, TailQuantileNetwork):
            return network.tail_values(quantiles)
        return quantiles.mean(dim=1)
    policy: Any = model.policy
    logits: torch.Tensor = policy.get_distribution(inputs).distribution.logits
    return logits


def quantile_reduction(network: QuantileNetwork) -> nn.Module:
    """What makes the Q values that a policy compares from the quantiles of its network."""
    tail = network.tail if isinstance(network, TailQuantileNetwork) else network.n_quantiles
    return QuantileMean(network.n_quantiles, int(network.action_space.n), tail)


def _export_dqn(model: DQN, normalizer: nn.Module) -> tuple[PolicyNetwork, Distribution]:
    layers = _sequence(model.q_net.features_extractor, model.q_net.q_net)
    return GreedyPolicyNetwork(normalizer, layers), _epsilon_greedy(model)


def _export_qrdqn(model: QRDQN, normalizer: nn.Module) -> tuple[PolicyNetwork, Distribution]:
    network: Any = model.quantile_net
    layers = _sequence(
        network.features_extractor, network.quantile_net, quantile_reduction(network)
    )
    return GreedyPolicyNetwork(normalizer, layers), _epsilon_greedy(model)


def _export_actor_critic(
    model: PPO | A2C | TRPO, normalizer: nn.Module
) -> tuple[PolicyNetwork, Distribution]:
    policy = model.policy
    if not isinstance(policy, ActorCriticPolicy):
        raise ExportError(f"no export is known for a {type(policy).__name__}")
    actor = policy.mlp_extractor.policy_net
    layers = _sequence(policy.pi_features_extractor, actor, policy.action_net)
    if isinstance(policy.action_dist, CategoricalDistribution):
        return GreedyPolicyNetwork(normalizer, layers), Distribution(kind="categorical_logits")
    if type(policy.action_dist) is not DiagGaussianDistribution:
        raise _unknown_distribution(policy.action_dist)
    space = _box(model)
    network = GaussianPolicyNetwork(normalizer, layers, policy.log_std, space.low, space.high)
    return network, Distribution(kind="diag_gaussian")


def _export_soft_actor(
    model: SAC | TQC, normalizer: nn.Module
) -> tuple[PolicyNetwork, Distribution]:
    actor: Any = model.actor
    if type(actor.action_dist) is not SquashedDiagGaussianDistribution:
        raise _unknown_distribution(actor.action_dist)
    space = _box(model)
    network = SquashedGaussianPolicyNetwork(
        normalizer,
        _sequence(actor.features_extractor, actor.latent_pi),
        actor.mu,
        actor.log_std,
        (LOG_STD_MIN, LOG_STD_MAX),
        space.low,
        space.high,
    )
    return network, Distribution(kind="squashed_gaussian")


def _export_td3(model: TD3, normalizer: nn.Module) -> tuple[PolicyNetwork, Distribution]:
    actor: Any = model.actor
    *layers, squash = actor.mu
    if not isinstance(squash, nn.Tanh):
        raise ExportError(f"no export is known for an actor that ends in {squash}")
    space = _box(model)
    network = DeterministicPolicyNetwork(
        normalizer, _sequence(actor.features_extractor, *layers), space.low, space.high
    )
    return network, Distribution(kind="deterministic")


_EXPORTERS: dict[type[BaseAlgorithm], Exporter] = {
    A2C: _export_actor_critic,
    DQN: _export_dqn,
    PPO: _export_actor_critic,
    QRDQN: _export_qrdqn,
    SAC: _export_soft_actor,
    TD3: _export_td3,
    TQC: _export_soft_actor,
    TRPO: _export_actor_critic,
}


def _epsilon_greedy(model: DQN | QRDQN) -> Distribution:
    return Distribution(kind="q_values", exploration_rate=model.exploration_rate)


def _box(model: BaseAlgorithm) -> spaces.Box:
    assert isinstance(model.action_space, spaces.Box)
    return model.action_space


def _unknown_distribution(distribution: object) -> ExportError:
    kind = type(distribution).__name__
    return ExportError(f"no export is known for actions drawn from a {kind}")


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
