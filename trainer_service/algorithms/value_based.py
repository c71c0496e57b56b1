"""Algorithms that learn the value of each discrete action and take the best."""

from typing import Final

import stable_baselines3
from pydantic import PositiveFloat

from trainer_service.algorithms.algorithm import Algorithm
from trainer_service.algorithms.checks import (
    check_exploration,
    check_replay,
    check_target_updates,
)
from trainer_service.algorithms.networks import QNetworkSettings, QuantileNetworkSettings
from trainer_service.algorithms.tail_learning import TailQRDQN
from trainer_service.algorithms.vectorization import VALUE_BASED

__all__ = ["DQN", "QR_DQN"]

_CHECKS: Final = (check_replay, check_exploration, check_target_updates)

DQN: Final = Algorithm(
    name="DQN",
    model_class=stable_baselines3.DQN,
    network_settings=QNetworkSettings,
    action_kinds=("discrete",),
    checks=_CHECKS,
    vectorization=VALUE_BASED,
)

QR_DQN: Final = Algorithm(
    name="QR-DQN",
    model_class=TailQRDQN,
    network_settings=QuantileNetworkSettings,
    action_kinds=("discrete",),
    checks=_CHECKS,
    types={"max_grad_norm": PositiveFloat | None},
    # The library's 0.005 is for the fifty million frames of an Atari game; this is that of DQN.
    defaults={"exploration_fraction": 0.1},
    vectorization=VALUE_BASED,
)
