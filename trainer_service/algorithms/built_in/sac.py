"""SAC: learns continuous actions from a replay buffer, and is rewarded for their entropy."""

import stable_baselines3

from trainer_service.algorithms.families import SoftActorCritic
from trainer_service.algorithms.networks import ActorQCriticSettings

__all__ = ["SAC"]


class SAC(SoftActorCritic):
    """Soft actor-critic."""

    name = "SAC"
    model_class = stable_baselines3.SAC
    network_settings = ActorQCriticSettings
