"""A configuration from a file and `--set key=value` options."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tradewind_cli.output import refusal

__all__ = ["ConfigArgument", "FeatureOption", "SetOption", "read_configuration"]

ConfigArgument = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="Training configuration, a YAML file.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key, e.g. training_params.seed=7; the value is YAML. Repeatable.",
    ),
]


FeatureOption = Annotated[
    list[str] | None,
    typer.Option(
        help="A feature group that a bundle may need beside Tradewind's own: "
        "package.module:Attribute. Repeatable."
    ),
]


def read_configuration(path: Path, assignments: Sequence[str] | None) -> dict[str, Any]:
    """Reads a file and puts values over it.

    Raises:
        SettingsError: The file cannot be read, or an assignment is not `key=value` with a value
            that is YAML.
    """
    import yaml

    from tradewind.bounded_yaml import compose_bounded
    from tradewind.settings import read_yaml

    values, _ = read_yaml(path)
    for assignment in assignments or ():
        key, equals, text = assignment.partition("=")
        if not key or not equals:
            raise refusal("--set", f"must be KEY=VALUE: {assignment!r}")
        try:
            _, value = compose_bounded(text)
        except yaml.YAMLError:
            raise refusal("--set", f"the value of {key} is not YAML: {text!r}") from None
        _assign(values, key, value)
    return values


def _assign(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for name in parents:
        values = values.setdefault(name, {})
        if not isinstance(values, dict):
            raise refusal("--set", f"{key}: {name} is not a mapping")
    values[last] = value
