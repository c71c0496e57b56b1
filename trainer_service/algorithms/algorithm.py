"""One trainable algorithm: its parameters checked, its model built.

The parameters that an algorithm takes, and their defaults, are read from the constructor of its
class; what values they may have stands in `parameters`.
"""

import contextlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar, Final, Literal, TypeAlias

import numpy as np
from gymnasium import spaces
from pydantic import create_model
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from tradewind.bundle import Distribution
from tradewind.errors import ExportError, FieldViolation, SettingsError, TrainingError
from tradewind.market import FeatureSpec
from tradewind.settings import Settings, parse_settings
from trainer_service.algorithms.checks import Check, RunSize
from trainer_service.algorithms.networks import NetworkSettings
from trainer_service.algorithms.parameters import PARAMETER_TYPES, REFUSED_PARAMETERS
from trainer_service.algorithms.vectorization import SINGLE, Vectorization

__all__ = ["ActionKind", "Algorithm"]

ActionKind: TypeAlias = Literal["discrete", "continuous"]

_SPACES: Final[Mapping[ActionKind, type[spaces.Space[Any]]]] = {
    "discrete": spaces.Discrete,
    "continuous": spaces.Box,
}


class Algorithm(ABC):
    """One trainable algorithm: a subclass in a file of its own declares it.

    Attributes:
        name: Its name in a configuration, and after "SB3-" in a bundle.
        model_class: Its class, of Stable-Baselines3's kind.
        network_settings: What its policy_kwargs may be.
        action_kinds: The kinds of action space that it takes.
        checks: Find values that cannot work together.
        types: Types of parameters that no other algorithm has, or that are something else there.
        defaults: Defaults that are not those of the class.
        vectorization: How many environments it is trained in by default.
    """

    name: ClassVar[str]
    model_class: ClassVar[type[BaseAlgorithm]]
    network_settings: ClassVar[type[NetworkSettings]]
    action_kinds: ClassVar[tuple[ActionKind, ...]]
    checks: ClassVar[tuple[Check, ...]] = ()
    types: ClassVar[Mapping[str, Any]] = {}
    defaults: ClassVar[Mapping[str, Any]] = {}
    vectorization: ClassVar[Vectorization] = SINGLE

    @abstractmethod
    def export(self, model: Any, normalizer: nn.Module) -> tuple[nn.Module, Distribution]:
        """What a model computes between an observation and its deterministic action.

        Args:
            model: The model; its weights may be shared.
            normalizer: Makes what its network takes of an observation.

        Returns:
            A network that TorchScript can express, with `forward` (the actions) and
            `distribution`, such as those of `trainer_service.export`; and what the latter means.

        Raises:
            ExportError: The model has something that no bundle can hold.
        """

    def action_scores(self, model: Any, inputs: Tensor) -> Tensor:  # noqa: ARG002
        """What a model compares to choose a discrete action, as its own code calculates it.

        Args:
            model: The model.
            inputs: Observations as its policy takes them, on its device. Shape: [N, *shape].

        Returns:
            Q values, or logarithms of probabilities. Shape: [N, actions].
        """
        raise ExportError(f"{self.name} takes discrete actions and has no action_scores()")

    @cached_property
    def parameters(self) -> type[Settings]:
        """Settings class of the parameters."""
        types = {**PARAMETER_TYPES, **self.types}
        fields: dict[str, Any] = {
            name: (types[name], self.defaults.get(name, parameter.default))
            for name, parameter in _constructor_parameters(self.model_class).items()
            if name in types
        }
        fields["policy"] = (types["policy"], self.defaults.get("policy", "MlpPolicy"))
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
            Every parameter; all but a features_extractor_class has a form in JSON.

        Raises:
            SettingsError: A parameter is unknown, of the wrong type or range, or cannot work
                together with the others; each is a violation under `algo_params`.
        """
        violations = [
            FieldViolation(f"algo_params.{name}", self._refusal(name))
            for name in values
            if name not in self.parameters.model_fields
        ]
        known = {name: values[name] for name in values if name in self.parameters.model_fields}
        completed: dict[str, Any] = {}
        try:
            completed = parse_settings(known, self.parameters).model_dump()
        except SettingsError as problem:
            violations += [
                FieldViolation(f"algo_params.{violation.field}", violation.description)
                for violation in problem.violations
            ]
        else:
            run = RunSize(n_envs, total_timesteps)
            violations += [found for check in self.checks for found in check(completed, run)]
        if violations:
            raise SettingsError("training configuration is refused", violations)
        return completed

    def vectorize(
        self, values: Mapping[str, Any], total_timesteps: int
    ) -> tuple[int, dict[str, Any]]:
        """Chooses the number of environments, and completes the parameters for it.

        It is that of `vectorization`, or 1 when the run is too short for so many or the parameters
        given contradict it.

        Args:
            values: The parameters as given.
            total_timesteps: Environment steps in all.

        Returns:
            The number, and every parameter.

        Raises:
            SettingsError: The parameters are refused in a single environment too.
        """
        n_envs = self.vectorization.n_envs
        if total_timesteps >= self.vectorization.shortest_run:
            with contextlib.suppress(SettingsError):
                wanted = {**self.vectorization.defaults, **values}
                return n_envs, self.complete(wanted, n_envs, total_timesteps)
        return 1, self.complete(values, 1, total_timesteps)

    def check_environment(
        self, parameters: Mapping[str, Any], actions: ActionKind, features: FeatureSpec
    ) -> Iterator[FieldViolation]:
        """Finds what cannot be trained in a trading environment.

        Args:
            parameters: As `complete` gave them.
            actions: The environment's kind of actions.
            features: What its observations are made of.
        """
        if actions not in self.action_kinds:
            taken = " or ".join(self.action_kinds)
            yield FieldViolation("environment.actions", f"{self.name} takes {taken} actions")
        settings: Any = parse_settings(parameters, self.parameters)
        extractor = settings.policy_kwargs.features_extractor
        if extractor is not None:
            for setting, problem in extractor.check(features):
                at = f"algo_params.policy_kwargs.features_extractor.{setting}"
                yield FieldViolation(at, problem)

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
            TrainingError: The algorithm cannot take the environment's action space, or its network
                the environment's observations.
        """
        space = env.action_space
        if not isinstance(space, tuple(_SPACES[kind] for kind in self.action_kinds)):
            taken = " or ".join(_SPACES[kind].__name__ for kind in self.action_kinds)
            raise TrainingError(f"{self.name} takes {taken} actions, not {space}")
        if isinstance(space, spaces.Box) and not space.is_bounded():
            raise TrainingError(f"{self.name} takes actions within finite bounds, not {space}")
        try:
            arguments = self._arguments(parameters, env, total_timesteps)
            return self.model_class(env=env, seed=seed, device=device, **arguments)
        except MemoryError:  # which says nothing about the observations
            raise
        except Exception as problem:  # an extractor of the user raises whatever it likes
            raise TrainingError(
                f"{self.name} cannot be built for observations {env.observation_space}: {problem}"
            ) from problem

    def _arguments(
        self, parameters: Mapping[str, Any], env: VecEnv, total_timesteps: int
    ) -> dict[str, Any]:
        """The parameters as the class takes them."""
        settings: Any = parse_settings(parameters, self.parameters)
        arguments = {name: getattr(settings, name) for name in type(settings).model_fields}
        arguments["policy_kwargs"] = settings.policy_kwargs.policy_kwargs()
        if "buffer_size" in arguments:
            # Never more than the run can fill: the rest would only take memory.
            arguments["buffer_size"] = min(settings.buffer_size, total_timesteps + env.num_envs)
        if arguments.get("action_noise") is not None:
            size = int(np.prod(env.action_space.shape or ()))
            arguments["action_noise"] = settings.action_noise.make(size)
        return arguments

    def _refusal(self, name: str) -> str:
        """Why there is no parameter of that name."""
        if name in REFUSED_PARAMETERS:
            return f"{REFUSED_PARAMETERS[name]}; it cannot be set"
        allowed = ", ".join(sorted(self.parameters.model_fields))
        return f"unknown for {self.name}; allowed: {allowed}"


def _constructor_parameters(model_class: type[BaseAlgorithm]) -> dict[str, inspect.Parameter]:
    """The parameters of a constructor; where it hands `**others` on, those of its bases, too."""
    found: dict[str, inspect.Parameter] = {}
    for kind in model_class.__mro__:
        if "__init__" in vars(kind):
            parameters = inspect.signature(vars(kind)["__init__"]).parameters
            found = {**parameters, **found}
            if all(each.kind is not each.VAR_KEYWORD for each in parameters.values()):
                break
    return found
