"""The routing file: which variants share the calls of a policy, and which only watch."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from tradewind.bundle import SERVED_LABEL, BundleVersion, check_policy_name
from tradewind.bundle.names import POLICY_NAME_PATTERN, check_label
from tradewind.errors import FieldViolation, InvalidInputError, SettingsError
from tradewind.serving import VariantBounds
from tradewind.settings import Location, Settings, parse_settings, parse_yaml

__all__ = [
    "MAX_ROUTING_BYTES",
    "PolicyRoutingSettings",
    "RoutingFile",
    "RoutingSettings",
    "ShadowSettings",
    "Target",
    "VariantSettings",
    "parse_routing",
]

_TOLERANCE: Final = 1e-9
MAX_ROUTING_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """What a variant stands for: a version, or a label, of a policy."""

    policy: str
    version: str = ""
    label: str = ""

    @classmethod
    def parse(cls, text: str, policy: str) -> Self:
        """Reads `2026-11-22.1`, `champion` or `other-policy/champion`.

        Raises:
            InvalidInputError: It is none of these.
        """
        other, slash, name = text.rpartition("/")
        if slash:
            policy = check_policy_name(other)
        if "." in name:  # which no label has
            return cls(policy, version=str(BundleVersion.parse(name)))
        return cls(policy, label=name if name == SERVED_LABEL else check_label(name))


def _check_target(text: str) -> str:
    try:
        Target.parse(text, "any")
    except InvalidInputError:
        raise ValueError(
            f"{text!r} is neither a version, a label nor POLICY/VERSION or POLICY/LABEL"
        ) from None
    return text


Name = Annotated[str, Field(pattern=POLICY_NAME_PATTERN)]
TargetText = Annotated[str, AfterValidator(_check_target)]


class ShadowSettings(Settings):
    """One that computes an answer to every call, which is recorded and never given."""

    name: Name
    """What answers, records and metrics call it."""

    target: TargetText
    """A version, a label, or `POLICY/` and one of these for another policy's."""


class VariantSettings(ShadowSettings):
    """One of those that share the calls."""

    weight: float = Field(ge=0.0, le=100.0)
    """Its share of the calls; those of a policy add up to 1, or to 100."""

    bounds: VariantBounds | None = None
    """When it is taken out; not for the champion."""


class PolicyRoutingSettings(Settings):
    """How the calls of one policy are shared."""

    champion: str = ""
    """The variant that answers in place of one that cannot; by default the first."""

    salt: str = Field(default="", max_length=256)
    """Another one assigns the routing keys anew; by default the policy's name."""

    variants: tuple[VariantSettings, ...] = Field(min_length=1, max_length=16)
    """Those that share the calls."""

    shadows: tuple[ShadowSettings, ...] = Field(default=(), max_length=8)
    """Those that only watch."""

    @property
    def champion_name(self) -> str:
        """Name of the variant that stands in for the others."""
        return self.champion or self.variants[0].name

    @property
    def shares(self) -> tuple[float, ...]:
        """Weights of the variants as fractions of 1."""
        total = math.fsum(variant.weight for variant in self.variants)
        return tuple(variant.weight / total for variant in self.variants)

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [item.name for item in (*self.variants, *self.shadows)]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"more than one variant or shadow is named {', '.join(repeated)}")
        total = math.fsum(variant.weight for variant in self.variants)
        if not any(math.isclose(total, whole, rel_tol=_TOLERANCE) for whole in (1.0, 100.0)):
            raise ValueError(f"the weights add up to {total:.10g} instead of 1 or 100")
        champions = [one for one in self.variants if one.name == self.champion_name]
        if not champions:
            raise ValueError(f"champion {self.champion!r} is none of the variants")
        if champions[0].bounds is not None:
            raise ValueError(
                f"{self.champion_name!r} is the champion, whose share nobody could take over: "
                "bounds are for challengers"
            )
        return self


class RoutingSettings(Settings):
    """The whole file."""

    policies: dict[Name, PolicyRoutingSettings] = Field(default_factory=dict)
    """By policy; one that is not named is not routed."""

    def targets(self) -> Iterator[tuple[Location, Target]]:
        """Where each target stands in the file, and what it names."""
        for policy, routing in self.policies.items():
            parts: dict[str, tuple[ShadowSettings, ...]] = {
                "variants": routing.variants,
                "shadows": routing.shadows,
            }
            for part, items in parts.items():
                for place, item in enumerate(items):
                    at = ("policies", policy, part, place, "target")
                    yield at, Target.parse(item.target, policy)


@dataclass(frozen=True, slots=True, eq=False)
class RoutingFile:
    """A routing file that was read and is what a routing file must be.

    Attributes:
        settings: What it says.
        source: What it is called in an error.
        text: Its bytes.
        sha256: Of its bytes.
        lines: Where each key stands.
    """

    settings: RoutingSettings
    source: str
    text: bytes
    sha256: str
    lines: Mapping[Location, int]

    @property
    def has_bounds(self) -> bool:
        """Whether any challenger can be taken out by itself."""
        routings = self.settings.policies.values()
        return any(variant.bounds for routing in routings for variant in routing.variants)

    def check_targets(self, why_unknown: Callable[[Target], str]) -> None:
        """Checks that all targets exist.

        Args:
            why_unknown: Says what a target names that does not exist; empty when all of it does.

        Raises:
            SettingsError: Some do not; every violation names its line.
        """
        violations = []
        for at, target in self.settings.targets():
            unknown = why_unknown(target)
            if unknown:
                _, policy, part, place, key = at
                field = f"policies.{policy}.{part}[{place}].{key}"
                violations.append(FieldViolation(field, f"{unknown} (line {self.lines[at]})"))
        if violations:
            raise SettingsError(f"{self.source} is refused", violations)


def parse_routing(text: bytes, source: str) -> RoutingFile:
    """Checks the bytes of a routing file, all but whether its targets exist.

    Raises:
        SettingsError: They are not what a routing file must be; every violation names its line.
    """
    if len(text) > MAX_ROUTING_BYTES:
        raise SettingsError(f"{source} is larger than {MAX_ROUTING_BYTES} bytes")
    values, lines = parse_yaml(text, source)
    settings = parse_settings(values, RoutingSettings, source=source, lines=lines)
    return RoutingFile(settings, source, text, hashlib.sha256(text).hexdigest(), lines)
