"""Parts that calculate or make something: `{kind: NAME, options: {...}}` in a settings file.

A part is a class whose fields are its options. One that an observation or a reward is made of also
has a name and a version, which travel in bundles: whoever changes what it calculates raises the
version.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from tradewind.components import Door
from tradewind.errors import ComponentError, FieldViolation, SettingsError
from tradewind.part_options import told
from tradewind.settings import Settings, parse_settings

__all__ = ["Named", "Part", "VersionedPart", "check_version", "make_part", "part_of"]

PartT = TypeVar("PartT", bound="Part")

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Part(Settings):
    """A part of anyone's own; its fields are its options."""

    @cached_property
    def kind(self) -> str:
        """What settings call it, or else where its class is."""
        return f"{type(self).__module__}:{type(self).__qualname__}"


class VersionedPart(Part):
    """A part that a bundle records."""

    name: ClassVar[str]
    """What it is called in a bundle: small letters, digits and underscores."""

    version: ClassVar[int]
    """Of what it calculates, from 1; raised when the same settings and inputs give other
    numbers."""

    @property
    def identity(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    def recorded(self) -> dict[str, Any]:
        """What a bundle says of it, as JSON: nothing that could be imported."""
        options = self.model_dump(mode="json")
        return {"name": self.name, "version": self.version, "options": options}


def check_version(kind: str, found: type[VersionedPart], at: str) -> None:
    """Refuses a class without a name and a version.

    Raises:
        ComponentError: It lacks one.
    """
    name, version = getattr(found, "name", None), getattr(found, "version", None)
    problem = ""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        problem = f"has the name {name!r}; give it one of small letters, digits and underscores"
    elif type(version) is not int or version < 1:
        problem = f"has the version {version!r}; give it a whole number, 1 for the first"
    if problem:
        said = f"{found.__module__}:{found.__qualname__} {problem}, as an attribute of the class"
        raise ComponentError(f"{kind} is refused", [FieldViolation(at, said)])


def part_of(door: Door[type[PartT]], values: Any, at: str, *, inline: bool = False) -> PartT:
    """The part that `{kind: NAME, options: {...}}` stands for, or `NAME` where it has no options.

    With `inline` it is written `{name: NAME, ...options}`.

    Raises:
        ComponentError: It is not written so, cannot be found, or refuses its options.
    """
    kind, options = _split(values, inline=inline)
    if not isinstance(kind, str):
        form = "{name: NAME, ...}" if inline else "{kind: NAME, options: {...}}"
        said = f"must be a name, or {form}"
        raise ComponentError(f"{door.kind} is refused", [FieldViolation(at, said)])
    found = door.find(kind, at)
    if issubclass(found, VersionedPart):
        check_version(door.kind, found, at)
    part = make_part(door.kind, found, options, at)
    vars(part)["kind"] = kind
    return part


def _split(values: Any, *, inline: bool) -> tuple[Any, Any]:
    """The name and the options of a part; None for a name that there is not."""
    if not isinstance(values, Mapping):
        return values, {}
    if inline:
        return values.get("name"), {key: values[key] for key in values if key != "name"}
    kind = values.get("kind") if set(values) <= {"kind", "options"} else None
    return kind, values.get("options", {})


def make_part(kind: str, found: type[PartT], options: Any, at: str) -> PartT:
    """A part with its options.

    Raises:
        ComponentError: It refuses them, or its code fails.
    """
    called = getattr(found, "name", found.__qualname__)
    try:
        return parse_settings(options, found)
    except SettingsError as problem:
        said = "; ".join(map(str, problem.violations)) or str(problem)
    except Exception as problem:  # it is someone's own code
        said = f"it raised {told(problem)}"
    raise ComponentError(f"{kind} is refused", [FieldViolation(at, f"{called}: {said}")])


@dataclass(frozen=True, eq=False)
class Named:
    """Marks a field that holds a part: `Annotated[FeatureGroup, Named(FeatureGroup, FEATURES)]`.

    Without a door the field takes only parts that were made already, in Python or by whoever knows
    which are allowed: it is for what bundles say.

    Attributes:
        base: What the part is an instance of.
        door: Where its name is looked up.
        inline: It is written `{name: NAME, ...options}`, as features extractors are.
        plain: Names that stay as they are: what they stand for is no part.
    """

    base: type[Part]
    door: Door[Any] | None = None
    inline: bool = False
    plain: tuple[str, ...] = ()

    def __get_pydantic_core_schema__(
        self, _source: Any, _handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._take,
            serialization=core_schema.plain_serializer_function_ser_schema(
                self._write, info_arg=True
            ),
        )

    def __get_pydantic_json_schema__(
        self, _schema: core_schema.CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        key = "name" if self.inline else "kind"
        name: dict[str, Any] = {"type": "string", "examples": list(self.plain)}
        name["description"] = "a name, or package.module:Attribute"
        options = {} if self.inline else {"options": {"type": "object"}}
        described = {"type": "object", "properties": {key: name, **options}, "required": [key]}
        return {"anyOf": [name, described]}

    def _take(self, value: Any) -> Part | str:
        """A part as it is, or the one that is named; pydantic says in which field."""
        if isinstance(value, str) and value in self.plain:
            return value
        if isinstance(value, self.base):
            if isinstance(value, VersionedPart):
                self._as_value(check_version, self.base.__name__, type(value), "")
            return value
        kind, options = _split(value, inline=self.inline)
        if isinstance(kind, type) and issubclass(kind, self.base):  # as `_write` gave it
            return kind(**options)
        if self.door is None:
            plain = "".join(f"{name}, " for name in self.plain)
            raise ValueError(f"must be {plain}or an instance of {self.base.__name__}")
        made: Part = self._as_value(part_of, self.door, value, "", inline=self.inline)
        return made

    @staticmethod
    def _as_value(do: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return do(*arguments, **options)
        except ComponentError as problem:
            raise ValueError("; ".join(map(str, problem.violations))) from problem

    def _write(self, part: Part | str, info: Any) -> Any:
        if isinstance(part, str):
            return part
        if isinstance(part, VersionedPart) and self.door is None and info.mode == "json":
            return part.recorded()
        # A class that was given in Python may be one that no name leads to.
        kind = part.kind if info.mode == "json" else vars(part).get("kind", type(part))
        options = part.model_dump(mode=info.mode)
        return {"name": kind, **options} if self.inline else {"kind": kind, "options": options}
