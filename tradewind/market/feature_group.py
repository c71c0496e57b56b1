"""Groups of features in a file of their own: what one is, and where it comes in."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final, NamedTuple, Self

from numpy.typing import ArrayLike

from tradewind.components import Door, a_class, classes_in
from tradewind.errors import ComponentError, FieldViolation, SettingsError
from tradewind.market.bars import FloatArray, TimestampArray
from tradewind.parts import VersionedPart, check_version, make_part

__all__ = [
    "FEATURES",
    "BarWindow",
    "FeatureGroup",
    "KnownGroups",
    "known_groups",
    "recorded_groups",
]


class BarWindow(NamedTuple):
    """Bars of one symbol, oldest first, to be read and not written. Shape of each array [n].

    Attributes:
        timestamps_ns: Start of each bar, nanoseconds since the epoch (UTC).
        open: First prices.
        high: Highest prices.
        low: Lowest prices.
        close: Last prices.
        volume: Traded volumes.
    """

    timestamps_ns: TimestampArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray

    def part(self, start: int, stop: int) -> "BarWindow":
        """The bars of some places."""
        columns: Any = (column[start:stop] for column in self)
        return BarWindow(*columns)


class FeatureGroup(VersionedPart):
    """Features that are a function of the last `lookback` bars and nothing else.

    A subclass declares `name` and `version`, its options as fields, and what stands below. Its
    numbers become part of the market's part of an observation, clipped like all others; in training
    and in production they are what `row` gives.
    """

    budget_us: ClassVar[float] = 1_000.0
    """Microseconds that one bar may take; a slower group is refused at the start."""

    @property
    @abstractmethod
    def lookback(self) -> int:
        """How many bars one row looks at."""

    @property
    @abstractmethod
    def component_names(self) -> tuple[str, ...]:
        """A name for every number of a row, in order; with its options, so that they differ."""

    @abstractmethod
    def row(self, window: BarWindow) -> ArrayLike:
        """The numbers after the last bar of a window of exactly `lookback` bars; all finite."""

    def of_market(self, market: str) -> Self:  # noqa: ARG002 - for those who know of markets
        """The group for bars of a market, by its name; itself where it knows of none.

        Raises:
            MarketDataError: It is for bars of another one.
        """
        return self

    def rows(self, bars: BarWindow) -> FloatArray | None:  # noqa: ARG002
        """The numbers after each bar of a series: what `row` gives, to the last bit.

        Training asks for it once for all bars. Override it where that is faster; None has `row`
        called for every bar. What stands in the first `lookback - 1` rows does not matter.
        Shape [n, components].
        """
        return None


FEATURES: Final[Door[type[FeatureGroup]]] = Door(
    "feature group",
    a_class(FeatureGroup),  # type: ignore[type-abstract]
    lambda: classes_in("tradewind.market.feature_groups", FeatureGroup),
    "tradewind.features",
)

KnownGroups = Mapping[str, type[FeatureGroup]]
"""The groups that a specification of a bundle may name, by name."""


def known_groups(allowed: Iterable[str] = (), at: str = "features") -> KnownGroups:
    """The groups that may be built here: Tradewind's own, and those that the operator lists.

    Args:
        allowed: Names, and `package.module:Attribute`, from the operator's settings.
        at: Where they stand, for an error.

    Raises:
        ComponentError: One cannot be had, is no group, or has the name of another one.
    """
    known: dict[str, type[FeatureGroup]] = {}
    wanted = [*FEATURES.own_parts(), *allowed]
    for wanted_name in wanted:
        found = FEATURES.find(wanted_name, at)
        check_version(FEATURES.kind, found, at)
        other = known.setdefault(found.name, found)
        if other is not found:
            said = (
                f"{found.__module__}:{found.__qualname__} and {other.__module__}:"
                f"{other.__qualname__} both have the name {found.name!r}; leave one of them out"
            )
            raise ComponentError("feature group is refused", [FieldViolation(at, said)])
    return known


def recorded_groups(
    recorded: Any, known: KnownGroups, at: str = "groups"
) -> tuple[FeatureGroup, ...]:
    """Makes the groups that a bundle or a log names; it imports nothing.

    Args:
        recorded: Of each group `name`, `version` and `options`.
        known: What may be made here.
        at: Where they stand, for an error.

    Raises:
        SettingsError: One is not known here, or not in that version, or is written in another way.
    """
    if not isinstance(recorded, list | tuple):
        raise _refused(at, f"must be a list of groups, not {type(recorded).__name__}")
    made = []
    for place, values in enumerate(recorded):
        here = f"{at}[{place}]"
        if not isinstance(values, Mapping) or set(values) != {"name", "version", "options"}:
            raise _refused(here, "must have name, version and options, and nothing else")
        name, version = values["name"], values["version"]
        found = known.get(name) if isinstance(name, str) else None
        if found is None or type(version) is not int or found.version != version:
            there = (
                "it is not known here" if found is None else f"here it is {name}@{found.version}"
            )
            raise _refused(
                here,
                f"needs the feature group {name}@{version}; {there}: install the package "
                "that has it, and name it under `features` of the settings, as "
                "`features: [package.module:Attribute]`; a bundle alone never has code imported",
            )
        made.append(make_part(FEATURES.kind, found, values["options"], f"{here}.options"))
    return tuple(made)


def _refused(at: str, said: str) -> SettingsError:
    return SettingsError("feature specification is refused", [FieldViolation(at, said)])
