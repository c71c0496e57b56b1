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
from tradewind.market import load_sample
from tradewind.market.saving import save_bars
from trainer_service.service.admission import AdmissionRules, admit
from trainer_service.tracking import TrackingConfig
from trainer_service.training import resources
from trainer_service.training.config import JobConfig
from trainer_service.training.resources import JobLimits, share_of_memory_mb

MakeValues = Callable[..., dict[str, Any]]
ROOT = Path(__file__).parents[4]
TRACKING = TrackingConfig(experiment="ours")
RULES = AdmissionRules(
    store=Path("volume"),
    drafts=Path("kept"),
    signing_key=Path("volume.key"),
    files=ROOT,
    risk_policy=ROOT / "config/risk_limits.yaml",
    tracking=TRACKING,
    limits=JobLimits(timeout_s=3600.0, memory_limit_mb=4096),
    devices=frozenset({"auto", "cpu"}),
)


def admit_values(
    values: dict[str, Any] | str, policy: str = "tiny", rules: AdmissionRules = RULES
) -> JobConfig:
    text = values if isinstance(values, str) else json.dumps(values)
    return admit(policy, text, rules)


def violations(refusal: pytest.ExceptionInfo[InvalidInputError]) -> dict[str, str]:
    return {item.field: item.description for item in refusal.value.violations}


def make_request(make: MakeValues, **changes: Any) -> dict[str, Any]:
    values = make(**changes)
    del values["store"], values["drafts"], values["tracking"]
    return values


def test_admit_takes_what_is_the_services_own_from_the_service(
    training_values: MakeValues,
) -> None:
    values = make_request(training_values)
    del values["policy"]

    config = admit_values(values, policy="btc_dqn")

    assert (config.policy, config.store) == ("btc_dqn", Path("volume"))
    assert config.drafts == Path("kept")
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


@pytest.mark.parametrize("own", ["store", "drafts", "tracking"])
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


def test_admit_with_a_folder_of_bars_looks_where_each_of_its_links_leads(
    training_values: MakeValues, tmp_path: Path
) -> None:
    files, bars = tmp_path / "files", tmp_path / "files" / "bars"
    bars.mkdir(parents=True)
    save_bars(load_sample("BTC").slice(0, 100), bars / "a.parquet")
    rules = replace(RULES, files=files)
    values = make_request(training_values, data={"path": str(bars)}, risk_config={"enabled": True})
    assert admit_values(values, rules=rules).data.path == bars
    secret = tmp_path / "secret.csv"
    secret.write_text("password\n")
    (bars / "b.csv").symlink_to(secret)
    with pytest.raises(InvalidInputError) as refusal:
        admit_values(values, rules=rules)
    assert "is a link that leads out of" in violations(refusal)["data.path"]


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

    given = admit_values(values).resources

    assert (given.timeout_s, given.memory_limit_mb) == (60.0, 4096)


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


def test_admit_without_a_risk_policy_takes_the_services_own_wherever_it_lies(
    training_values: MakeValues, tmp_path: Path
) -> None:
    rules = replace(RULES, files=tmp_path)
    values = make_request(training_values, risk_config={"enabled": True})
    assert admit_values(values, rules=rules).risk_config.policy_yaml == RULES.risk_policy

    other = {"enabled": True, "policy_yaml": str(ROOT / "config" / "access.yaml")}
    with pytest.raises(InvalidInputError, match="outside the folder"):
        admit_values(make_request(training_values, risk_config=other), rules=rules)


@pytest.mark.parametrize(
    ("sections", "field", "says"),
    [
        ({"training_params": {"total_timesteps": 100_001}}, "total_timesteps", "100000 here"),
        ({"training_params": {"n_envs": 9}}, "training_params.n_envs", "exceed 8 here: 9"),
        ({"training_params": {"torch_threads": 3}}, "torch_threads", "exceed 2 here: 3"),
        ({"algo_params": {"buffer_size": 50_001}}, "algo_params.buffer_size", "50000 here: 50001"),
        (
            {"algorithm": "PPO", "algo_params": {"n_steps": 50_002}},
            "algo_params.n_steps",
            "must not exceed 50000 here: 50002",
        ),
    ],
)
def test_admit_with_more_than_the_service_allows_names_each_key(
    training_values: MakeValues, sections: dict[str, Any], field: str, says: str
) -> None:
    limits = JobLimits(total_timesteps=100_000, n_envs=8, torch_threads=2, buffer_size=50_000)
    values = make_request(training_values, algorithm=sections.get("algorithm", "DQN"))
    values["algo_params"] = {"batch_size": 2, **sections.get("algo_params", {})}
    if "buffer_size" not in values["algo_params"] and values["algorithm"] == "DQN":
        values["algo_params"]["buffer_size"] = 1_000
    training = {"total_timesteps": 60_000, "n_envs": 1, **sections.get("training_params", {})}

    with pytest.raises(InvalidInputError) as refusal:
        admit_values({**values, "training_params": training}, rules=replace(RULES, limits=limits))

    (found,) = violations(refusal).items()
    assert found[0].endswith(field)
    assert says in found[1]


