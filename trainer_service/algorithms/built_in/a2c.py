"""A2C: learns from short rollouts of the present policy."""

import stable_baselines3

from trainer_service.algorithms.checks import check_rollout
from trainer_service.algorithms.families import ActorCritic
from trainer_service.algorithms.vectorization import SHORT_ROLLOUTS

__all__ = ["A2C"]


class A2C(ActorCritic):
    """Advantage actor-critic."""

    name = "A2C"
    model_class = stable_baselines3.A2C
    checks = (check_rollout,)
    vectorization = SHORT_ROLLOUTS
