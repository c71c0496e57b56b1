"""Every algorithm by its name: the one place where they are listed."""

from collections.abc import Mapping
from typing import Final

from tradewind.errors import FieldViolation, SettingsError
from trainer_service.algorithms.algorithm import Algorithm
from trainer_service.algorithms.continuous_control import SAC, TD3, TQC
from trainer_service.algorithms.on_policy import A2C, PPO, TRPO
from trainer_service.algorithms.value_based import DQN, QR_DQN

__all__ = ["ALGORITHMS", "find_algorithm"]

ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    algorithm.name: algorithm for algorithm in (DQN, QR_DQN, PPO, A2C, TRPO, SAC, TD3, TQC)
}


def find_algorithm(name: str) -> Algorithm:
    """Gives an algorithm by its name.

    Raises:
        SettingsError: There is none of that name.
    """
    if name not in ALGORITHMS:
        allowed = ", ".join(ALGORITHMS)
        raise SettingsError(
            "training configuration is refused",
            [FieldViolation("algorithm", f"{name!r} is unknown; allowed: {allowed}")],
        )
    return ALGORITHMS[name]