@pytest.mark.parametrize(
    ("algorithm", "parameters", "key"),
    [
        ("DQN", {"buffer_size": 9_000_000}, "algo_params.buffer_size"),
        ("PPO", {"n_steps": 9_000_000, "batch_size": 9_000}, "algo_params.n_steps"),
    ],
)
def test_admit_with_a_buffer_that_the_memory_limit_has_no_room_for_is_refused(
    training_values: MakeValues, algorithm: str, parameters: dict[str, Any], key: str
) -> None:
    values = make_request(
        training_values,
        algorithm=algorithm,
        algo_params=parameters,
        training_params={"total_timesteps": 9_000_000, "n_envs": 1},
        resources={"memory_limit_mb": 1024},
    )
    with pytest.raises(InvalidInputError) as refusal:
        admit_values(values)
    assert "and the job may allocate 1024 MiB" in violations(refusal)[key]


def test_admit_without_a_memory_limit_gives_a_job_its_share_of_the_machine(
    training_values: MakeValues, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    meminfo, cgroup = tmp_path / "meminfo", tmp_path / "memory.max"
    meminfo.write_text("MemFree: 1 kB\nMemTotal:       67108864 kB\n")  # 64 GiB
    monkeypatch.setattr(resources, "_MEMINFO", meminfo)
    monkeypatch.setattr(resources, "_CGROUP_LIMITS", (cgroup, tmp_path / "absent"))
    cgroup.write_text("max\n")
    assert share_of_memory_mb(2) == int(0.8 * 65_536 / 2)
    cgroup.write_text(f"{32 * 2**30}\n")
    assert share_of_memory_mb(2) == int(0.8 * 32_768 / 2)
    assert share_of_memory_mb(100) == 4096
    meminfo.write_text("nothing")
    cgroup.unlink()
    assert share_of_memory_mb(1) is None
    cgroup.write_text(f"{32 * 2**30}\n")

    rules = replace(RULES, limits=JobLimits(), slots=2)
    request = make_request(training_values)
    assert admit_values(request, rules=rules).resources.memory_limit_mb == int(0.8 * 16_384)
    # What a driver of a GPU reserves, it does not use.
    with_gpu = replace(rules, devices=frozenset({"auto", "cpu", "cuda"}))
    assert admit_values(request, rules=with_gpu).resources.memory_limit_mb is None
    request["training_params"]["device"] = "cpu"
    assert admit_values(request, rules=with_gpu).resources.memory_limit_mb == int(0.8 * 16_384)


SECRETS = {
    "a line": "hunter2\n",
    "a pair": "password: hunter2\n",
    "a key": "hunter2: {a: 1}\n",
    "a limit": "limits: {hunter2: {limit: 0.1}}\n",
    "a value": "limits: {max_drawdown: {limit: hunter2}}\n",
    "a rule": "rules: [{name: x, when: hunter2 > 1, action: hunter2}]\n",
    "a bracket": "token: [hunter2\n",
    "an alias": "token: *hunter2\n",
    "a tag": "token: !hunter2 x\n",
    "a character": "token: @hunter2\n",
    "a quote": "token: 'hunter2\n",
    "twice": "hunter2: 1\nhunter2: 1\n",
    "a date": "token: 2026-99-99 # hunter2\n",
    "brackets": "[" * 5_000 + "hunter2",
    "a reference": "token: ${hunter3}\nhunter2: 1\n",
    "a key file": "-----BEGIN PRIVATE KEY-----\nhunter2==\n-----END PRIVATE KEY-----\n",
}


@pytest.mark.parametrize("text", SECRETS.values(), ids=SECRETS)
def test_admit_with_a_policy_file_that_is_none_says_the_place_and_not_what_stands_there(
    training_values: MakeValues, tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "secret").write_text(text)
    risk = {"enabled": True, "policy_yaml": str(tmp_path / "secret")}
    with pytest.raises(InvalidInputError) as refusal:
        admit_values(
            make_request(training_values, risk_config=risk), rules=replace(RULES, files=tmp_path)
        )
    said = violations(refusal)["risk_config.policy_yaml"] + str(refusal.value)
    assert str(tmp_path / "secret") in said
    assert "hunter" not in said.replace(str(tmp_path), "")
    assert "BEGIN" not in said
    assert caplog.records  # the operator sees it


def test_admit_with_a_policy_file_of_a_mistake_names_its_line_and_kind(
    training_values: MakeValues, tmp_path: Path
) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text("limits:\n  max_drawdown: {limit: -1}\nmine: 3\n")
    risk = {"enabled": True, "policy_yaml": str(path)}
    with pytest.raises(InvalidInputError) as refusal:
        admit_values(
            make_request(training_values, risk_config=risk), rules=replace(RULES, files=tmp_path)
        )
    assert [item.description for item in refusal.value.violations] == [
        f"{path}: a value of another type, or out of its range (line 2)",
        f"{path}: an unknown key (line 3)",
    ]


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
    said = violations(refusal)[f"{section}.{key}"]
    # Bars may be in a folder: this one has none.
    assert ("holds no files of bars" if (problem, key) == ("a folder", "path") else problem) in said


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
    with pytest.raises(InvalidInputError, match="cannot be read as settings"):
        admit("tiny", json.dumps(values), replace(RULES, files=tmp_path))
