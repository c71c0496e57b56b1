"""Copies of a user's own trading environment as a VecEnv that measures their risk."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from tradewind.errors import ConflictError
from tradewind.market import BarSeries
from tradewind.market.feature_kernels import ObservationArray
from tradewind.risk import ProductionRiskAdvisor, RiskInputs, RiskReport
from trainer_service.environment.custom import (
    Env,
    check_copyable,
    check_step,
    copy_onto,
    dump_states,
    inner_of,
    layers_of,
    load_states,
)
from trainer_service.environment.intraday import IntradayTradingEnv
from trainer_service.environment.measuring import RiskMeasuringEnv, step_risk_of

__all__ = ["TradingEnvCopies"]


class TradingEnvCopies(RiskMeasuringEnv):
    """N copies of a user's own trading environment, stepped in Python one after the other.

    Its `reset`, `step` and reward are what is trained on. Observations must be those of the
    features and actions those of the trading terms, which is checked at every step: production
    gives a policy no others. First episodes are staggered as in VectorizedTradingEnv, of which this
    does the same with the environment of that one, to the last bit.

    Args:
        env: A subclass of IntradayTradingEnv, or one within wrappers; it is copied.
        bars: What the copies trade.
        n_envs: How many copies.
        risk: Measures the risk of every copy after every step; nothing does without.
        stagger: False makes the first episodes as long as all others.

    Raises:
        TrainingError: Production could not feed a policy that learns in it, or it cannot be copied.
        MarketDataError: The bars are too few.
    """

    def __init__(
        self,
        env: Env,
        bars: BarSeries,
        *,
        n_envs: int,
        risk: ProductionRiskAdvisor | None = None,
        stagger: bool = True,
    ) -> None:
        check_copyable(env)
        self._envs = [copy_onto(env, bars)]
        for _ in range(1, n_envs):
            self._envs.append(copy_onto(env, bars, like=self._envs[0]))
        self._inner = [_trading(each) for each in self._envs]
        self.task = self._inner[0].trading_task
        super().__init__(n_envs, self.task.observation_space, self.task.action_space)
        self.first_lengths = self.task.first_lengths(n_envs, stagger=stagger)
        self.step_risk = None
        self._risk = risk
        self._inputs: list[RiskInputs] = []
        self._observations: ObservationArray = np.empty(
            (n_envs, self.task.observation_size), dtype=np.float32
        )
        # Of the running episodes: steps, the most there may be (0: no limit), sums of rewards.
        self._steps = np.zeros(n_envs, dtype=np.int64)
        self._most = np.zeros(n_envs, dtype=np.int64)
        self._returns = np.zeros(n_envs)
        self._actions: NDArray[Any] | None = None
        self._running = False
        self._started_at = time.time()

    def reset(self) -> ObservationArray:
        """Starts an episode of every copy, with the seeds and options set before."""
        for row in range(self.num_envs):
            options = {"options": self._options[row]} if self._options[row] else {}
            self._begin(row, seed=self._seeds[row], **options)
        self._most[:] = self.first_lengths
        self._reset_seeds()
        self._reset_options()
        self._running = True
        self.step_risk = None
        return self._observations.copy()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Takes the actions of the next step.

        Raises:
            ConflictError: No episodes are running.
        """
        if not self._running:
            raise ConflictError("no episodes are running: call reset() first")
        self._actions = np.asarray(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Steps every copy and resets those that end.

        Raises:
            ConflictError: There are no actions to take.
            TrainingError: A reward is not finite, or an observation not that of the features.
        """
        actions, self._actions = self._actions, None
        if actions is None:
            raise ConflictError("no actions have been given: call step_async() first")
        rewards = np.empty(self.num_envs, dtype=np.float32)
        dones = np.zeros(self.num_envs, dtype=np.bool_)
        infos: list[dict[str, Any]] = []
        self._inputs = []
        for row, env in enumerate(self._envs):
            observation, reward, terminated, truncated, info = env.step(actions[row])
            self._steps[row] += 1
            self._returns[row] += reward
            check_step(env, reward, observation, int(self._steps[row]))
            if self._risk is not None:
                self._inputs.append(self._inner[row].risk_inputs())
            self._observations[row] = observation
            rewards[row] = reward
            dones[row] = terminated or truncated or self._steps[row] == self._most[row]
            infos.append({**info, "TimeLimit.truncated": bool(dones[row]) and not terminated})
            if dones[row]:
                infos[row] |= self._final_info(row)
        if self._risk is not None:
            self.step_risk = step_risk_of([self._risk.report(each) for each in self._inputs])
        for ended in np.flatnonzero(dones):
            self._begin(int(ended))
        return self._observations.copy(), rewards, dones, infos

    def observations(self) -> ObservationArray:
        """The present observation of every copy, as the last step or reset gave it."""
        return self._observations.copy()

    @property
    def risk_policy_digest(self) -> str | None:
        """Digest of the risk policy that `step_risk` is under; None without one."""
        return None if self._risk is None else self._risk.policy_digest

    def _is_risk(self, digest: str | None) -> bool:
        """Whether a digest that was kept is that of the risk policy here, or both are none."""
        return digest is None if self._risk is None else self._risk.policy.has_digest(digest)

    def risk_report(self, row: int) -> RiskReport:
        """Risk of one copy after the last step, with reasons in words.

        Raises:
            ConflictError: Nothing measures risk, or no step has been taken.
        """
        if self._risk is None or not self._inputs:
            raise ConflictError("no risk has been measured yet")
        return self._risk.report(self._inputs[row])

    def get_state(self) -> dict[str, Any]:
        """Everything that the next steps depend on, to be pickled.

        Raises:
            TrainingError: An attribute of a copy cannot be pickled.
        """
        return {
            "task": self.task.fingerprint,
            "kinds": self._kinds(),
            "running": self._running,
            "copies": dump_states(self._envs),
            "observations": self._observations.copy(),
            "steps": self._steps.copy(),
            "most": self._most.copy(),
            "returns": self._returns.copy(),
            "seeds": list(self._seeds),
            "options": list(self._options),
            "risk": self.risk_policy_digest,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state that copies of the same environment gave.

        Raises:
            ConflictError: It is the state of another environment, or of other bars, settings or
                risk policy, or of another number of copies.
            ValueError: The state of a copy does not fit.
        """
        mine, theirs = (self._kinds(), self.num_envs), (state.get("kinds"), len(state["seeds"]))
        if mine != theirs or not self.task.is_of(state["task"]) or not self._is_risk(state["risk"]):
            raise ConflictError("the state is that of another environment")
        load_states(self._envs, state["copies"])
        self._observations = state["observations"].copy()
        self._steps, self._most = state["steps"].copy(), state["most"].copy()
        self._returns = state["returns"].copy()
        self._seeds, self._options = list(state["seeds"]), list(state["options"])
        self._running = state["running"]
        self._actions = None
        self._inputs = []
        self.step_risk = None

    def close(self) -> None:
        """Closes every copy."""
        for env in self._envs:
            env.close()  # type: ignore[no-untyped-call]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of each copy."""
        if attr_name == "render_mode":
            return [None for _ in self._get_indices(indices)]
        return [self._envs[row].get_wrapper_attr(attr_name) for row in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Sets an attribute of each copy."""
        for row in self._get_indices(indices):
            self._envs[row].set_wrapper_attr(attr_name, value)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Calls a method of each copy."""
        return [
            self._envs[row].get_wrapper_attr(method_name)(*method_args, **method_kwargs)
            for row in self._get_indices(indices)
        ]

    def env_is_wrapped(
        self,
        wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]],
        indices: VecEnvIndices = None,
    ) -> list[bool]:
        """Whether each copy is wrapped so, or gives what a Monitor would: its episode's figures."""
        return [
            wrapper_class is Monitor
            or any(isinstance(each, wrapper_class) for each in layers_of(self._envs[row]))
            for row in self._get_indices(indices)
        ]

    def _begin(self, row: int, **arguments: Any) -> None:
        """Starts an episode of one copy."""
        observation, self.reset_infos[row] = self._envs[row].reset(**arguments)
        check_step(self._envs[row], 0.0, observation, 0)
        self._observations[row] = observation
        self._steps[row] = self._most[row] = 0
        self._returns[row] = 0.0

    def _final_info(self, row: int) -> dict[str, Any]:
        episode = {
            "r": round(float(self._returns[row]), 6),
            "l": int(self._steps[row]),
            "t": round(time.time() - self._started_at, 6),
        }
        return {"episode": episode, "terminal_observation": self._observations[row].copy()}

    def _kinds(self) -> Sequence[str]:
        kinds = [type(each) for each in layers_of(self._envs[0])]
        return tuple(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)


def _trading(env: Env) -> IntradayTradingEnv:
    inner = inner_of(env)
    assert inner is not None
    return inner
