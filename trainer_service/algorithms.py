"""The algorithms that can be trained: the one place where they are named.

The parameters an algorithm takes, and their defaults, are read from the constructor of its
Stable-Baselines3 class; what values they may have stands here.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from gymnasium import spaces
from pydantic import Field, PositiveFloat, PositiveInt, create_model
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

from tradewind.errors import FieldViolation, SettingsError, TrainingError
from tradewind.settings import Settings, parse_settings

__all__ = ["ALGORITHMS", "Algorithm", "find_algorithm"]

_ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
Activation = Literal["elu", "gelu", "leaky_relu", "relu", "silu", "tanh"]
Layers = tuple[PositiveInt, ...]


class QNetworkSettings(Settings):
    """policy_kwargs of a value-based algorithm.

    Attributes:
        net_arch: Units of each hidden layer.
        activation_fn: Activation after each hidden layer.
    """

    net_arch: Layers = (64, 64)
    activation_fn: Activation = "relu"


class ActorCriticLayers(Settings):
    """Hidden layers of the actor (pi) and of the critic (vf)."""

    pi: Layers
    vf: Layers


class ActorCriticSettings(Settings):
    """policy_kwargs of an actor-critic algorithm.

    Attributes:
        net_arch: Units of each hidden layer, of both networks or of each by name.
        activation_fn: Activation after each hidden layer.
        log_std_init: Initial log standard deviation of continuous actions.
        ortho_init: Orthogonal initial weights.
    """

    net_arch: Layers | ActorCriticLayers = (64, 64)
    activation_fn: Activation = "tanh"
    log_std_init: float = 0.0
    ortho_init: bool = True


Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
TrainFrequency = PositiveInt | tuple[PositiveInt, Literal["step", "episode"]]

# A constructor parameter that is not here cannot be set: the trainer owns it (env, seed, device,
# logging), it has no form in JSON (buffer classes), or it gives a policy that no bundle can hold
# (use_sde).
_PARAMETER_TYPES: Mapping[str, Any] = {
    "policy": Literal["MlpPolicy"],
    "learning_rate": Annotated[float, Field(gt=0.0, le=1.0)],
    "buffer_size": PositiveInt,
    "learning_starts": Annotated[int, Field(ge=0)],
    "batch_size": PositiveInt,
    "tau": Annotated[float, Field(gt=0.0, le=1.0)],
    "gamma": Fraction,
    "train_freq": TrainFrequency,
    "gradient_steps": Annotated[int, Field(ge=-1)],
    "target_update_interval": PositiveInt,
    "exploration_fraction": Annotated[float, Field(gt=0.0, le=1.0)],
    "exploration_initial_eps": Fraction,
    "exploration_final_eps": Fraction,
    "max_grad_norm": PositiveFloat,
    "stats_window_size": PositiveInt,
    "n_steps": PositiveInt,
    "n_epochs": PositiveInt,
    "gae_lambda": Fraction,
    "clip_range": PositiveFloat,
    "clip_range_vf": PositiveFloat | None,
    "normalize_advantage": bool,
    "ent_coef": Annotated[float, Field(ge=0.0)],
    "vf_coef": Annotated[float, Field(ge=0.0)],
    "target_kl": PositiveFloat | None,
}


Check = Callable[[Mapping[str, Any], int, int], Iterator[FieldViolation]]


@dataclass(frozen=True)
class Algorithm:
    """One trainable algorithm.

    Attributes:
        name: Its name in a configuration, and after "SB3-" in a bundle.
        model_class: The Stable-Baselines3 class.
        network_settings: What its policy_kwargs may be.
        action_spaces: The kinds of action space that it takes.
        check: Finds values that cannot work together, from the parameters, the number of
            environments and the total timesteps.
    """

    name: str
    model_class: type[BaseAlgorithm]
    network_settings: type[Settings]
    action_spaces: tuple[type[spaces.Space[Any]], ...]
    check: Check

    @cached_property
    def parameters(self) -> type[Settings]:
        """Settings class of the parameters, with the defaults of Stable-Baselines3."""
        fields: dict[str, Any] = {
            name: (_PARAMETER_TYPES[name], parameter.default)
            for name, parameter in inspect.signature(self.model_class).parameters.items()
            if name in _PARAMETER_TYPES
        }
        fields["policy"] = (_PARAMETER_TYPES["policy"], "MlpPolicy")
        fields["policy_kwargs"] = (self.network_settings, self.network_settings())
        return create_model(f"{self.name}Parameters", __base__=Settings, **fields)

    def complete(
        self, values: Mapping[str, Any], n_envs: int, total_timesteps: int
    ) -> dict[str, Any]:
        """Checks parameters and fills in the defaults.

        Args:
            values: The parameters as given.
            n_envs: Environments stepped together.
            total_timesteps: Environment steps in all.

        Returns:
            Every parameter, in types that JSON has.

        Raises:
            SettingsError: A parameter is unknown, of the wrong type or range, or cannot work
                together with the others; each is a violation under `algo_params`.
        """
        allowed = ", ".join(sorted(self.parameters.model_fields))
        violations = [
            FieldViolation(f"algo_params.{name}", f"unknown for {self.name}; allowed: {allowed}")
            for name in values
            if name not in self.parameters.model_fields
        ]
        known = {name: values[name] for name in values if name in self.parameters.model_fields}
        completed: dict[str, Any] = {}
        try:
            completed = parse_settings(known, self.parameters).model_dump(mode="json")
        except SettingsError as problem:
            violations += [
                FieldViolation(f"algo_params.{violation.field}", violation.description)
                for violation in problem.violations
            ]
        else:
            violations += self.check(completed, n_envs, total_timesteps)
        if violations:
            raise SettingsError("training configuration is refused", violations)
        return completed

    def build(
        self,
        parameters: Mapping[str, Any],
        env: VecEnv,
        *,
        seed: int,
        device: str,
        total_timesteps: int,
    ) -> BaseAlgorithm:
        """Makes an untrained model.

        Args:
            parameters: As `complete` gave them.
            env: What it will learn in.
            seed: Seeds the weights, the exploration and the environments.
            device: "auto", "cpu" or "cuda".
            total_timesteps: Environment steps in all.

        Raises:
            TrainingError: The algorithm cannot take the environment's action space.
        """
        if not isinstance(env.action_space, self.action_spaces):
            taken = " or ".join(space.__name__ for space in self.action_spaces)
            raise TrainingError(f"{self.name} takes {taken} actions, not {env.action_space}")
        arguments = dict(parameters)
        network = dict(arguments.pop("policy_kwargs"))
        network["activation_fn"] = _ACTIVATIONS[network["activation_fn"]]
        if "buffer_size" in arguments:
            # Never more than the run can fill: the rest would only take memory.
            arguments["buffer_size"] = min(arguments["buffer_size"], total_timesteps + env.num_envs)
        if isinstance(arguments.get("train_freq"), list):
            arguments["train_freq"] = tuple(arguments["train_freq"])
        return self.model_class(
            env=env, policy_kwargs=network, seed=seed, device=device, **arguments
        )


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


def _check_dqn(
    parameters: Mapping[str, Any], n_envs: int, total_timesteps: int
) -> Iterator[FieldViolation]:
    if parameters["learning_starts"] >= total_timesteps:
        yield FieldViolation(
            "algo_params.learning_starts",
            f"nothing is learnt when it is not below total_timesteps ({total_timesteps})",
        )
    if parameters["exploration_final_eps"] > parameters["exploration_initial_eps"]:
        yield FieldViolation(
            "algo_params.exploration_final_eps", "must not exceed exploration_initial_eps"
        )
    if parameters["target_update_interval"] < n_envs:
        yield FieldViolation(
            "algo_params.target_update_interval", f"must not be below n_envs ({n_envs})"
        )
    frequency = parameters["train_freq"]
    if isinstance(frequency, list) and frequency[1] == "episode" and n_envs > 1:
        yield FieldViolation("algo_params.train_freq", "counts episodes only when n_envs is 1")


def _check_ppo(
    parameters: Mapping[str, Any], n_envs: int, total_timesteps: int
) -> Iterator[FieldViolation]:
    rollout, batch_size = parameters["n_steps"] * n_envs, parameters["batch_size"]
    if rollout % batch_size:
        yield FieldViolation(
            "algo_params.batch_size", f"must divide n_steps * n_envs, which is {rollout}"
        )
    if batch_size < 2 and parameters["normalize_advantage"]:
        yield FieldViolation(
            "algo_params.batch_size", "must be at least 2 to normalize the advantage"
        )
    if rollout > total_timesteps:
        yield FieldViolation(
            "training_params.total_timesteps",
            f"must not be below n_steps * n_envs ({rollout}), which is the shortest PPO run",
        )


ALGORITHMS: Mapping[str, Algorithm] = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm("DQN", DQN, QNetworkSettings, (spaces.Discrete,), _check_dqn),
        Algorithm("PPO", PPO, ActorCriticSettings, (spaces.Discrete, spaces.Box), _check_ppo),
    )
}
