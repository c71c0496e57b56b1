"""What a contract is, in one number: the parts that it names, each with its version.

A digest is taken over parts. A part is `name@version` with the settings that differ from the
defaults of that version; one from outside is `package.module:Attribute@version`. So a release that
adds a part, or a setting whose default does what was done before, leaves every digest as it was. A
release that changes a formula, or a default, raises the version of the part, and with it every
digest that the part stands in.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from math import copysign
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, JsonValue
from pydantic_core import to_jsonable_python

__all__ = [
    "FORMER_VERSION",
    "Identity",
    "Match",
    "Parts",
    "RecordedParts",
    "changed_formulas",
    "part_key",
    "stated",
    "versions_of",
]

Parts = Mapping[str, Any]
"""The settings of each part that differ from its defaults, as JSON values, by `name@version`."""

RecordedParts = dict[Annotated[str, Field(pattern=r"^[\w.:-]{1,200}@[1-9][0-9]{0,5}$")], JsonValue]
"""Parts as a file has them."""

FORMER_VERSION: Final = 1
"""The version of every part in release 0.1, whose digests were taken over all settings."""

_LARGEST_EXACT: Final = 2.0**53
_MOST_SAID: Final = 5


@dataclass(frozen=True, slots=True)
class Match:
    """What came of comparing a digest with an identity.

    Attributes:
        same: Both are of one contract.
        former: The digest has the form of release 0.1.
        formulas: Parts whose formula is another one here, in words.
        reason: Why they are not the same, for people; empty when they are.
    """

    same: bool
    former: bool = False
    formulas: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Identity:
    """The parts of a contract.

    Attributes:
        kind: What it is the contract of, such as "risk policy": no digest is one of another kind.
        parts: Its parts.
        former: Its digest in the form of release 0.1; None when that release could not say it.
    """

    kind: str
    parts: Parts
    former: str | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the parts, whatever their order, in hexadecimal."""
        return _digest(self.kind, self.parts)

    def match(self, digest: str, parts: Parts | None) -> Match:
        """Whether a digest that was recorded elsewhere is that of this contract.

        Args:
            digest: The digest.
            parts: What it was taken over; None where that was not recorded, as by release 0.1.
        """
        if digest == self.digest:
            return Match(True)
        if parts is None:
            if digest != self.former:
                return Match(False, reason=f"its digest is {digest}, here it is {self.digest}")
            return self.match_former()
        if _digest(self.kind, parts) != digest:
            return Match(False, reason=f"{digest} is not the digest of the parts beside it")
        formulas = changed_formulas(versions_of(parts), versions_of(self.parts))
        differences = [*formulas, *_differences(parts, self.parts)]
        return Match(False, formulas=formulas, reason=_joined(differences))

    def match_former(self) -> Match:
        """Whether this contract is as release 0.1 knew it: with the first version of every part."""
        here = versions_of(self.parts)
        formulas = changed_formulas(dict.fromkeys(here, FORMER_VERSION), here)
        return Match(not formulas, former=True, formulas=formulas, reason=_joined(formulas))


def part_key(name: str, version: int) -> str:
    """What a part is called in a digest."""
    return f"{name}@{version}"


def versions_of(parts: Parts) -> dict[str, int]:
    """The version of each part, by its name."""
    split = (key.rpartition("@") for key in parts)
    return {name: int(version) for name, _, version in split}


def changed_formulas(there: Mapping[str, int], here: Mapping[str, int]) -> tuple[str, ...]:
    """The parts of both that have another version, in words."""
    return tuple(
        f"{name} has version {there[name]} there and {here[name]} here: another formula"
        for name in sorted(there.keys() & here.keys())
        if there[name] != here[name]
    )


def stated(settings: BaseModel, names: Collection[str] | None = None) -> dict[str, Any]:
    """The settings that differ from their defaults, as JSON values, by the names files use.

    Numbers that are equal give equal text, whether they are whole or not, so that a setting may
    come to take fractions. A field that is excluded from the model's JSON is no part of it.

    Args:
        settings: The settings.
        names: Fields to look at; all by default.
    """
    found = {}
    for name, field in type(settings).model_fields.items():
        if field.exclude or (names is not None and name not in names):
            continue
        value = _plain(getattr(settings, name))
        if not field.is_required():
            default = _plain(field.get_default(call_default_factory=True))
            if _text(value) == _text(default):
                continue
        found[field.alias or name] = value
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return stated(value)
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Set):
        return sorted((_plain(item) for item in value), key=_text)
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) <= _LARGEST_EXACT
        return int(value) if whole and (value or copysign(1.0, value) > 0.0) else value
    if value is None or isinstance(value, str | int):
        return value
    return _plain(to_jsonable_python(value))


def _digest(kind: str, parts: Parts) -> str:
    return hashlib.sha256(_text({"kind": kind, "parts": parts}).encode()).hexdigest()


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _differences(there: Parts, here: Parts) -> Iterator[str]:
    """What differs beside formulas, in words."""
    names = versions_of(there), versions_of(here)
    for name in sorted(names[0].keys() ^ names[1].keys()):
        yield f"{name} takes part {'there' if name in names[0] else 'here'} only"
    for key in sorted(there.keys() & here.keys()):
        yield from _setting_changes(key.rpartition("@")[0], there[key], here[key])


def _setting_changes(path: str, there: Any, here: Any) -> Iterator[str]:
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for name in sorted(there.keys() | here.keys()):
            values = there.get(name, _UNSAID), here.get(name, _UNSAID)
            yield from _setting_changes(f"{path}.{name}", *values)
    elif there != here:
        yield f"{path} is {_said(there)} there and {_said(here)} here"


_UNSAID: Final = object()


def _said(value: Any) -> str:
    return "its default" if value is _UNSAID else _text(value)


def _joined(differences: Sequence[str]) -> str:
    rest = len(differences) - _MOST_SAID
    return "; ".join(differences[:_MOST_SAID]) + (f"; and {rest} more" if rest > 0 else "")
