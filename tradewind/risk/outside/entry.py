"""How a risk policy names a calculator from outside, and who may have it imported."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Self, TypeVar

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from tradewind.components import Door, an_instance
from tradewind.errors import ComponentError
from tradewind.risk.outside.declaration import PythonCalculator
from tradewind.risk.outside.trial import Declared, declared_by, tried
from tradewind.settings import Settings

__all__ = ["DOOR", "IMPORTS", "LoadedCalculator", "OutsideCalculator"]

DOOR: Final = Door("calculator", an_instance(PythonCalculator), group="tradewind.calculators")
IMPORTS: Final = MappingProxyType({"imports": True})
"""Validation context of a policy whose calculators may be imported."""

_UNKNOWN: Final = PydanticCustomError(
    "extra_forbidden",
    "Extra inputs are not permitted: there is no such calculator, and one from outside says `use`",
)
_CLOSED: Final = (
    "names code, and this policy is not one that may: only a policy file that the operator's own "
    "settings name, or the caller's Python, has a calculator imported"
)


@dataclass(frozen=True)
class LoadedCalculator:
    """A calculator from outside that has been let in.

    Attributes:
        calculator: What was imported.
        settings: Its settings.
        declared: What it declares under them.
        cost_us: Time of a call, measured on a made-up account.
    """

    calculator: PythonCalculator[Any]
    settings: Settings
    declared: Declared
    cost_us: float


EntryT = TypeVar("EntryT", bound="OutsideCalculator")


class OutsideCalculator(Settings):
    """A calculator from outside, under its name."""

    use: str = Field(max_length=160)
    """Where it is: `package.module:Attribute`, or a name that an installed package announces in the
    entry points `tradewind.calculators`. Python may give the PythonCalculator itself."""
    version: int | None = Field(default=None, ge=1)
    """The version that it must have; by default whichever is installed."""
    enabled: bool = True
    """False neither imports nor calculates it."""
    budget_us: float = Field(default=1_000.0, gt=0.0, exclude=True)
    """The longest that a call may take, in microseconds: one that takes longer on a made-up account
    is refused, and ten such calls in a row make its metrics unavailable until the policy is loaded
    anew. No part of the digest."""
    settings: Mapping[str, Any] = Field(default_factory=dict)
    """Its own settings; those that differ from its defaults are kept."""
    metrics: Mapping[str, str] = Field(default_factory=dict)
    """Filled in when it is imported: unit of each metric, in the order of the reports."""
    windows: Mapping[str, int] = Field(default_factory=dict)
    """Filled in when it is imported: how much of each series it looks back over."""

    _loaded: LoadedCalculator | None = PrivateAttr(default=None)

    @property
    def loaded(self) -> LoadedCalculator | None:
        """The calculator; None for one of a policy that has none imported."""
        return self._loaded

    @property
    def part(self) -> str:
        """What it is called in a digest (`tradewind.identity`)."""
        return self.use if ":" in self.use else f"{DOOR.group}:{self.use}"

    @property
    def all_settings(self) -> Mapping[str, Any]:
        """Its own settings, with the defaults spelled out if they are known here."""
        return self._loaded.settings.model_dump(mode="json") if self._loaded else self.settings

    @model_validator(mode="wrap")
    @classmethod
    def _load(
        cls, value: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        if isinstance(value, cls):
            return value
        if not (isinstance(value, Mapping) and "use" in value):
            raise _UNKNOWN
        given = value["use"]
        if isinstance(given, PythonCalculator):
            value = {**value, "use": given.name}
        record = handler(value)
        if not record.enabled:
            return record
        if isinstance(given, PythonCalculator):
            return _let_in(record, given)
        if (info.context or {}).get("imports"):
            try:
                found = DOOR.find(record.use, "use")
            except ComponentError as no:
                raise _refusal(("use",), no.violations[0].description) from None
            return _let_in(record, found)
        if record.version is None or not record.metrics:
            raise _refusal(("use",), _CLOSED)
        return record


def _let_in(record: EntryT, calculator: PythonCalculator[Any]) -> EntryT:
    """The record, completed by the calculator that it names."""
    version = calculator.version
    if record.version not in (None, version):
        raise _refusal(
            ("version",), f"{record.use} has version {version}, the policy says {record.version}"
        )
    try:
        settings = calculator.settings.model_validate(dict(record.settings))
        stated = settings.model_dump(mode="json", exclude_defaults=True)
        same = calculator.settings.model_validate(stated) == settings
    except ValidationError as no:
        raise _refusals(no.errors(include_url=False), ("settings",)) from None
    except Exception as no:  # it is someone's own code
        raise _refusal(("settings",), f"{type(no).__name__}: {no}") from None
    if not same:
        raise _refusal(("settings",), "do not come back the same when they are written as JSON")
    try:
        declared = declared_by(calculator, settings)
        cost_us = tried(calculator, settings, declared)
    except ValueError as no:
        raise _refusal(("use",), f"{record.use}: {no}") from None
    for field, own in (("metrics", declared.metrics), ("windows", declared.windows)):
        if getattr(record, field) not in ({}, own):
            raise _refusal((field,), f"{record.use} declares {own}; leave it out")
    if cost_us > record.budget_us:
        raise _refusal(
            ("budget_us",),
            f"a call takes {cost_us:,.0f} µs, and may take {record.budget_us:,.0f}: make "
            f"{record.use} faster, or allow it more",
        )
    full = record.model_copy(
        update={
            "version": version,
            "settings": stated,
            "metrics": declared.metrics,
            "windows": declared.windows,
        }
    )
    full._loaded = LoadedCalculator(calculator, settings, declared, cost_us)
    return full


def _refusal(at: tuple[str, ...], problem: str) -> ValidationError:
    kind = PydanticCustomError("calculator", "{problem}", {"problem": problem})
    return ValidationError.from_exception_data(
        "calculator", [InitErrorDetails(type=kind, loc=at, input=None)]
    )


def _refusals(errors: list[ErrorDetails], at: tuple[str, ...]) -> ValidationError:
    return ValidationError.from_exception_data(
        "calculator",
        [
            InitErrorDetails(
                type=PydanticCustomError("calculator", "{problem}", {"problem": each["msg"]}),
                loc=(*at, *each["loc"]),
                input=None,
            )
            for each in errors
        ],
    )
