"""TRPO: learns from rollouts of the present policy, within a region of trust."""

from collections.abc import Mapping
from typing import Any, ClassVar

import sb3_contrib
from pydantic import PositiveFloat

from trainer_service.algorithms.checks import check_batches, check_rollout, check_sub_sampling
from trainer_service.algorithms.families import ActorCritic
from trainer_service.algorithms.vectorization import LARGE_BATCHES

__all__ = ["TRPO"]


class TRPO(ActorCritic):
    """Trust region policy optimisation."""

    name = "TRPO"
    model_class = sb3_contrib.TRPO
    checks = (check_rollout, check_batches, check_sub_sampling)
    types: ClassVar[Mapping[str, Any]] = {"target_kl": PositiveFloat}
    vectorization = LARGE_BATCHES
