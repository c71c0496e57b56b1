"""The rewards of a step, before a model stores them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback

from tradewind.errors import TrainingError
from tradewind.kernels.compiled import compiled

__all__ = ["subtract_from_rewards"]


def subtract_from_rewards(callback: BaseCallback, deductions: NDArray[np.float64]) -> None:
    """Subtracts from the rewards that the model is about to store, in place.

    On-policy algorithms store the array of this step. Off-policy algorithms do too, unless there
    is a VecNormalize: then they store its `old_reward`, the raw rewards.

    Args:
        callback: One that is being called in a step.
        deductions: In units of the raw reward. Shape [n].

    Raises:
        TrainingError: The rewards cannot be reached.
    """
    model, rewards = callback.model, callback.locals.get("rewards")
    if not isinstance(rewards, np.ndarray) or rewards.shape != deductions.shape:
        raise TrainingError(
            f"{type(model).__name__} does not show its rewards to callbacks: "
            "a deduction would not be learnt"
        )
    statistics = model.get_vec_normalize_env()
    if statistics is None:
        _subtract(rewards, deductions)
        return
    if statistics.old_reward.shape != deductions.shape:
        raise TrainingError("VecNormalize does not keep raw rewards: they cannot be changed")
    statistics.old_reward = (statistics.old_reward - deductions).astype(np.float32)
    rewards[:] = statistics.normalize_reward(statistics.old_reward)


@compiled
def _subtract(rewards: NDArray[Any], deductions: NDArray[np.float64]) -> None:
    """`rewards -= deductions`, the deductions in the rewards' precision."""
    for row in range(rewards.size):
        rewards[row] -= rewards.dtype.type(deductions[row])
