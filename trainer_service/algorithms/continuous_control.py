"""Actor-critic algorithms for continuous actions that learn from a replay buffer.

The action is the target position, a number from -1 or 0 to 1. Their networks are those of all our
algorithms by default; the library's of 256 or 400 units are for robots of many joints.
"""

from typing import Any, Final

import stable_baselines3

from trainer_service.algorithms.algorithm import Algorithm
from trainer_service.algorithms.checks import check_replay, check_top_quantiles
from trainer_service.algorithms.networks import (
    ActorQCriticSettings,
    ActorQuantileCriticSettings,
)
from trainer_service.algorithms.noise import NormalNoise
from trainer_service.algorithms.parameters import EntropyCoefficient
from trainer_service.algorithms.tail_learning import TailTQC
from trainer_service.algorithms.vectorization import OFF_POLICY

__all__ = ["SAC", "TD3", "TQC"]

_ENTROPY: Final[dict[str, Any]] = {"ent_coef": EntropyCoefficient}

SAC: Final = Algorithm(
    name="SAC",
    model_class=stable_baselines3.SAC,
    network_settings=ActorQCriticSettings,
    action_kinds=("continuous",),
    checks=(check_replay,),
    types=_ENTROPY,
    vectorization=OFF_POLICY,
)

TD3: Final = Algorithm(
    name="TD3",
    model_class=stable_baselines3.TD3,
    network_settings=ActorQCriticSettings,
    action_kinds=("continuous",),
    checks=(check_replay,),
    # The library's default is none at all, with which a deterministic policy explores nothing.
    defaults={"action_noise": NormalNoise()},
    vectorization=OFF_POLICY,
)

TQC: Final = Algorithm(
    name="TQC",
    model_class=TailTQC,
    network_settings=ActorQuantileCriticSettings,
    action_kinds=("continuous",),
    checks=(check_replay, check_top_quantiles),
    types=_ENTROPY,
    vectorization=OFF_POLICY,
)
