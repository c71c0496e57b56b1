"""Which discrete actions no rounding could turn."""

import numpy as np
from numpy.typing import NDArray

from tradewind.policy import GOLDEN_TOLERANCE

__all__ = ["decided_rows"]


def decided_rows(scores: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Observations whose best action is ahead of the next by more than rounding explains.

    Another runtime, or another batch size, may add up a layer in another order.

    Args:
        scores: What actions are chosen by. Shape: [N, actions].

    Returns:
        Shape: [N].
    """
    if scores.shape[1] < 2:
        return np.ones(len(scores), np.bool_)
    ranked = np.sort(scores, axis=1)
    scale = np.maximum(1.0, np.abs(ranked[:, -1]))
    ahead: NDArray[np.bool_] = ranked[:, -1] - ranked[:, -2] > GOLDEN_TOLERANCE * scale
    return ahead
