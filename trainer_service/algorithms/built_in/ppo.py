"""PPO: learns from rollouts of the present policy, which no update changes by much."""

import stable_baselines3

from trainer_service.algorithms.checks import check_batches, check_rollout
from trainer_service.algorithms.families import ActorCritic
from trainer_service.algorithms.vectorization import LARGE_EPOCHS

__all__ = ["PPO"]


class PPO(ActorCritic):
    """Proximal policy optimisation."""

    name = "PPO"
    model_class = stable_baselines3.PPO
    checks = (check_rollout, check_batches)
    vectorization = LARGE_EPOCHS
