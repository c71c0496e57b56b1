"""No code that a request names is imported, wherever it stands, but what the operator lists."""

import contextlib
import copy
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tradewind.components import closed_doors
from tradewind.errors import InvalidInputError, SettingsError
from trainer_service.service.admission import AdmissionRules, admit
from trainer_service.service.settings import TrainerServiceSettings
from trainer_service.tracking import TrackingConfig
from trainer_service.training.config import JobConfig, parse_training_config
from trainer_service.training.resources import JobLimits

MakeValues = Callable[..., dict[str, Any]]
ROOT = Path(__file__).parents[4]
RULES = AdmissionRules(
    store=Path("volume"),
    drafts=Path("kept"),
    signing_key=None,
    files=ROOT,
    risk_policy=ROOT / "config/risk_limits.yaml",
    tracking=TrackingConfig(),
    limits=JobLimits(timeout_s=3600.0, memory_limit_mb=4096),
    devices=frozenset({"auto", "cpu"}),
)
PARTS = """
from trainer_service.algorithms.built_in.dqn import DQN
from trainer_service.algorithms.extractors.layer_norm_mlp import LayerNormMlpSettings
from trainer_service import DataSource, Reward
from tradewind.market import FeatureGroup


class Algorithm(DQN):
    name = "SMUGGLED"


class Extractor(LayerNormMlpSettings):
    pass


class Growth(Reward):
    name, version, lookback = "smuggled", 1, property(lambda self: 1)

    def rewards(self, window):
        return window.equity[:, -1] - window.equity[:, -2]


class Group(FeatureGroup):
    name, version, lookback = "smuggled", 1, property(lambda self: 2)
    component_names = property(lambda self: ("smuggled",))

    def row(self, window):
        return [1.0]


class Source(DataSource):
    def load(self):
        raise RuntimeError
"""
# Every field that a door opens for, and the violation that names it.
FIELDS: dict[str, tuple[str, Callable[[str], dict[str, Any]]]] = {
    "Algorithm": ("algorithm", lambda path: {"algorithm": path}),
    "Extractor": (
        "algo_params.policy_kwargs.features_extractor",
        lambda path: {"algo_params": {"policy_kwargs": {"features_extractor": {"name": path}}}},
    ),
    "Growth": ("environment.reward", lambda path: {"environment": {"reward": {"kind": path}}}),
    "Group": ("features.groups[0]", lambda path: {"features": {"groups": [{"kind": path}]}}),
    "Source": ("data.source", lambda path: {"data": {"source": {"kind": path}}}),
}


@pytest.fixture
def smuggled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module that anybody could import, and nobody may."""
    name = f"smuggled_{abs(hash(tmp_path)):x}"
    (tmp_path / f"{name}.py").write_text(PARTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)


@pytest.fixture
def request_values(training_values: MakeValues) -> dict[str, Any]:
    """A request that says everything that one can."""
    values = training_values(
        "PPO",
        algo_params={
            "n_steps": 64,
            "batch_size": 32,
            "policy": "MlpPolicy",
            "policy_kwargs": {
                "net_arch": {"pi": [8], "vf": [8]},
                "activation_fn": "tanh",
                "features_extractor": {"name": "layer_norm_mlp", "units": [8]},
            },
        },
        data={"symbol": "BTC", "market": "always-open"},
        environment={"actions": "discrete", "reward": "simple_return"},
        features={"groups": [{"kind": "range_volatility", "options": {"window": 5}}]},
        evaluation={"resamples": 100},
        resources={"timeout_s": 60.0},
        risk_config={
            "enabled": True,
            "lagrangian": {"constraints": {"max_drawdown": 0.1}},
        },
    )
    for own in ("store", "drafts", "tracking"):
        del values[own]
    return values


def ask(values: Any, *components: str) -> JobConfig:
    rules = replace(RULES, components=components)
    return admit("tiny", json.dumps({**values, "policy": "tiny"}), rules)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a value, those of new keys included."""
    if path:
        yield path
    if isinstance(value, dict):
        yield (*path, "another")
        for key, item in value.items():
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*path, index))


