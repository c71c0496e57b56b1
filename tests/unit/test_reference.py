"""The schemas of the settings files, the page of all settings, and what finds them stale."""

import copy
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tools import reference
from tradewind.errors import SettingsError
from tradewind.settings import parse_settings
from tradewind_cli.settings_files import FILES, schema_of
from trainer_service.training.config import parse_training_config

ROOT = Path(__file__).resolve().parents[2]
CONFIG = sorted((ROOT / "config").rglob("*.yaml"))
UNKNOWN = "no_such_key"
# Where a part of anyone's own may stand, whose options its class alone knows.
PARTS = {"features_extractor", "options"}


def validator_of(path: Path) -> Draft202012Validator:
    schema = reference.editor_schema(path)
    assert schema is not None, f"{path} does not begin with the line that names its schema"
    return Draft202012Validator(json.loads(schema.read_text()))


def loaders_refusal(name: str, values: Any) -> str:
    """Why whoever reads a settings file refuses values; empty where it takes them."""
    module, _, attribute = FILES[name].model.partition(":")
    model = getattr(importlib.import_module(module), attribute)
    try:
        if name == "training":  # whose algorithm says more
            parse_training_config(values, model)
        else:
            parse_settings(values, model)
    except SettingsError as problem:
        return str(problem)
    return ""


def mappings(values: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each mapping stands in values."""
    if isinstance(values, dict):
        yield at
    items = values.items() if isinstance(values, dict) else enumerate(values)
    for key, value in items:
        if isinstance(value, dict | list):
            yield from mappings(value, (*at, key))


@pytest.fixture(scope="module")
def files() -> dict[Path, str]:
    return reference.wanted()


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "tests" / "contract").rglob("metadata.json")),
    ids=lambda path: path.parts[-3],
)
def test_bundle_of_any_release_is_as_the_schema_of_its_metadata_says(path: Path) -> None:
    schema = schema_of("bundle-metadata")
    Draft202012Validator.check_schema(schema)
    metadata = json.loads(path.read_text())
    assert [found.message for found in Draft202012Validator(schema).iter_errors(metadata)] == []
    assert not Draft202012Validator(schema).is_valid({**metadata, UNKNOWN: 1})


@pytest.mark.parametrize("path", CONFIG, ids=lambda path: str(path.relative_to(ROOT / "config")))
def test_settings_file_with_its_schema_is_valid_and_a_wrong_key_is_not(path: Path) -> None:
    validator, values = validator_of(path), yaml.safe_load(path.read_text())
    schema = reference.editor_schema(path)
    assert schema is not None
    Draft202012Validator.check_schema(validator.schema)
    assert [f"{found.json_path}: {found.message}" for found in validator.iter_errors(values)] == []
    assert loaders_refusal(schema.stem, values) == ""
    for at in mappings(values):
        if PARTS & set(at):
            continue
        changed = copy.deepcopy(values)
        inner = changed
        for key in at:
            inner = inner[key]
        inner[UNKNOWN] = {UNKNOWN: 1}
        refused = loaders_refusal(schema.stem, changed)
        assert bool(refused) == (not validator.is_valid(changed)), (at, refused)


@pytest.mark.parametrize("name", FILES)
def test_schema_with_its_texts_names_nothing_of_this_machine_and_asks_nobody(
    files: dict[Path, str], name: str
) -> None:
    text = files[reference.SCHEMAS / f"{name}.json"]
    for node in nodes(json.loads(text)):
        assert str(node.get("$ref", "#/")).startswith("#/")
        assert not str(node.get("default")).startswith("/")
    assert str(ROOT) not in text
    # What an editor's regular expressions do not know.
    assert not any(part in text for part in ("(?P", r"\\Z", r"\\A"))


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value:
        if isinstance(each, dict | list):
            yield from nodes(each)


def test_reference_with_the_settings_as_they_are_is_up_to_date(files: dict[Path, str]) -> None:
    assert reference.undocumented() == []
    assert reference.stale(files) == []


def test_schema_with_one_field_too_few_is_found_stale_with_its_line(
    files: dict[Path, str], tmp_path: Path
) -> None:
    for place, text in files.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    assert reference.stale(files, tmp_path) == []
    (place,) = (place for place in files if place.stem == "inference")
    schema = json.loads(files[place])
    del schema["properties"]["workers"]
    (tmp_path / place).write_text(reference.schema_text(schema))
    (tmp_path / reference.SCHEMAS / "gone.json").write_text("{}")
    found = reference.stale(files, tmp_path)
    assert found[0].startswith("config/schemas/inference.json is stale: run `make reference`")
    assert '+    "workers": {' in found[0]
    assert found[1:] == ["config/schemas/gone.json: no settings file is of it"]


def test_setting_without_a_text_under_it_is_named_with_file_and_line(tmp_path: Path) -> None:
    source = '''from typing import ClassVar
from tradewind.settings import Settings

class Base(Settings):
    told: int = 1
    """What it is."""

    untold: int = 2
    of_the_class: ClassVar[int] = 3

class Derived(Base):
    """Derived.

    Attributes:
        more: At the wrong place.
    """

    more: int = 4

class Other:
    free: int = 5
'''
    package = tmp_path / "risk_service"
    package.mkdir()
    (package / "settings.py").write_text(source)
    assert reference.undocumented(tmp_path) == [
        "risk_service/settings.py:8: Base.untold says nothing under its field",
        "risk_service/settings.py:11: Derived tells of its settings at its top: "
        "move it under each field",
        "risk_service/settings.py:18: Derived.more says nothing under its field",
    ]


def test_text_taken_from_elsewhere_is_valid_where_a_number_stands() -> None:
    validator = Draft202012Validator(schema_of("risk"))
    listening = {"listen": ["127.0.0.1:1"]}
    assert validator.is_valid({"server": {**listening, "threads": "${THREADS:-8}"}})
    assert validator.is_valid({"server": {**listening, "threads": 8}})
    assert not validator.is_valid({"server": {**listening, "threads": "eight"}})
