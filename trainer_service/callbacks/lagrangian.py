"""Constraints on risk in the reward."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from tradewind.errors import TrainingError
from trainer_service.callbacks.multipliers import (
    FEWEST_UPDATES,
    LagrangianConfig,
    Multipliers,
    foreseeable_updates,
)
from trainer_service.callbacks.rewards import subtract_from_rewards
from trainer_service.environment import RiskMeasuringEnv

__all__ = ["LagrangianCallback"]

_MOSTLY_RANDOM: Final = 0.5
"""Share of random actions above which an algorithm explores, and does not act."""


class LagrangianCallback(BaseCallback):
    """Subtracts what breaking the constraints costs from every reward.

    The metrics are those that the environment's risk agent measures within its step. Costs are in
    units of the raw reward, also with a VecNormalize.

    What random exploration does is not held against the policy: of an algorithm that explores by
    random actions, steps count from `learning_starts` on, and while fewer than half of the actions
    are random (or as few as they ever become).

    Logged at every update: `multiplier/<metric>`; `constraint/<metric>`, the mean of metric / limit
    at the ends of episodes, which is to be at most 1; `constraint_satisfied`, 1 while every mean
    is; and `constraint_updates`.

    Args:
        config: The constraints.
        on_note: Told, as the training begins, that it leaves too few updates for its constraints.

    Attributes:
        multipliers: Those of the running training; None before it has begun.

    Raises:
        TrainingError: While learning, when the environment measures no risk or not a constrained
            metric, when the rewards cannot be reached, when no episode ends with a known value, or
            at once when the training is too short for a single update.
    """

    def __init__(
        self, config: LagrangianConfig, on_note: Callable[[str], None] = lambda _: None
    ) -> None:
        super().__init__()
        self._config = config
        self._on_note = on_note
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
        if not isinstance(env, RiskMeasuringEnv) or env.risk_policy_digest is None:
            raise TrainingError("constraints need a VectorizedTradingEnv that measures risk")
        self._env = env
        self._scale = env.task.config.reward_scale
        self._longest = int(env.first_lengths.max())
        self.multipliers = Multipliers(self._config, env.num_envs)
        if self.model.num_timesteps == 0:
            self._foresee(env)

    def _foresee(self, env: RiskMeasuringEnv) -> None:
        """Refuses a training without a single update, and says it of one with few."""
        total, own_from = (
            self.model._total_timesteps,
            random_timesteps(vars(self.model), self.model._total_timesteps),
        )
        updates = foreseeable_updates(
            self._config,
            env.first_lengths,
            self._longest,
            total // env.num_envs,
            own_from // env.num_envs,
        )
        if updates >= FEWEST_UPDATES:
            return
        said = (
            f"the multipliers of the constraints will be updated about {updates} times in {total} "
            f"timesteps of {env.num_envs} environments with episodes of {self._longest} bars, of "
            f"which the first {own_from} timesteps are random"
        )
        if updates == 0:
            raise TrainingError(
                f"{said}: the constraints would have no effect; set a larger total_timesteps, "
                "shorter episodes (environment.episode_bars) or fewer lagrangian.episodes"
            )
        self._on_note(f"{said}: fewer than {FEWEST_UPDATES}, they can hardly adapt")

    def _on_step(self) -> bool:
        risk, multipliers = self._env.step_risk, self.multipliers
        assert risk is not None, "the environment has just been stepped"
        assert multipliers is not None
        try:
            metrics = np.stack([risk.metric(name) for name in multipliers.names], axis=1)
        except KeyError as problem:
            raise TrainingError(f"the risk policy does not calculate {problem}") from None
        costs = multipliers.costs(metrics, self.locals["dones"], explores=self._explores())
        subtract_from_rewards(self, self._scale * costs)
        if multipliers.update_count != self._reported:
            self._reported = multipliers.update_count
            self._report(multipliers)
        return True

    def _report(self, multipliers: Multipliers) -> None:
        figures = zip(
            multipliers.names, multipliers.values.tolist(), multipliers.means.tolist(), strict=True
        )
        outcome = multipliers.outcome()
        self.logger.record("constraint_satisfied", float(outcome.satisfied))
        self.logger.record("constraint_updates", float(outcome.update_count))
        for name, value, mean in figures:
            self.logger.record(f"multiplier/{name}", value)
            if np.isnan(mean):
                # The first episodes are cut short, and may end before there is enough to measure.
                if self.num_timesteps < self._env.num_envs * self._longest:
                    continue
                raise TrainingError(
                    f"{name} was unavailable at the end of {self._config.episodes} episodes: "
                    "it cannot be constrained in this environment"
                )
            self.logger.record(f"constraint/{name}", mean)

    def _explores(self) -> bool:
        """Whether the actions of this step were chosen by chance."""
        model: Any = self.model
        rate: float = getattr(model, "exploration_rate", 0.0)
        random = rate > max(_MOSTLY_RANDOM, getattr(model, "exploration_final_eps", 0.0))
        return random or self.num_timesteps <= getattr(model, "learning_starts", 0)


def random_timesteps(parameters: Mapping[str, Any], total: int) -> int:
    """Timesteps from the start whose actions are chosen by chance.

    Args:
        parameters: Of the algorithm, by the names of Stable-Baselines3.
        total: Timesteps of the training.
    """
    starts: int = parameters.get("learning_starts", 0)
    if "exploration_final_eps" not in parameters:
        return starts
    first: float = parameters["exploration_initial_eps"]
    last: float = parameters["exploration_final_eps"]
    threshold: float = max(_MOSTLY_RANDOM, last)
    if first <= threshold:
        return starts
    # It falls from the first rate to the last one in a straight line.
    fraction: float = parameters["exploration_fraction"]
    share = (first - threshold) / (first - last) * fraction
    return max(starts, math.ceil(share * total))
