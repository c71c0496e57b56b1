"""Constraints on risk in the reward."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from tradewind.errors import TrainingError
from trainer_service.callbacks.rewards import subtract_from_rewards
from trainer_service.environment import VectorizedTradingEnv
from trainer_service.multipliers import LagrangianConfig, Multipliers

__all__ = ["LagrangianCallback"]


class LagrangianCallback(BaseCallback):
    """Subtracts what breaking the constraints costs from every reward.

    The metrics are those that the environment's risk agent measures within its step. Costs are in
    units of the raw reward, also with a VecNormalize.

    Logged at every update: `multiplier/<metric>`, and `constraint/<metric>`, the mean of
    metric / limit at the ends of episodes, which is to be at most 1.

    Args:
        config: The constraints.

    Attributes:
        multipliers: Those of the running training; None before it has begun.

    Raises:
        TrainingError: While learning, when the environment measures no risk or not a constrained
            metric, when the rewards cannot be reached, or when no episode ends with a known value.
    """

    def __init__(self, config: LagrangianConfig) -> None:
        super().__init__()
        self._config = config
        self.multipliers: Multipliers | None = None
        self._reported = 0

    def get_state(self) -> dict[str, Any]:
        """The multipliers and what they are updated from."""
        assert self.multipliers is not None
        return self.multipliers.get_state()

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes back to what `get_state` gave."""
        assert self.multipliers is not None
        self.multipliers.set_state(state)
        self._reported = self.multipliers.update_count

    def _init_callback(self) -> None:
        env = self.training_env.unwrapped
        if not isinstance(env, VectorizedTradingEnv) or env.risk_policy_digest is None:
            raise TrainingError("constraints need a VectorizedTradingEnv that measures risk")
        self._env = env
        self._scale = env.task.config.reward_scale
        self.multipliers = Multipliers(self._config, env.num_envs)

    def _on_step(self) -> bool:
        risk, multipliers = self._env.step_risk, self.multipliers
        assert risk is not None, "the environment has just been stepped"
        assert multipliers is not None
        try:
            metrics = np.stack([risk.metric(name) for name in multipliers.names], axis=1)
        except KeyError as problem:
            raise TrainingError(f"the risk policy does not calculate {problem}") from None
        costs = multipliers.costs(metrics, self.locals["dones"])
        subtract_from_rewards(self, self._scale * costs)
        if multipliers.update_count != self._reported:
            self._reported = multipliers.update_count
            self._report(multipliers)
        return True

    def _report(self, multipliers: Multipliers) -> None:
        figures = zip(
            multipliers.names, multipliers.values.tolist(), multipliers.means.tolist(), strict=True
        )
        for name, value, mean in figures:
            if np.isnan(mean):
                raise TrainingError(
                    f"{name} was unavailable at the end of {self._config.episodes} episodes: "
                    "it cannot be constrained in this environment"
                )
            self.logger.record(f"multiplier/{name}", value)
            self.logger.record(f"constraint/{name}", mean)
