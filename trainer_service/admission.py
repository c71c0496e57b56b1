"""Whether a request for a training becomes a job."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tradewind.errors import FieldViolation, InvalidInputError
from trainer_service.resources import JobResources
from trainer_service.tracking import TrackingConfig

if TYPE_CHECKING:
    from trainer_service.config import JobConfig

__all__ = ["AdmissionRules", "admit"]

_REFUSED = "training configuration is refused"


@dataclass(frozen=True)
class AdmissionRules:
    """What a service lets its jobs have.

    Attributes:
        store: The bundle store that they publish to.
        signing_key: File with the key that signs their bundles; None for none.
        files: Folder that files named by a configuration must lie in.
        tracking: Where the trainings can be followed.
        limits: The most that a job may use, and what it gets when it asks for nothing.
        devices: What a job may ask to learn on.
    """

    store: Path
    signing_key: Path | None
    files: Path
    tracking: TrackingConfig
    limits: JobResources
    devices: frozenset[str]


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
    from trainer_service.config import JobConfig, parse_training_config

    values = _parse(config_json)
    for own in ("store", "signing_key", "tracking"):
        if own in values:
            raise _refusal(own, "is the service's own; leave it out")
    if values.get("policy", policy) != policy:
        raise _refusal("policy", f"the request says {policy!r}, not {values['policy']!r}")
    values |= {
        "policy": policy,
        "store": rules.store,
        "signing_key": rules.signing_key,
        "tracking": rules.tracking.model_dump(),
    }
    config = parse_training_config(values, JobConfig, folder=rules.files)
    violations = [
        *_excesses(config.resources, rules.limits),
        *_missing_device(config.training_params.device, rules.devices),
    ]
    if violations:
        raise InvalidInputError(_REFUSED, violations)
    asked = config.resources.model_dump(exclude_none=True)
    resources = rules.limits.model_copy(update=asked)
    return config.model_copy(update={"resources": resources})


def _excesses(asked: JobResources, limits: JobResources) -> Iterator[FieldViolation]:
    for name, most in limits.model_dump(exclude_none=True).items():
        value = getattr(asked, name)
        if value is not None and value > most:
            yield FieldViolation(f"resources.{name}", f"must not exceed {most} here: {value}")


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
