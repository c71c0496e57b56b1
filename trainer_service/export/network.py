"""What a model computes between an observation and its deterministic action, as one network."""

from typing import Any, ClassVar, Protocol

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor, nn

from tradewind.bundle import Distribution
from tradewind.errors import ExportError, TradewindError
from tradewind.part_options import told
from trainer_service.export.modules import ObservationNormalizer

__all__ = ["Exporter", "build_network", "flat_sequence"]


class Exporter(Protocol):
    """What knows the models of an algorithm: a trainer_service.algorithms.Algorithm."""

    name: ClassVar[str]

    # Stable-Baselines3 types the parts of its models too loosely to be used without Any.
    def export(self, model: Any, normalizer: nn.Module) -> tuple[nn.Module, Distribution]:
        """The network of a model, and what its distribution means."""

    def action_scores(self, model: Any, inputs: Tensor) -> Tensor:
        """What a model chooses discrete actions by."""


def build_network(exporter: Exporter, model: BaseAlgorithm) -> tuple[nn.Module, Distribution]:
    """Assembles what a model computes between an observation and its deterministic action.

    Args:
        exporter: Knows the models of its algorithm.
        model: The model, with its environment and so with its VecNormalize, if it has one.

    Returns:
        The network, sharing its weights with the model, and what its distribution means.

    Raises:
        ExportError: The model has an observation space, an action space, a policy or a
            distribution that no bundle can hold, or its algorithm's export fails.
    """
    space, actions = model.observation_space, model.action_space
    if not isinstance(space, spaces.Box) or space.dtype != np.float32 or is_image_space(space):
        raise ExportError(f"a bundle needs Box observations of float32, not {space}")
    if isinstance(actions, spaces.Discrete) and actions.start != 0:
        raise ExportError(f"a bundle needs actions counted from 0, not {actions}")
    if isinstance(actions, spaces.Box) and actions.dtype != np.float32:
        raise ExportError(f"a bundle needs continuous actions of float32, not {actions}")
    normalizer = _observation_normalizer(model.get_vec_normalize_env())
    given: Any
    try:
        given = exporter.export(model, normalizer)
        network, distribution = given
    except (TradewindError, MemoryError):
        raise
    except Exception as problem:  # it may be someone's own code
        raise ExportError(f"export() of {exporter.name} raised {told(problem)}") from problem
    if not isinstance(network, nn.Module) or not isinstance(distribution, Distribution):
        raise ExportError(
            f"export() of {exporter.name} must give a torch.nn.Module and a "
            f"tradewind.bundle.Distribution, not {given!r:.200}"
        )
    if distribution.discrete != isinstance(actions, spaces.Discrete):
        raise ExportError(
            f"export() of {exporter.name} gives {distribution.kind}, which does not fit {actions}"
        )
    return network, distribution


def flat_sequence(extractor: BaseFeaturesExtractor, *parts: nn.Module) -> nn.Sequential:
    """One flat sequence of plain layers where that is possible: the easiest to lower and read."""
    first = nn.Flatten() if isinstance(extractor, FlattenExtractor) else extractor
    layers: list[nn.Module] = [first]
    for part in parts:
        layers.extend(part if isinstance(part, nn.Sequential) else [part])
    return nn.Sequential(*layers)


def _observation_normalizer(statistics: VecNormalize | None) -> nn.Module:
    if statistics is None or not statistics.norm_obs:
        return nn.Identity()
    moments = statistics.obs_rms
    if not isinstance(moments, RunningMeanStd):
        raise ExportError("a bundle needs one observation array, not a dict of them")
    return ObservationNormalizer(
        moments.mean, moments.var, statistics.epsilon, float(statistics.clip_obs)
    )
