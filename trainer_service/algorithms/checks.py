"""Values that are allowed one by one and cannot work together."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from tradewind.errors import FieldViolation

__all__ = [
    "VALUE_CHECKS",
    "Check",
    "RunSize",
    "check_batches",
    "check_exploration",
    "check_replay",
    "check_rollout",
    "check_sub_sampling",
    "check_target_updates",
    "check_top_quantiles",
]

Parameters: TypeAlias = Mapping[str, Any]
"""The completed parameters of an algorithm."""


@dataclass(frozen=True)
class RunSize:
    """How much a training steps.

    Attributes:
        n_envs: Environments stepped together.
        total_timesteps: Environment steps in all.
    """

    n_envs: int
    total_timesteps: int


Check: TypeAlias = Callable[[Parameters, RunSize], Iterator[FieldViolation]]


def check_replay(parameters: Parameters, run: RunSize) -> Iterator[FieldViolation]:
    """Learning from a replay buffer begins, and begins with something to learn from."""
    size = parameters["buffer_size"]
    if parameters["learning_starts"] >= run.total_timesteps:
        yield _violation(
            "learning_starts",
            f"nothing is learnt when it is not below total_timesteps ({run.total_timesteps})",
        )
    for name in ("learning_starts", "batch_size"):
        if parameters[name] > size:
            yield _violation("buffer_size", f"must not be below {name} ({parameters[name]})")
    longest = min(size, run.total_timesteps) // run.n_envs
    if parameters["n_steps"] > longest:
        yield _violation("n_steps", f"no environment has more than {longest} steps in the buffer")
    frequency = parameters["train_freq"]
    if isinstance(frequency, tuple) and frequency[1] == "episode" and run.n_envs > 1:
        yield _violation("train_freq", "counts episodes only when n_envs is 1")


def check_exploration(parameters: Parameters, _run: RunSize) -> Iterator[FieldViolation]:
    """Random actions become rarer."""
    if parameters["exploration_final_eps"] > parameters["exploration_initial_eps"]:
        yield _violation("exploration_final_eps", "must not exceed exploration_initial_eps")


def check_target_updates(parameters: Parameters, run: RunSize) -> Iterator[FieldViolation]:
    """An interval that counts environment steps is no shorter than one step of them all."""
    if parameters["target_update_interval"] < run.n_envs:
        yield _violation("target_update_interval", f"must not be below n_envs ({run.n_envs})")


VALUE_CHECKS: Final = (check_replay, check_exploration, check_target_updates)
"""Of algorithms that learn the values of actions."""


def check_top_quantiles(parameters: Parameters, _run: RunSize) -> Iterator[FieldViolation]:
    """Some quantiles are left once the top ones are dropped."""
    quantiles = parameters["policy_kwargs"]["n_quantiles"]
    if parameters["top_quantiles_to_drop_per_net"] >= quantiles:
        yield _violation(
            "top_quantiles_to_drop_per_net",
            f"must be below policy_kwargs.n_quantiles ({quantiles})",
        )


def check_rollout(parameters: Parameters, run: RunSize) -> Iterator[FieldViolation]:
    """The run is as long as one rollout, and a rollout long enough to be normalised."""
    rollout = parameters["n_steps"] * run.n_envs
    if rollout > run.total_timesteps:
        yield FieldViolation(
            "training_params.total_timesteps",
            f"must not be below n_steps * n_envs ({rollout}), which is the shortest run",
        )
    if rollout < 2 and parameters["normalize_advantage"]:
        yield _violation(
            "n_steps", "n_steps * n_envs must be at least 2 to normalize the advantage"
        )


def check_batches(parameters: Parameters, run: RunSize) -> Iterator[FieldViolation]:
    """A rollout is cut into whole batches, each long enough to be normalised."""
    rollout, batch_size = parameters["n_steps"] * run.n_envs, parameters["batch_size"]
    if rollout % batch_size:
        yield _violation("batch_size", f"must divide n_steps * n_envs, which is {rollout}")
    if batch_size < 2 and parameters["normalize_advantage"]:
        yield _violation("batch_size", "must be at least 2 to normalize the advantage")


def check_sub_sampling(parameters: Parameters, run: RunSize) -> Iterator[FieldViolation]:
    """What is left of a rollout can be normalised."""
    rollout = parameters["n_steps"] * run.n_envs
    if parameters["sub_sampling_factor"] * 2 > rollout:
        yield _violation(
            "sub_sampling_factor", f"must leave at least 2 of the {rollout} steps of a rollout"
        )


def _violation(name: str, description: str) -> FieldViolation:
    return FieldViolation(f"algo_params.{name}", description)
