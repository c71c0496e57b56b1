"""Frozen settings that refuse unknown keys, and YAML files that say which line is wrong."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from tradewind.bounded_yaml import compose_bounded
from tradewind.errors import FieldViolation, SettingsError
from tradewind.files import read_file
from tradewind.shipped import shipped_or_own

__all__ = [
    "ALTERNATIVE",
    "Location",
    "Settings",
    "ends_with_its_end",
    "load_settings",
    "parse_settings",
    "parse_yaml",
    "read_yaml",
    "settings_from_text",
]


class Settings(BaseModel):
    """Base of every settings object: immutable, and an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )


ALTERNATIVE: Final = "\0"
"""What a `pydantic.Tag` of a union begins with, so that no error names it as if it were a key:
no text of YAML has that character."""

SettingsT = TypeVar("SettingsT", bound=BaseModel)
Location = tuple[int | str, ...]

# What pydantic says without quoting its input.
_NEVER_QUOTING: Final = ("Input should", "String should", "Field required", "Extra inputs")
_SHORTEST_SECRET: Final = 3
_QUOTED: Final = re.compile(r"(['\"]).*\1", re.DOTALL)

_REFERENCE: Final = re.compile(
    r"\$\{(?:file:(?P<path>[^}]+)|(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?)\}"
)


def load_settings(
    path: Path | str,
    model: type[SettingsT],
    overrides: Mapping[str, Any] | None = None,
    error: type[SettingsError] = SettingsError,
) -> SettingsT:
    """Reads a YAML file into a settings object.

    A text may take its value from elsewhere, which is where secrets belong: `${NAME}` is a variable
    of the environment, `${NAME:-default}` has a default for one that is absent or empty, and
    `${file:PATH}` is the content of a file without the line end.

    Args:
        path: The file.
        model: The settings class.
        overrides: Dotted keys that win over the file, such as command-line flags.
        error: The exception to raise.

    Raises:
        SettingsError: The file cannot be read or parsed, a key is unknown, missing, repeated, of
            the wrong type or out of range, or a variable or file that it takes its value from is
            absent; every violation names its line.
    """
    return settings_from_text(_read(path, error), str(path), model, overrides, error)


def settings_from_text(
    text: bytes,
    source: str,
    model: type[SettingsT],
    overrides: Mapping[str, Any] | None = None,
    error: type[SettingsError] = SettingsError,
    context: Mapping[str, Any] | None = None,
) -> SettingsT:
    """As `load_settings`, of a text that was read already and is called `source` in an error."""
    values, lines = parse_yaml(text, source, error)
    violations: list[FieldViolation] = []
    taken: dict[Location, str] = {}
    values = _expand(values, (), lines, violations, taken)
    if violations:
        raise error(f"{source} is refused", violations)
    return parse_settings(
        values,
        model,
        source=source,
        lines=lines,
        overrides=overrides,
        error=error,
        secrets=taken,
        context=context,
    )


def parse_settings(
    values: Mapping[str, Any],
    model: type[SettingsT],
    *,
    source: str = "settings",
    lines: Mapping[Location, int] | None = None,
    overrides: Mapping[str, Any] | None = None,
    error: type[SettingsError] = SettingsError,
    secrets: Mapping[Location, str] = MappingProxyType({}),
    context: Mapping[str, Any] | None = None,
) -> SettingsT:
    """Validates a mapping, with all of its violations in one exception.

    Args:
        values: The settings.
        model: The settings class.
        source: What the settings are called in an error.
        lines: Line of each key path in the file they come from.
        overrides: Dotted keys that win over `values`.
        error: The exception to raise.
        secrets: Texts that an error must not quote, by the key path they stand at.
        context: What the model's validators may have to know.

    Raises:
        SettingsError: A key is unknown, missing, of the wrong type or out of range.
    """
    merged: Any = dict(values)
    for key, value in (overrides or {}).items():
        _put(merged, key.split("."), value)
    try:
        return model.model_validate(merged, context=context)
    except ValidationError as problem:
        violations = []
        for item in problem.errors(include_url=False, include_context=False):
            at = tuple(part for part in item["loc"] if not str(part).startswith(ALTERNATIVE))
            said = _message({**item, "loc": at}, secrets)
            violations.append(FieldViolation(_field_name(at), _describe(at, said, lines)))
        raise error(f"{source} is refused", violations) from None


def read_yaml(
    path: Path | str, error: type[SettingsError] = SettingsError
) -> tuple[dict[str, Any], dict[Location, int]]:
    """Reads a YAML mapping and where each of its keys stands.

    Returns:
        The mapping, and the line (counted from 1) of every key path.

    Raises:
        SettingsError: The file is missing, is no regular file, is not YAML, is not a mapping,
            repeats a key, or exceeds the bounds of `tradewind.bounded_yaml`.
    """
    return parse_yaml(_read(path, error), str(path), error)


