"""Wherever no store is named it is the same one."""

import inspect
from pathlib import Path

import pytest
import yaml

from inference_service.settings import InferenceSettings
from tradewind.settings import Settings
from tradewind_cli.bundle import list_bundles
from tradewind_cli.replay import replay
from trainer_service.service.settings import TrainerServiceSettings
from trainer_service.training.config import JobConfig

STORE = Path("bundles")


@pytest.mark.parametrize("settings", [InferenceSettings, JobConfig, TrainerServiceSettings])
def test_store_of_settings_that_name_none(settings: type[Settings]) -> None:
    assert settings.model_fields["store"].default == STORE


@pytest.mark.parametrize("name", ["trainer", "inference"])
def test_store_of_the_shipped_settings(name: str) -> None:
    path = Path(__file__).resolve().parents[3] / "config" / f"{name}.yaml"
    assert yaml.safe_load(path.read_text())["store"] == str(STORE)


def test_store_of_commands_that_name_none() -> None:
    for command in (list_bundles, replay):
        assert inspect.signature(command).parameters["store"].default == STORE
