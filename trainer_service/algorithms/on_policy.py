"""Actor-critic algorithms that learn from what the present policy has just done."""

from typing import Final

import sb3_contrib
import stable_baselines3
from pydantic import PositiveFloat

from trainer_service.algorithms.algorithm import Algorithm
from trainer_service.algorithms.checks import check_batches, check_rollout, check_sub_sampling
from trainer_service.algorithms.networks import ActorCriticSettings
from trainer_service.algorithms.vectorization import (
    LARGE_BATCHES,
    LARGE_EPOCHS,
    SHORT_ROLLOUTS,
)

__all__ = ["A2C", "PPO", "TRPO"]

PPO: Final = Algorithm(
    name="PPO",
    model_class=stable_baselines3.PPO,
    network_settings=ActorCriticSettings,
    action_kinds=("discrete", "continuous"),
    checks=(check_rollout, check_batches),
    vectorization=LARGE_EPOCHS,
)

A2C: Final = Algorithm(
    name="A2C",
    model_class=stable_baselines3.A2C,
    network_settings=ActorCriticSettings,
    action_kinds=("discrete", "continuous"),
    checks=(check_rollout,),
    vectorization=SHORT_ROLLOUTS,
)

TRPO: Final = Algorithm(
    name="TRPO",
    model_class=sb3_contrib.TRPO,
    network_settings=ActorCriticSettings,
    action_kinds=("discrete", "continuous"),
    checks=(check_rollout, check_batches, check_sub_sampling),
    types={"target_kl": PositiveFloat},
    vectorization=LARGE_BATCHES,
)