def with_at(values: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(values)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def test_path_in_any_field_of_a_request_imports_nothing(
    request_values: dict[str, Any], smuggled: str
) -> None:
    ask(request_values)  # which is taken as it is
    path = f"{smuggled}:Algorithm"
    tried = 0
    for place in places(request_values):
        key = "name" if "features_extractor" in place else "kind"
        for value in (path, {key: path}):
            tried += 1
            with contextlib.suppress(InvalidInputError):
                ask(with_at(request_values, place, value))
            assert smuggled not in sys.modules, (place, value)
    assert tried > 80


@pytest.mark.parametrize("part", FIELDS)
def test_part_that_is_not_listed_is_refused_with_its_field_and_the_cure(
    request_values: dict[str, Any], smuggled: str, part: str
) -> None:
    field, change = FIELDS[part]
    values = {**request_values, **change(f"{smuggled}:{part}")}
    if part == "Algorithm":
        values["algo_params"] = {"learning_starts": 10}
    elif part == "Extractor":
        values["algo_params"] |= {"n_steps": 64, "batch_size": 32}
    if part in ("Algorithm", "Extractor"):
        values["environment"] = {"actions": "discrete"}
        values["data"] = {"symbol": "BTC"}
    for listed in ((), (f"{smuggled}:Other", smuggled, f"{smuggled}:*")):
        with pytest.raises(
            InvalidInputError, match="only where the operator's settings list it"
        ) as (refusal):
            ask(values, *listed)
        assert [item.field for item in refusal.value.violations] == [field]
        assert "allow_components" in str(refusal.value)
        assert smuggled not in sys.modules

    config = ask(values, f"{smuggled}:{part}")

    assert smuggled in sys.modules
    # What the job store then holds is read by a process of its own, behind the same door.
    stored = json.loads(config.model_dump_json())
    with closed_doors([f"{smuggled}:{part}"], "allow_components"):
        assert parse_training_config(stored, JobConfig) == config
    with closed_doors((), "allow_components"), pytest.raises(SettingsError, match="list it"):
        parse_training_config(stored, JobConfig)


def test_listed_part_of_another_kind_is_refused(
    request_values: dict[str, Any], smuggled: str
) -> None:
    values = {**request_values, "environment": {"reward": {"kind": f"{smuggled}:Group"}}}
    with pytest.raises(InvalidInputError, match="reward: .*expected: a subclass of .*Reward"):
        ask(values, f"{smuggled}:Group")


def test_entry_point_that_is_not_listed_is_a_stranger(
    request_values: dict[str, Any], smuggled: str, tmp_path: Path
) -> None:
    about = tmp_path / "someones-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: someones\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        f"[tradewind.rewards]\nprofit = {smuggled}:Growth\n"
        f"[tradewind.algorithms]\nPPO = {smuggled}:Algorithm\n"
    )
    values = {**request_values, "environment": {"reward": "profit"}}
    with pytest.raises(InvalidInputError, match="'profit' .*allow_components"):
        ask(values)
    assert smuggled not in sys.modules
    assert ask(values, "profit").environment.reward == sys.modules[smuggled].Growth()
    # Nor can one take the place of Tradewind's own, or keep anybody from it.
    assert ask(request_values).algorithm == "PPO"
    with pytest.raises(InvalidInputError, match="'PPO' is the name of several"):
        ask(request_values, "PPO")
    with pytest.raises(SettingsError, match="'PPO' is the name of several"):
        parse_training_config({**request_values, "policy": "tiny"}, JobConfig)


def test_trackers_of_the_service_come_in_and_those_of_a_request_do_not(
    request_values: dict[str, Any], smuggled: str, tmp_path: Path
) -> None:
    (tmp_path / f"{smuggled}.py").write_text(
        "from trainer_service import TrackerSettings\n\n"
        "class Mine(TrackerSettings):\n    def open(self, run): ...\n"
    )
    trackers = [{"kind": f"{smuggled}:Mine"}]
    with pytest.raises(InvalidInputError, match="tracking: is the service's own"):
        ask({**request_values, "tracking": {"trackers": trackers}})
    assert smuggled not in sys.modules
    settings = TrainerServiceSettings.model_validate({"tracking": {"trackers": trackers}})
    assert settings.components == (f"{smuggled}:Mine",)
    rules = replace(RULES, tracking=settings.tracking, components=settings.components)
    config = admit("tiny", json.dumps(request_values), rules)
    assert [tracker.kind for tracker in config.tracking.trackers] == [f"{smuggled}:Mine"]
