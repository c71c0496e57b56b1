"""The hyper-parameters of all algorithms: which there are, their types and their ranges."""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PositiveFloat, PositiveInt

from trainer_service.algorithms.noise import ActionNoise

__all__ = ["PARAMETER_TYPES", "REFUSED_PARAMETERS", "EntropyCoefficient"]

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveFraction = Annotated[float, Field(gt=0.0, le=1.0)]
NonNegativeFloat = Annotated[float, Field(ge=0.0)]


def _check_train_frequency(value: Any) -> Any:
    pair = value if isinstance(value, list | tuple) else (value, "step")
    if len(pair) != 2 or type(pair[0]) is not int or pair[0] < 1 or pair[1] not in _UNITS:
        raise ValueError(f"must be a positive integer, or [integer, unit] of {' or '.join(_UNITS)}")
    return value


def _check_gradient_steps(value: int) -> int:
    if value == 0:
        raise ValueError("nothing is learnt with 0; -1 takes as many as there were steps")
    return value


def _check_entropy_coefficient(value: Any) -> Any:
    if isinstance(value, str):
        initial = re.fullmatch(r"auto(?:_([0-9.]+(?:e-?[0-9]+)?))?", value)
        if initial is None or not _is_positive(initial[1] or "1"):
            raise ValueError("as text it must be 'auto', or 'auto_' and a number above 0")
    return value


def _check_target_entropy(value: Any) -> Any:
    if isinstance(value, str) and value != "auto":
        raise ValueError("as text it must be 'auto'")
    return value


def _is_positive(number: str) -> bool:
    try:
        return 0.0 < float(number) < math.inf
    except ValueError:
        return False


_UNITS: Final = ("step", "episode")

TrainFrequency = Annotated[
    int | tuple[int, Literal["step", "episode"]], BeforeValidator(_check_train_frequency)
]
GradientSteps = Annotated[int, Field(ge=-1), AfterValidator(_check_gradient_steps)]
EntropyCoefficient = Annotated[NonNegativeFloat | str, BeforeValidator(_check_entropy_coefficient)]
"""Weight of the entropy; `auto` learns it, `auto_0.1` from that value on."""
TargetEntropy = Annotated[float | str, BeforeValidator(_check_target_entropy)]
"""The entropy that a learnt coefficient aims at; `auto` is minus the size of an action."""
PARAMETER_TYPES: Final[Mapping[str, Any]] = {
    "policy": Literal["MlpPolicy"],
    "learning_rate": PositiveFraction,
    "gamma": Fraction,
    "max_grad_norm": PositiveFloat,
    "stats_window_size": PositiveInt,
    "batch_size": PositiveInt,
    "n_steps": PositiveInt,  # of a rollout; or, with replay, of the rewards before a value counts
    # Replay
    "buffer_size": PositiveInt,
    "learning_starts": Annotated[int, Field(ge=0)],
    "tau": PositiveFraction,
    "train_freq": TrainFrequency,
    "gradient_steps": GradientSteps,
    "target_update_interval": PositiveInt,
    # Exploration
    "exploration_fraction": PositiveFraction,
    "exploration_initial_eps": Fraction,
    "exploration_final_eps": Fraction,
    "action_noise": ActionNoise | None,
    "target_entropy": TargetEntropy,
    "policy_delay": PositiveInt,
    "target_policy_noise": NonNegativeFloat,
    "target_noise_clip": NonNegativeFloat,
    "top_quantiles_to_drop_per_net": Annotated[int, Field(ge=0)],
    # Rollouts
    "n_epochs": PositiveInt,
    "gae_lambda": Fraction,
    "clip_range": PositiveFloat,
    "clip_range_vf": PositiveFloat | None,
    "normalize_advantage": bool,
    "ent_coef": NonNegativeFloat,
    "vf_coef": NonNegativeFloat,
    "target_kl": PositiveFloat | None,
    "rms_prop_eps": PositiveFloat,
    "use_rms_prop": bool,
    "cg_max_steps": PositiveInt,
    "cg_damping": NonNegativeFloat,
    "line_search_shrinking_factor": Annotated[float, Field(gt=0.0, lt=1.0)],
    "line_search_max_iter": PositiveInt,
    "n_critic_updates": PositiveInt,
    "sub_sampling_factor": PositiveInt,
}
"""Type of each constructor parameter that can be set. An algorithm whose parameter of that name is
something else says so itself."""

_OWNED: Final = "belongs to the trainer"
_NOT_EXPORTABLE: Final = "makes a policy that no bundle can hold"
_PYTHON_ONLY: Final = "is a Python class, with no form in a configuration"

REFUSED_PARAMETERS: Final[Mapping[str, str]] = {
    "env": _OWNED,
    "seed": f"{_OWNED}: set training_params.seed",
    "device": f"{_OWNED}: set training_params.device",
    "verbose": _OWNED,
    "tensorboard_log": _OWNED,
    "_init_setup_model": _OWNED,
    "optimize_memory_usage": "contradicts episodes that end by their length",
    "replay_buffer_class": _PYTHON_ONLY,
    "replay_buffer_kwargs": _PYTHON_ONLY,
    "rollout_buffer_class": _PYTHON_ONLY,
    "rollout_buffer_kwargs": _PYTHON_ONLY,
    "use_sde": f"{_NOT_EXPORTABLE}: its noise depends on the state of the training",
    "sde_sample_freq": f"{_NOT_EXPORTABLE}: it belongs to use_sde",
    "use_sde_at_warmup": f"{_NOT_EXPORTABLE}: it belongs to use_sde",
}
"""Why each of the other constructor parameters cannot be set."""
