"""Many copies of the trading environment in one compiled step, as a VecEnv."""

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, cast

import gymnasium
import numpy as np
from gymnasium.utils import seeding
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from tradewind.constants import ACTION_BUY, ACTION_HOLD, ACTION_SELL
from tradewind.errors import ConflictError, InvalidInputError
from tradewind.market import BarSeries, FeatureSpec, TradingTerms
from tradewind.market.bars import FloatArray
from tradewind.market.feature_kernels import ObservationArray
from tradewind.risk import (
    BatchBar,
    BatchRiskTracker,
    ProductionRiskAdvisor,
    RiskAgentV2,
    RiskReport,
)
from trainer_service.environment.config import EnvironmentConfig
from trainer_service.environment.copies import (
    Copies,
    begin_copies,
    choose_targets,
    observe_copies,
    step_copies,
)
from trainer_service.environment.measuring import RiskMeasuringEnv
from trainer_service.environment.task import TradingTask

__all__ = ["VectorizedTradingEnv"]

# One for all copies that go on: a dictionary for each would take longer than the step itself.
_RUNNING: Final = MappingProxyType({"TimeLimit.truncated": False})


class VectorizedTradingEnv(RiskMeasuringEnv):
    """N copies of IntradayTradingEnv: to the last bit what they give in a DummyVecEnv.

    The episodes that a reset of all copies begins are staggered: copy k of n is truncated after
    (n − k) / n of the longest episode, k from 0, so that later on the copies end one after the
    other. One copy alone, and every later episode, is what the environment itself gives.

    An episode that ends is reset in the same step; its info has `episode` (return, length and
    seconds, as a Monitor gives them), `terminal_observation` and `TimeLimit.truncated`. The info
    of a copy that goes on is the same read-only mapping for all.

    Args:
        bars: What to trade; by default the embedded sample of BTC.
        config: Costs, episodes and reward.
        feature_spec: What an observation is made of; by default for bars of this length.
        n_envs: How many copies.
        risk: Measures the risk of every copy after every step; nothing does without.
        stagger: False makes the first episodes as long as all others.

    Attributes:
        task: What the copies share.
        step_risk: Risk of every copy after the last step and before the resets that followed it:
            what `calculate_only` says of its `risk_inputs()`. None before the first step, and
            without `risk`.
        first_lengths: Steps of the first episode of each copy, at most. Shape [n].

    Raises:
        MarketDataError: The bars are too few, or not those the specification is for.
        InvalidInputError: There are no copies, or discrete actions are to trade several symbols.
    """

    def __init__(
        self,
        bars: BarSeries | None = None,
        config: EnvironmentConfig | None = None,
        feature_spec: FeatureSpec | None = None,
        *,
        n_envs: int,
        risk: RiskAgentV2 | ProductionRiskAdvisor | None = None,
        stagger: bool = True,
    ) -> None:
        if n_envs < 1:
            raise InvalidInputError(f"n_envs must be at least 1, not {n_envs}")
        self.task = TradingTask(bars, config, feature_spec)
        super().__init__(n_envs, self.task.observation_space, self.task.action_space)
        settings = self.task.config
        self.step_risk = None
        self._tracker: BatchRiskTracker | None = None
        if risk is not None:
            self._tracker = risk.batch(
                n_envs, self.task.symbols, settings.initial_cash, self.task.periods_per_year
            )
        self._rewards = self.task.reward_history(n_envs)
        self._copies = Copies.zeros(n_envs, len(self.task.symbols))
        self._bar = BatchBar.zeros(n_envs, len(self.task.symbols))
        self._random: list[np.random.Generator | None] = [None] * n_envs
        self.first_lengths = self.task.first_lengths(n_envs, stagger=stagger)
        self._running = False
        self._started_at = time.time()
        self._target_table = _target_table(settings)
        self._discrete_targets = np.empty((n_envs, 1))
        self._targets: FloatArray | None = None
        # Slow to ask or to put together, and a step needs them every time.
        self._constants = (*self.task.market, *self.task.calendar, self.task.rules)
        self._conditions = self.task.conditions
        self._action_shape = (n_envs, *(self.action_space.shape or ()))

    def reset(self) -> ObservationArray:
        """Starts an episode of every copy, with the seeds and options set before.

        Raises:
            InvalidInputError: An unknown option, or a start without room for observation and
                episode.
        """
        for row, seed in enumerate(self._seeds):
            if seed is not None or self._random[row] is None:
                self._random[row] = seeding.np_random(seed)[0]
        observations = self._empty_observations()
        self._begin(np.arange(self.num_envs), observations, self._options)
        copies = self._copies
        np.minimum(copies.end, copies.start + self.first_lengths, out=copies.end)
        self._reset_seeds()
        self._reset_options()
        self._running = True
        self._targets = None
        self.step_risk = None
        return observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """Takes the actions of the next step.

        Raises:
            ConflictError: No episodes are running.
            InvalidInputError: There is no such action; nothing has changed.
        """
        if not self._running:
            raise ConflictError("no episodes are running: call reset() first")
        self._targets = self._decode(np.asarray(actions))

    def step_wait(self) -> VecEnvStepReturn:
        """Steps every copy and resets those that end.

        Returns:
            New arrays: observations, rewards (float32) and dones, and the infos.

        Raises:
            ConflictError: There are no actions to take.
            TrainingError: A reward of one's own fails, or is no finite number.
        """
        targets, self._targets = self._targets, None
        if targets is None:
            raise ConflictError("no actions have been given: call step_async() first")
        count = self.num_envs
        observations = self._empty_observations()
        rewards: NDArray[np.float32] = np.empty(count, dtype=np.float32)
        terminated: NDArray[np.bool_] = np.empty(count, dtype=np.bool_)
        dones: NDArray[np.bool_] = np.empty(count, dtype=np.bool_)
        given = (*self._copies, *self._constants, targets, *self._bar)
        results = (observations, rewards, terminated, dones)
        arguments: tuple[Any, ...] = (*given, *results, self._conditions)
        ended = step_copies(*arguments)
        if self._rewards is not None:
            rewards[:] = self._rewards.step(self._copies.states, self._copies.traded)
        if self._tracker is not None:
            self.step_risk = self._tracker.update(self._bar)
        infos = cast("list[dict[str, Any]]", [_RUNNING] * count)
        if ended:
            rows = np.flatnonzero(dones)
            for row in rows:
                infos[row] = self._final_info(int(row), bool(terminated[row]), observations[row])
            self._begin(rows, observations)
        return observations, rewards, dones, infos

    def observations(self) -> ObservationArray:
        """The present observation of every copy, as the last step or reset gave it.

        Raises:
            ConflictError: No episodes are running.
        """
        if not self._running:
            raise ConflictError("no episodes are running: call reset() first")
        observations = self._empty_observations()
        observe_copies(self._copies, self.task.market, self.task.rules, observations)
        return observations

    @property
    def risk_policy_digest(self) -> str | None:
        """Digest of the risk policy that `step_risk` is under; None without one."""
        return None if self._tracker is None else self._tracker.policy_digest

    def risk_report(self, row: int) -> RiskReport:
        """Risk of one copy after the last step, with reasons in words.

        Raises:
            ConflictError: Nothing measures risk, or no step has been taken.
        """
        if self._tracker is None or self.step_risk is None:
            raise ConflictError("no risk has been measured yet")
        return self._tracker.report(row)

    def get_state(self) -> dict[str, Any]:
        """Everything that the next steps depend on, as copies, to be pickled."""
        return {
            "task": self.task.fingerprint,
            "running": self._running,
            "copies": {name: array.copy() for name, array in self._copies._asdict().items()},
            "random": [None if each is None else each.bit_generator.state for each in self._random],
            "seeds": list(self._seeds),
            "options": list(self._options),
            "risk": None if self._tracker is None else self._tracker.get_state(),
            "rewards": None if self._rewards is None else self._rewards.get_state(),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state that an environment of the same kind gave.

        `observations()` then gives what the next actions are to be chosen on.

        Raises:
            ConflictError: It is the state of other bars, settings or risk policy, or of another
                number of copies.
        """
        if (
            not self.task.is_of(state["task"])
            or len(state["random"]) != self.num_envs
            or (state["risk"] is None) != (self._tracker is None)
        ):
            raise ConflictError("the state is that of another environment")
        if self._tracker is not None:
            self._tracker.set_state(state["risk"])
        if self._rewards is not None:
            self._rewards.set_state(state["rewards"])
        self._copies = Copies.of_state(state["copies"])
        self._random = [_generator(each) for each in state["random"]]
        self._seeds, self._options = list(state["seeds"]), list(state["options"])
        self._running = state["running"]
        self._targets = None
        self.step_risk = None

    def close(self) -> None:
        """Has nothing to close."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of the task, which all copies share: bars, config, feature_spec, symbols.

        Raises:
            AttributeError: There is no such attribute.
        """
        value = None if attr_name == "render_mode" else getattr(self.task, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(
        self,
        attr_name: str,
        value: Any,  # noqa: ARG002 - the interface of VecEnv, as below
        indices: VecEnvIndices = None,  # noqa: ARG002
    ) -> None:
        """Copies have no attributes of their own.

        Raises:
            AttributeError: Always.
        """
        raise AttributeError(f"the copies of a VectorizedTradingEnv have no {attr_name} to set")

    def env_method(
        self,
        method_name: str,
        *method_args: Any,  # noqa: ARG002
        indices: VecEnvIndices = None,  # noqa: ARG002
        **method_kwargs: Any,  # noqa: ARG002
    ) -> list[Any]:
        """Copies have no methods of their own.

        Raises:
            AttributeError: Always.
        """
        raise AttributeError(f"the copies of a VectorizedTradingEnv have no {method_name}()")

    def env_is_wrapped(
        self,
        wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]],
        indices: VecEnvIndices = None,
    ) -> list[bool]:
        """Whether infos have what a wrapper would give: the episode statistics of a Monitor."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]

    def _decode(self, actions: NDArray[Any]) -> FloatArray:
        """What `TradingTask.targets` gives for each action. Shape [n, symbols]."""
        terms, shape = self.task.config, self._action_shape
        if actions.shape != shape:
            raise InvalidInputError(f"actions must have shape {shape}, not {actions.shape}")
        if terms.actions == "continuous" and actions.dtype.kind == "f":
            shares = actions.astype(np.float64)
            if ((shares >= terms.lowest_action) & (shares <= 1.0)).all():
                return shares * terms.position_fraction
        elif actions.dtype.kind in "iu":
            indices = np.ascontiguousarray(actions, dtype=np.int64)
            if choose_targets(self._target_table, indices, self._discrete_targets):
                return self._discrete_targets
        # Refuses the one that is wrong.
        return np.array([self.task.targets(action) for action in actions])

    def _empty_observations(self) -> ObservationArray:
        return np.empty((self.num_envs, self.task.observation_size), dtype=np.float32)

    def _begin(
        self,
        rows: NDArray[np.int64],
        observations: ObservationArray,
        options: Sequence[dict[str, Any]] | None = None,
    ) -> None:
        """Starts episodes and puts their first observations in place."""
        copies, task = self._copies, self.task
        starts = []
        for row in rows:
            random = self._random[row]
            assert random is not None, "reset() has made the generators"
            starts.append(task.choose_start(options[row] if options else None, random))
        # Nothing has changed if one of them was refused.
        for row, start in zip(rows, starts, strict=True):
            copies.start[row], copies.end[row] = start, task.end_of(start)
            self.reset_infos[row] = task.first_info(start)
        begin_copies(copies, task.market, task.calendar, task.rules, rows, self._bar, observations)
        if self._tracker is not None:
            self._tracker.begin(rows, self._bar)
        if self._rewards is not None:
            self._rewards.begin(rows, task.config.initial_cash)

    def _final_info(
        self, row: int, terminated: bool, observation: ObservationArray
    ) -> dict[str, Any]:
        copies = self._copies
        returns = self._rewards or copies
        episode = {
            "r": round(float(returns.episode_return[row]), 6),
            "l": int(copies.at[row] - copies.start[row]),
            "t": round(time.time() - self._started_at, 6),
        }
        return {
            "episode": episode,
            "terminal_observation": observation.copy(),
            "TimeLimit.truncated": not terminated,
        }


def _target_table(terms: TradingTerms) -> FloatArray:
    """Target of each discrete action, NaN for HOLD, which has none. Shape [actions]."""
    discrete = terms.model_copy(update={"actions": "discrete"})
    targets = {action: discrete.target(action) for action in (ACTION_SELL, ACTION_HOLD, ACTION_BUY)}
    return np.array([targets[action] for action in range(len(targets))], dtype=np.float64)


def _generator(state: Mapping[str, Any] | None) -> np.random.Generator | None:
    if state is None:
        return None
    generator, _ = seeding.np_random(0)
    generator.bit_generator.state = dict(state)
    return generator
