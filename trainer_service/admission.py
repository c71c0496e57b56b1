"""Whether a request for a training becomes a job."""

import json
from pathlib import Path
from typing import Any, NoReturn

from tradewind.errors import FieldViolation, InvalidInputError
from trainer_service.config import JobConfig, parse_training_config
from trainer_service.tracking import TrackingConfig

__all__ = ["admit"]

_REFUSED = "training configuration is refused"


def admit(
    policy: str, config_json: str, *, store: Path, files: Path, tracking: TrackingConfig
) -> JobConfig:
    """Checks a request and completes its configuration, before there is a job.

    Args:
        policy: Name of the policy to publish.
        config_json: The configuration as sent.
        store: The bundle store of the service.
        files: Folder that files named by the configuration must lie in.
        tracking: Where the service's trainings can be followed.

    Raises:
        InvalidInputError: The violations name every key that is wrong.
    """
    values = _parse(config_json)
    for own in ("store", "tracking"):
        if own in values:
            raise _refusal(own, "is the service's own; leave it out")
    if values.get("policy", policy) != policy:
        raise _refusal("policy", f"the request says {policy!r}, not {values['policy']!r}")
    values |= {"policy": policy, "store": store, "tracking": tracking.model_dump()}
    return parse_training_config(values, JobConfig, folder=files)


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
