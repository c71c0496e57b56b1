"""The specification of an observation, as a bundle carries it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from tradewind.identity import Identity, Parts, part_key, stated
from tradewind.market.feature_group import (
    FeatureGroup,
    KnownGroups,
    known_groups,
    recorded_groups,
)
from tradewind.market.feature_kernels import MarketParameters
from tradewind.part_options import told
from tradewind.parts import Named
from tradewind.settings import Settings, parse_settings

__all__ = ["BUILT_IN_GROUPS", "POSITION_COMPONENTS", "BuiltInGroup", "FeatureSpec"]

POSITION_COMPONENTS: Final = (
    "position_exposure",
    "position_unrealized_return",
    "position_holding_time",
)


class BuiltInGroup(NamedTuple):
    """One of the groups of features that every FeatureSpec has.

    Attributes:
        name: What it is called in a digest.
        version: Of its formula: who changes the formula raises it.
        settings: The settings of FeatureSpec that it goes by. It is left out of an observation
            where the first of them is empty, None or False.
    """

    name: str
    version: int
    settings: tuple[str, ...]


BUILT_IN_GROUPS: Final = (
    BuiltInGroup("log_returns", 1, ("return_count",)),
    BuiltInGroup("volatility", 1, ("volatility_windows",)),
    BuiltInGroup("rsi", 1, ("rsi_period",)),
    BuiltInGroup("ema_ratio", 1, ("ema_periods", "ema_depth")),
    BuiltInGroup("vwap_ratio", 1, ("vwap_window",)),
    BuiltInGroup("time_of_day", 1, ("time_of_day",)),
    BuiltInGroup("position", 1, ("position", "holding_cap_bars")),
    BuiltInGroup("bars", 1, ("bar_seconds",)),
    BuiltInGroup("scaling", 1, ("scale", "clip")),
)
"""The groups in the order of their components; the last two shape all of them."""

_LONGEST_WINDOW: Final = 10_000


_FORMER_FIELDS: Final = frozenset(
    {
        "version", "bar_seconds", "return_count", "volatility_windows", "rsi_period", "ema_periods",
        "ema_depth", "vwap_window", "time_of_day", "position", "holding_cap_bars", "scale", "clip",
    }
)  # fmt: skip
"""What release 0.1 took the digest over."""

ReturnCount = Annotated[int, Field(ge=1, le=_LONGEST_WINDOW)]
Period = Annotated[int, Field(ge=2, le=_LONGEST_WINDOW)]


class FeatureSpec(Settings):
    """What an observation is made of; equal specifications give equal observations.

    Every feature is a function of the last `lookback` bars and the position, so it does not matter
    where a series began. All but RSI, time of day and position are logarithmic ratios or their
    deviations times `scale`. Everything is clipped to [-clip, clip].
    """

    version: Literal[1] = 1
    """Version of this form of a specification; each formula has a version of its own (`parts`)."""

    bar_seconds: float = Field(default=1800.0, gt=0.0)
    """Length of a bar; bars of another length are refused."""

    return_count: ReturnCount = 16
    """Log returns of the last bars, oldest first."""

    volatility_windows: tuple[Period, ...] = (16, 96)
    """Numbers of log returns to take the sample standard deviation (ddof 1) of."""

    rsi_period: Period | None = 14
    """Cutler's RSI, from -1 (only losses) to 1 (only gains); 0 when nothing moved."""

    ema_periods: tuple[Period, ...] = (8, 24)
    """Log ratios of the close to exponential moving averages, α = 2 / (period + 1)."""

    ema_depth: int = Field(default=4, ge=1, le=20)
    """An average ends this many periods back, and its weights sum to 1; at 4 that leaves out
    0.03 % of the weight of the endless one."""

    vwap_window: Period | None = 48
    """Log ratio of the close to the volume-weighted typical price of these bars; to their mean
    typical price when nothing was traded."""

    time_of_day: bool = True
    """Sine and cosine of the time of day (UTC) at which the newest bar started."""

    position: bool = True
    """Exposure, unrealised return times `scale`, and holding time."""

    groups: tuple[Annotated[FeatureGroup, Named(FeatureGroup)], ...] = ()
    """More features of the bars, by `tradewind.market.FeatureGroup`: they stand after those above
    and before the position. A bundle has each as its name, version and options."""

    holding_cap_bars: int = Field(default=96, ge=1)
    """Holding time is bars held as a fraction of these, at most 1."""

    scale: float = Field(default=100.0, gt=0.0)
    """100 puts returns in percent."""

    clip: float = Field(default=10.0, ge=1.0)
    """Largest magnitude of a component."""

    @field_validator("volatility_windows", "ema_periods")
    @classmethod
    def _refuse_repetitions(cls, periods: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(periods)) != len(periods):
            raise ValueError("each window may stand there only once")
        return periods

    @field_validator("groups")
    @classmethod
    def _check_groups(cls, groups: tuple[FeatureGroup, ...]) -> tuple[FeatureGroup, ...]:
        for group in groups:
            lookback, own = _declared(group)
            if type(lookback) is not int or not 1 <= lookback <= _LONGEST_WINDOW:
                raise ValueError(
                    f"{group.identity} has the lookback {lookback!r}; it must be a whole number of "
                    f"bars from 1 to {_LONGEST_WINDOW}"
                )
            if not (isinstance(own, tuple) and own and all(isinstance(it, str) for it in own)):
                raise ValueError(f"{group.identity} must have component_names, a tuple of names")
        return groups

    @model_validator(mode="after")
    def _refuse_names_twice(self) -> Self:
        names = self.component_names if self.groups else ()
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"groups: two components have the name {', '.join(twice)}")
        return self

    @classmethod
    def read(cls, recorded: Mapping[str, Any], known: KnownGroups | None = None) -> Self:
        """Reads the specification that a bundle or a log has; it imports nothing.

        Args:
            recorded: The specification as JSON.
            known: The groups that it may name; by default Tradewind's own.

        Raises:
            SettingsError: It is refused, or a group of it is not known here in its version.
        """
        values = dict(recorded)
        if "groups" in values:
            known = known_groups() if known is None else known
            values["groups"] = recorded_groups(values["groups"], known, "features.groups")
        return parse_settings(values, cls, source="features")

    def of_market(self, market: str) -> Self:
        """The specification for bars of a market, by its name: groups that ask for it know it.

        Raises:
            MarketDataError: A group is for bars of another market.
        """
        groups = tuple(group.of_market(market) for group in self.groups)
        return self if groups == self.groups else self.model_copy(update={"groups": groups})

    @property
    def component_names(self) -> tuple[str, ...]:
        """A name for every component of the observation, in order."""
        return self.market_component_names + (POSITION_COMPONENTS if self.position else ())

    @property
    def market_component_names(self) -> tuple[str, ...]:
        """The names of the components that depend on bars alone."""
        names = [f"log_return_lag_{lag}" for lag in reversed(range(self.return_count))]
        names += [f"volatility_{window}" for window in self.volatility_windows]
        names += [f"rsi_{self.rsi_period}"] if self.rsi_period else []
        names += [f"ema_ratio_{period}" for period in self.ema_periods]
        names += [f"vwap_ratio_{self.vwap_window}"] if self.vwap_window else []
        names += ["time_of_day_sin", "time_of_day_cos"] if self.time_of_day else []
        names += [name for group in self.groups for name in group.component_names]
        return tuple(names)

    @property
    def observation_size(self) -> int:
        """How many components an observation has."""
        return len(self.component_names)

    @property
    def market_size(self) -> int:
        """How many of them, the first ones, depend on bars alone."""
        return len(self.market_component_names)

    @property
    def lookback(self) -> int:
        """How many bars an observation looks at: the warm-up before the first one."""
        return max(
            self.return_count + 1,
            *(window + 1 for window in self.volatility_windows),
            *(period * self.ema_depth for period in self.ema_periods),
            (self.rsi_period or 0) + 1,
            self.vwap_window or 0,
            *(group.lookback for group in self.groups),
        )

    @property
    def interval_ns(self) -> int:
        """Length of a bar in nanoseconds."""
        return round(self.bar_seconds * 1e9)

    @property
    def parts(self) -> Parts:
        """The groups that there are, as what the digest is taken over (`tradewind.identity`)."""
        parts = {
            part_key(group.name, group.version): stated(self, group.settings)
            for group in BUILT_IN_GROUPS
            if getattr(self, group.settings[0])
        }
        # In their order, which is that of their components.
        for number, own in enumerate(self.groups, start=1):
            parts[part_key(f"{number}:{own.name}", own.version)] = stated(own)
        of_groups = {name for group in BUILT_IN_GROUPS for name in group.settings} | {"groups"}
        other = stated(self, type(self).model_fields.keys() - of_groups)
        return parts | ({part_key("other", 1): other} if other else {})

    @property
    def digest(self) -> str:
        """SHA-256 over the parts, in hexadecimal."""
        return Identity("features", self.parts).digest

    @property
    def identity(self) -> Identity:
        """The parts, and the digest that release 0.1 would have given."""
        former = None
        if stated(self).keys() <= _FORMER_FIELDS:
            values = self.model_dump(mode="json", include=set(_FORMER_FIELDS))
            text = json.dumps(values, sort_keys=True, separators=(",", ":"))
            former = hashlib.sha256(text.encode()).hexdigest()
        return Identity("features", self.parts, former)

    @property
    def market_parameters(self) -> MarketParameters:
        """The specification as the kernels take it; a new one each time."""
        return MarketParameters(
            return_count=self.return_count,
            volatility_windows=np.array(self.volatility_windows, dtype=np.int64),
            rsi_period=self.rsi_period or 0,
            ema_periods=np.array(self.ema_periods, dtype=np.int64),
            ema_depth=self.ema_depth,
            vwap_window=self.vwap_window or 0,
            time_of_day=self.time_of_day,
            scale=self.scale,
            clip=self.clip,
        )


def _declared(group: FeatureGroup) -> tuple[object, object]:
    """What a group says of itself, which is someone's own code."""
    try:
        return group.lookback, group.component_names
    except Exception as problem:
        raise ValueError(f"{group.identity} raised {told(problem)}") from None
