"""Which requests become jobs."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tradewind.errors import InvalidInputError
from trainer_service.admission import AdmissionRules, admit
from trainer_service.config import JobConfig
from trainer_service.resources import JobResources
from trainer_service.tracking import TrackingConfig

MakeValues = Callable[..., dict[str, Any]]
ROOT = Path(__file__).parents[3]
TRACKING = TrackingConfig(experiment="ours")
RULES = AdmissionRules(
    store=Path("volume"),
    signing_key=Path("volume.key"),
    files=ROOT,
    tracking=TRACKING,
    limits=JobResources(timeout_s=3600.0, memory_limit_mb=4096),
    devices=frozenset({"auto", "cpu"}),
)


def admit_values(values: dict[str, Any] | str, policy: str = "tiny") -> JobConfig:
    text = values if isinstance(values, str) else json.dumps(values)
    return admit(policy, text, RULES)


def violations(refusal: pytest.ExceptionInfo[InvalidInputError]) -> dict[str, str]:
    return {item.field: item.description for item in refusal.value.violations}


def make_request(make: MakeValues, **changes: Any) -> dict[str, Any]:
    values = make(**changes)
    del values["store"], values["tracking"]
    return values


def test_admit_takes_what_is_the_services_own_from_the_service(
    training_values: MakeValues,
) -> None:
    values = make_request(training_values)
    del values["policy"]

    config = admit_values(values, policy="btc_dqn")

    assert (config.policy, config.store) == ("btc_dqn", Path("volume"))
    assert config.signing_key == Path("volume.key")
    assert config.tracking.experiment == "ours"
    assert config.data.symbol == "BTC"


@pytest.mark.parametrize(
    ("config_json", "says"),
    [
        ("", "not JSON"),
        ('{"algorithm": ', "not JSON"),
        ('{"algorithm": "DQN", "x": NaN}', "NaN is not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "must be a JSON object, not list"),
    ],
)
def test_admit_with_unreadable_config_names_config_json(config_json: str, says: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        admit_values(config_json)

    assert says in violations(refusal)["config_json"]


@pytest.mark.parametrize("policy", ["", "../up", "Upper"])
def test_admit_with_bad_policy_name_is_refused(training_values: MakeValues, policy: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        admit_values(make_request(training_values, policy=policy), policy=policy)

    assert "policy" in violations(refusal)


def test_admit_with_contradicting_policy_names_is_refused(training_values: MakeValues) -> None:
    with pytest.raises(InvalidInputError, match="the request says 'other', not 'tiny'"):
        admit_values(make_request(training_values), policy="other")


@pytest.mark.parametrize("own", ["store", "tracking"])
def test_admit_with_what_is_the_services_own_is_refused(
    training_values: MakeValues, own: str
) -> None:
    values = {**make_request(training_values), own: training_values()[own]}

    with pytest.raises(InvalidInputError) as refusal:
        admit_values(values)

    assert "service's own" in violations(refusal)[own]


@pytest.mark.parametrize("path", ["/etc/passwd", "config/../../secret.csv"])
def test_admit_with_file_outside_the_folder_of_the_service_is_refused_unread(
    training_values: MakeValues, path: str
) -> None:
    for field, section in (
        ("data.path", {"data": {"path": path}}),
        ("risk_config.policy_yaml", {"risk_config": {"policy_yaml": path}}),
    ):
        with pytest.raises(InvalidInputError) as refusal:
            admit_values(make_request(training_values, **section))

        assert "outside the folder" in violations(refusal)[field]


def test_admit_with_actions_the_algorithm_cannot_take_is_refused(
    training_values: MakeValues,
) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        admit_values(make_request(training_values, algorithm="SAC"))

    assert violations(refusal) == {"environment.actions": "SAC takes continuous actions"}


def test_admit_gives_a_job_what_it_asks_for_within_the_limits_and_else_the_limits(
    training_values: MakeValues,
) -> None:
    values = make_request(training_values, resources={"timeout_s": 60.0})

    resources = admit_values(values).resources

    assert (resources.timeout_s, resources.memory_limit_mb) == (60.0, 4096)


def test_admit_with_more_than_the_limits_or_a_device_without_slots_names_each(
    training_values: MakeValues, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    values = make_request(
        training_values,
        resources={"timeout_s": 3601.0, "memory_limit_mb": 5000},
        training_params={"total_timesteps": 256, "device": "cuda"},
    )

    with pytest.raises(InvalidInputError) as refusal:
        admit_values(values)

    assert violations(refusal) == {
        "resources.timeout_s": "must not exceed 3600.0 here: 3601.0",
        "resources.memory_limit_mb": "must not exceed 4096 here: 5000",
        "training_params.device": "no slot of this service is for cuda; allowed: auto, cpu",
    }


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "a named pipe"),
    "folder": (Path.mkdir, "a folder"),
    "link to a device": (lambda path: path.symlink_to("/dev/zero"), "outside the folder"),
}


@pytest.mark.parametrize("key", ["policy_yaml", "path"])
@pytest.mark.parametrize(("make", "problem"), ODD.values(), ids=ODD)
def test_admit_with_what_is_no_file_is_refused_at_once(
    training_values: MakeValues,
    tmp_path: Path,
    make: Callable[[Path], object],
    problem: str,
    key: str,
) -> None:
    make(tmp_path / "odd.csv")
    section = "risk_config" if key == "policy_yaml" else "data"
    values = make_request(training_values, **{section: {key: str(tmp_path / "odd.csv")}})
    rules = replace(RULES, files=tmp_path)
    if key == "path":
        policy = tmp_path / "policy.yaml"
        policy.write_text("{monitor_only: true}\n")
        values["risk_config"] = {"policy_yaml": str(policy)}
    with pytest.raises(InvalidInputError) as refusal:
        admit("tiny", json.dumps(values), rules)
    assert problem in violations(refusal)[f"{section}.{key}"]


def test_admit_with_a_policy_that_is_a_bomb_is_refused(
    training_values: MakeValues, tmp_path: Path
) -> None:
    bomb = "\n".join(
        ["a: &a [x]"]
        + [
            f"{name}: &{name} [{','.join(['*' + above] * 9)}]"
            for above, name in zip("abcdefgh", "bcdefghi", strict=True)
        ]
    )
    (tmp_path / "policy.yaml").write_text(bomb)
    values = make_request(
        training_values, risk_config={"policy_yaml": str(tmp_path / "policy.yaml")}
    )
    with pytest.raises(InvalidInputError, match="behind aliases counted"):
        admit("tiny", json.dumps(values), replace(RULES, files=tmp_path))