def parse_yaml(
    text: str | bytes, source: str, error: type[SettingsError] = SettingsError
) -> tuple[dict[str, Any], dict[Location, int]]:
    """As `read_yaml`, of a text that was read already and is called `source` in an error."""
    try:
        # What else a decoder of YAML takes, such as UTF-16, is no settings file.
        root, values = compose_bounded(text if isinstance(text, str) else text.decode())
    except UnicodeDecodeError as problem:
        raise error(f"cannot read {source}: {problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as problem:
        raise error(f"{source} is not YAML: {_yaml_problem(problem)}") from None
    lines: dict[Location, int] = {}
    if root is not None:
        _index_lines(root, (), lines, source, error)
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise error(f"{source} must be a mapping of settings, not a {type(values).__name__}")
    return values, lines


def ends_with_its_end(text: bytes) -> bool:
    """Whether a YAML document that can be parsed says itself where it ends.

    A block does so with the line `...`, what stands in braces with its closing one. Any other
    document may be the beginning of a longer one that was cut off.
    """
    root = end = None
    for event in yaml.parse(text.decode(), Loader=yaml.SafeLoader):
        if root is None and isinstance(event, yaml.CollectionStartEvent):
            root = event
        elif isinstance(event, yaml.DocumentEndEvent):
            end = event
    return end is not None and (bool(end.explicit) or (root is not None and bool(root.flow_style)))


def _message(item: Any, secrets: Mapping[Location, str]) -> str:
    """What is wrong with a value, without the texts that were taken from elsewhere."""
    at, message = tuple(item["loc"]), str(item["msg"])
    if message.startswith(_NEVER_QUOTING):
        return message
    for path, secret in secrets.items():
        if at[: len(path)] == path:
            return "the value that is taken from elsewhere is refused"
        if path[: len(at)] == at and len(secret) >= _SHORTEST_SECRET:
            message = message.replace(secret, "…").replace(repr(secret)[1:-1], "…")
    return message


def _yaml_problem(problem: Exception) -> str:
    """What is wrong and where, without a word of the text: it may be a secret, or no YAML."""
    mark = getattr(problem, "problem_mark", None)
    place = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
    said = getattr(problem, "problem", None) or f"{type(problem).__name__} while reading it"
    return f"{_QUOTED.sub('…', said)}{place}"


def _expand(
    value: Any,
    at: Location,
    lines: Mapping[Location, int],
    violations: list[FieldViolation],
    taken: dict[Location, str],
) -> Any:
    """Puts in what texts take from the environment and from files, and notes where in `taken`."""
    if isinstance(value, dict):
        return {
            key: _expand(item, (*at, str(key)), lines, violations, taken)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_expand(item, (*at, i), lines, violations, taken) for i, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    try:
        expanded = _REFERENCE.sub(_look_up, value)
    except LookupError as problem:
        violations.append(
            FieldViolation(_field_name(at), _describe(at, str(problem.args[0]), lines))
        )
        return value
    if expanded != value:
        taken[at] = expanded
    return expanded


def _look_up(reference: re.Match[str]) -> str:
    path, name, default = reference["path"], reference["name"], reference["default"]
    if path is not None:
        try:
            return read_file(path).decode().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as problem:
            raise LookupError(f"cannot read {path}: {problem}") from None
    value = os.environ.get(name)
    if default is not None:
        return value or default
    if value is None:
        raise LookupError(f"the environment has no variable {name}")
    return value


def _read(path: Path | str, error: type[SettingsError]) -> bytes:
    try:
        return read_file(shipped_or_own(path))
    except OSError as problem:
        raise error(f"cannot read {path}: {problem.strerror}") from None


def _put(values: dict[str, Any], path: list[str], value: Any) -> None:
    *parents, last = path
    for name in parents:
        child = values.get(name)
        values[name] = child = dict(child) if isinstance(child, Mapping) else {}
        values = child
    values[last] = value


def _index_lines(
    node: yaml.Node,
    location: Location,
    lines: dict[Location, int],
    source: str,
    error: type[SettingsError],
) -> None:
    lines.setdefault(location, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            at = (*location, str(key.value))
            line = key.start_mark.line + 1
            if at in lines:
                raise error(
                    f"{source} is refused",
                    [FieldViolation(_field_name(at), f"repeated (lines {lines[at]} and {line})")],
                )
            lines[at] = line
            _index_lines(value, at, lines, source, error)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _index_lines(value, (*location, index), lines, source, error)


def _field_name(location: Location) -> str:
    name = ""
    for part in location:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else str(part)
    return name


def _describe(location: Location, message: str, lines: Mapping[Location, int] | None) -> str:
    if lines is None:
        return message
    at = location
    while at and at not in lines:
        at = at[:-1]
    return f"{message} (line {lines[at]})" if at in lines else message
