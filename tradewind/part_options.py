"""A part that runs, as a settings file names it: `{kind: NAME, options: {...}}`.

Brokers, feeds and token verifiers are classes that are made of what they are told and of their
options; their class says with `Options` which these are.
"""

from pathlib import Path
from typing import Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from tradewind.components import Door
from tradewind.errors import ComponentError
from tradewind.settings import Settings

__all__ = ["NOT_LOOKED_UP", "PartSettings", "open_part", "raised_in", "told"]

NOT_LOOKED_UP: Final = {"tradewind.part_options": "not looked up"}
"""Context of a validation that takes names as they are: of settings that were checked before."""


def _leave_to_others(schema: dict[str, Any], part: type[Any]) -> None:
    """Has a JSON Schema leave the names of Tradewind's own parts to their own settings."""
    if own := part.door.own_parts():
        schema["properties"]["kind"]["not"] = {"enum": sorted(own)}


class PartSettings(Settings):
    """A part that comes in by a door; its class says with `Options` what it can be set to."""

    model_config = ConfigDict(json_schema_extra=_leave_to_others)

    door: ClassVar[Door[type[Any]]]

    kind: str = Field(min_length=1)
    """The name of a part of an installed package, or `package.module:Attribute`."""

    options: dict[str, Any] = Field(default_factory=dict)
    """What the part's own `Options` take."""

    @field_validator("kind")
    @classmethod
    def _find(cls, kind: str, info: ValidationInfo) -> str:
        if info.context is not NOT_LOOKED_UP:
            try:
                cls.door.find(kind, "kind")
            except ComponentError as no:
                raise ValueError("; ".join(it.description for it in no.violations)) from None
        return kind

    @field_validator("options")
    @classmethod
    def _check_options(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if info.context is not NOT_LOOKED_UP and "kind" in info.data:
            part = cls.door.find(info.data["kind"], "kind")
            try:
                options_of(part).model_validate(options)
            except ValueError:  # what it refuses keeps its place
                raise
            except Exception as problem:  # it is someone's own code
                raise ValueError(f"{part.__qualname__}.Options raised {told(problem)}") from problem
        return options


def open_part(door: Door[type[Any]], chosen: Any, at: str, *arguments: Any) -> Any:
    """Makes the part that settings name, whether it comes with Tradewind or not.

    Args:
        door: Where parts of its kind come in.
        chosen: Its settings: PartSettings, or those of one of Tradewind's own, which have a `kind`
            and are its options themselves.
        at: The field that it is named by, for errors.
        arguments: What a part of this kind is told.

    Raises:
        ComponentError: It cannot be found or made.
    """
    part = door.find(chosen.kind, f"{at}.kind")
    if isinstance(chosen, PartSettings):
        chosen = options_of(part).model_validate(chosen.options)
    return door.make(part, f"{at}.kind", *arguments, chosen)


def options_of(part: Any) -> type[BaseModel]:
    """The class of a part's options; one without any takes none."""
    options = getattr(part, "Options", Settings)
    if isinstance(options, type) and issubclass(options, BaseModel):
        return options
    raise ValueError(f"Options of {part.__qualname__} is {options!r}, no settings class")


def told(problem: BaseException) -> str:
    """What someone's own code raised, and in which line of which file."""
    return f"{raised_in(problem)}: {problem}" if str(problem) else raised_in(problem)


def raised_in(problem: BaseException) -> str:
    """As `told`, without the text, which may hold what nobody must read."""
    at = problem.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = "" if at is None else f" ({Path(at.tb_frame.f_code.co_filename).name}:{at.tb_lineno})"
    return type(problem).__name__ + place
