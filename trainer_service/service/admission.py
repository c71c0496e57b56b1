"""Whether a request for a training becomes a job."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tradewind.components import closed_doors
from tradewind.errors import FieldViolation, InvalidInputError
from trainer_service.tracking import TrackingConfig
from trainer_service.training.resources import JobLimits, JobResources, share_of_memory_mb

if TYPE_CHECKING:
    from trainer_service.training.config import JobConfig

__all__ = ["AdmissionRules", "admit"]

_REFUSED = "training configuration is refused"


@dataclass(frozen=True)
class AdmissionRules:
    """What a service lets its jobs have.

    Attributes:
        store: The bundle store that they publish to.
        drafts: Where the model of one is kept whose bundle could not be published.
        signing_key: File with the key that signs their bundles; None for none.
        files: Folder that files named by a configuration must lie in.
        risk_policy: The risk policy of a job that names none, which may lie elsewhere.
        tracking: Where the trainings can be followed.
        limits: The most that a job may ask for, and what it gets when it asks for nothing.
        devices: What a job may ask to learn on.
        slots: How many jobs run at once.
        components: Code of one's own that a job may have imported.
    """

    store: Path
    drafts: Path
    signing_key: Path | None
    files: Path
    risk_policy: Path
    tracking: TrackingConfig
    limits: JobLimits
    devices: frozenset[str]
    slots: int = 1
    components: tuple[str, ...] = ()


def admit(policy: str, config_json: str, rules: AdmissionRules) -> "JobConfig":
    """Checks a request and completes its configuration, before there is a job.

    Args:
        policy: Name of the policy to publish.
        config_json: The configuration as sent.
        rules: What the service lets its jobs have.

    Raises:
        InvalidInputError: The violations name every key that is wrong.
    """
    # Knows every algorithm, and so needs torch: the service starts without.
    from trainer_service.training.config import JobConfig, parse_training_config

    values = _parse(config_json)
    for own in ("store", "drafts", "signing_key", "tracking"):
        if own in values:
            raise _refusal(own, "is the service's own; leave it out")
    if values.get("policy", policy) != policy:
        raise _refusal("policy", f"the request says {policy!r}, not {values['policy']!r}")
    values |= {
        "policy": policy,
        "store": rules.store,
        "drafts": rules.drafts,
        "signing_key": rules.signing_key,
        "tracking": rules.tracking.model_dump(),
    }
    risk = values.setdefault("risk_config", {})
    if isinstance(risk, dict):
        risk.setdefault("policy_yaml", str(rules.risk_policy))
    with closed_doors(rules.components, "allow_components of the trainer service"):
        config = parse_training_config(
            values,
            JobConfig,
            folder=rules.files,
            own=frozenset({rules.risk_policy}),
            quote_files=False,
        )
    resources = _resources(config, rules)
    violations = [
        *_excesses(config, rules.limits),
        *_missing_device(config.training_params.device, rules.devices),
        *_too_large(config, resources.memory_limit_mb),
    ]
    if violations:
        raise InvalidInputError(_REFUSED, violations)
    return config.model_copy(update={"resources": resources})


def _resources(config: "JobConfig", rules: AdmissionRules) -> JobResources:
    """What the job gets: what it asks for, else the limits, else its share of the memory."""
    given = {name: getattr(rules.limits, name) for name in JobResources.model_fields}
    given |= config.resources.model_dump(exclude_none=True)
    on_gpu = "cuda" in rules.devices and config.training_params.device != "cpu"
    if given["memory_limit_mb"] is None and not on_gpu:
        given["memory_limit_mb"] = share_of_memory_mb(rules.slots)
    return JobResources(**given)


def _excesses(config: "JobConfig", limits: JobLimits) -> Iterator[FieldViolation]:
    training = config.training_params
    asked: dict[str, float | None] = {
        **{f"resources.{name}": it for name, it in config.resources.model_dump().items()},
        "training_params.total_timesteps": training.total_timesteps,
        "training_params.n_envs": training.n_envs,
        "training_params.torch_threads": training.torch_threads,
        "algo_params.buffer_size": config.algo_params.get("buffer_size"),
    }
    if "buffer_size" not in config.algo_params:
        asked["algo_params.n_steps"] = config.algo_params.get("n_steps")
    for key, value in asked.items():
        name = key.rpartition(".")[2]
        most = getattr(limits, "buffer_size" if name == "n_steps" else name)
        if name == "n_steps":
            most //= training.n_envs or 1
        if value is not None and most is not None and value > most:
            yield FieldViolation(key, f"must not exceed {most} here: {value}")


def _too_large(config: "JobConfig", memory_limit_mb: int | None) -> Iterator[FieldViolation]:
    """Finds a buffer that the memory limit leaves no room for: it would fail as it is made."""
    from tradewind.market import FeatureSpec

    parameters, training = config.algo_params, config.training_params
    size = (config.features or FeatureSpec()).observation_size * max(len(config.data.symbols), 1)
    n_envs = training.n_envs or 1
    if "buffer_size" in parameters:
        key, rows = "algo_params.buffer_size", parameters["buffer_size"]
        rows = min(rows, training.total_timesteps + n_envs)  # it never is larger than the run
        row_bytes = 8 * size + 20
    else:
        rows = parameters.get("n_steps", 0) * n_envs
        key, row_bytes = "algo_params.n_steps", 4 * size + 40
    needed_mb = rows * row_bytes / 2**20
    if memory_limit_mb is not None and needed_mb > memory_limit_mb:
        yield FieldViolation(
            key,
            f"{rows} transitions take about {needed_mb:.0f} MiB, and the job may allocate "
            f"{memory_limit_mb} MiB (resources.memory_limit_mb)",
        )


def _missing_device(device: str, devices: frozenset[str]) -> Iterator[FieldViolation]:
    if device not in devices:
        allowed = ", ".join(sorted(devices))
        yield FieldViolation(
            "training_params.device", f"no slot of this service is for {device}; allowed: {allowed}"
        )


def _parse(config_json: str) -> dict[str, Any]:
    try:
        values = json.loads(config_json, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as problem:
        raise _refusal("config_json", f"not JSON: {problem}") from None
    if not isinstance(values, dict):
        raise _refusal("config_json", f"must be a JSON object, not {type(values).__name__}")
    return values


def _refusal(field: str, description: str) -> InvalidInputError:
    return InvalidInputError(_REFUSED, [FieldViolation(field, description)])


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
