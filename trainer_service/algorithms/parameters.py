"""The hyper-parameters of all algorithms: which there are, their types and their ranges."""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PositiveFloat, PositiveInt

from tradewind.settings import Settings
from trainer_service.algorithms.noise import ActionNoise

__all__ = ["PARAMETER_TYPES", "REFUSED_PARAMETERS", "EntropyCoefficient", "KnownParameters"]

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


class KnownParameters(Settings):
    """Constructor parameters that can be set; an algorithm takes those that its class has.

    One whose parameter of a name is something else says so itself.
    """

    policy: Literal["MlpPolicy"]
    """The kind of network; what it is made of stands in policy_kwargs."""

    learning_rate: PositiveFraction
    """Step size of the optimiser."""

    gamma: Fraction
    """What a reward is worth one step later; 1 discounts nothing."""

    max_grad_norm: PositiveFloat
    """Largest norm of a gradient; a larger one is scaled down to it."""

    stats_window_size: PositiveInt
    """Episodes that the mean return and length of the log are taken over."""

    batch_size: PositiveInt
    """Transitions in a gradient step."""

    n_steps: PositiveInt
    """Steps of a rollout in each environment; with replay, of the rewards before a value counts."""

    # Replay
    buffer_size: PositiveInt
    """Transitions that the replay buffer keeps; no more than the run has."""

    learning_starts: Annotated[int, Field(ge=0)]
    """Steps with random actions before the first gradient step."""

    tau: PositiveFraction
    """Share of the network that its target takes over at an update; 1 copies it."""

    train_freq: TrainFrequency
    """Learn after so many steps, or after `[N, episode]`."""

    gradient_steps: GradientSteps
    """Gradient steps each time; -1 takes as many as there were steps."""

    target_update_interval: PositiveInt
    """Steps between two updates of the target network."""

    # Exploration
    exploration_fraction: PositiveFraction
    """Share of the training over which the random actions grow fewer."""

    exploration_initial_eps: Fraction
    """Share of random actions at the beginning."""

    exploration_final_eps: Fraction
    """Share of random actions from then on."""

    action_noise: ActionNoise | None
    """What is added to actions to explore; null for none."""

    target_entropy: TargetEntropy
    """The entropy that a learnt coefficient aims at; auto is minus the size of an action."""

    policy_delay: PositiveInt
    """Gradient steps of the critics to one of the actor."""

    target_policy_noise: NonNegativeFloat
    """Standard deviation of the noise on the target's actions."""

    target_noise_clip: NonNegativeFloat
    """Largest magnitude of that noise."""

    top_quantiles_to_drop_per_net: Annotated[int, Field(ge=0)]
    """Highest quantiles of each critic that targets leave out: against too high hopes."""

    # Rollouts
    n_epochs: PositiveInt
    """How often each rollout is learnt from."""

    gae_lambda: Fraction
    """Between the error of one step (0) and the whole return (1) in estimates of the advantage."""

    clip_range: PositiveFloat
    """How far an update may change the probability of an action, as a fraction."""

    clip_range_vf: PositiveFloat | None
    """The same for the values; null for no limit."""

    normalize_advantage: bool
    """Whether advantages are brought to mean 0 and deviation 1."""

    ent_coef: NonNegativeFloat
    """Weight of the entropy; with SAC and TQC also `auto`, which learns it, and `auto_0.1`, from
    that value on."""

    vf_coef: NonNegativeFloat
    """Weight of the critic's error."""

    target_kl: PositiveFloat | None
    """Divergence from the policy before at which an update ends; null never ends it."""

    rms_prop_eps: PositiveFloat
    """Added to RMSProp's denominators, for stability."""

    use_rms_prop: bool
    """RMSProp in place of Adam."""

    cg_max_steps: PositiveInt
    """Most steps of the conjugate gradient."""

    cg_damping: NonNegativeFloat
    """Added to the diagonal of the Hessian, for stability."""

    line_search_shrinking_factor: Annotated[float, Field(gt=0.0, lt=1.0)]
    """Each try of the line search is this much of the one before."""

    line_search_max_iter: PositiveInt
    """Most tries of the line search."""

    n_critic_updates: PositiveInt
    """Updates of the critic after one of the policy."""

    sub_sampling_factor: PositiveInt
    """One in so many transitions is used for the conjugate gradient."""


PARAMETER_TYPES: Final[Mapping[str, Any]] = dict(KnownParameters.__annotations__)

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
