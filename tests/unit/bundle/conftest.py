from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tradewind.bundle import (
    BoxSpace,
    BundleDraft,
    DiscreteSpace,
    Distribution,
    GoldenSet,
    SloRecord,
    TrainingRecord,
)


@pytest.fixture
def make_draft() -> Callable[..., BundleDraft]:
    """A small, consistent draft; the store does not look into policy.pt."""

    def make(**changes: Any) -> BundleDraft:
        parts: dict[str, Any] = {
            "name": "momentum",
            "algo": "SB3-DQN",
            "policy_pt": b"network",
            "golden": GoldenSet(
                observations=np.zeros((2, 4), np.float32),
                actions=np.array([0, 2], np.int64),
                distribution=np.zeros((2, 3), np.float32),
            ),
            "obs_space": BoxSpace(shape=(4,)),
            "action_space": DiscreteSpace(n=3),
            "distribution": Distribution(kind="q_values", exploration_rate=0.05),
            "training": TrainingRecord(timesteps=10, seed=1, libraries={"torch": "2.13.0"}),
            "slo": SloRecord(where="test", p50_us=1.0, p99_us=2.0, p999_us=3.0, trials=10),
            "evaluation": {"total_return": 0.01},
        }
        return BundleDraft(**{**parts, **changes})

    return make
