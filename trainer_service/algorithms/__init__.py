"""The algorithms that can be trained, and everything a configuration may say about them."""

from trainer_service.algorithms.algorithm import ActionKind, Algorithm
from trainer_service.algorithms.families import ActorCritic, SoftActorCritic
from trainer_service.algorithms.finding import ALGORITHMS, find_algorithm

__all__ = [
    "ALGORITHMS",
    "ActionKind",
    "ActorCritic",
    "Algorithm",
    "SoftActorCritic",
    "find_algorithm",
]
