"""Walk-forward splits: always trained on the past, always judged on what came after."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from pydantic import Field, PositiveInt

from tradewind.errors import FieldViolation, MarketDataError, SettingsError
from tradewind.settings import Settings

__all__ = ["Split", "WalkForwardConfig", "walk_forward_splits"]


class WalkForwardConfig(Settings):
    """How a series of bars is split."""

    folds: int = Field(default=4, ge=2, le=100)
    """Trainings, each judged on bars of its own."""

    window: Literal["expanding", "rolling"] = "expanding"
    """Whether each training starts at the first bar, or is as long as the first training."""

    initial_fraction: float = Field(default=0.5, gt=0.0, lt=1.0)
    """Share of the bars that the first training learns from; the folds divide the others."""

    embargo_bars: PositiveInt | None = None
    """Bars between the end of a training and the first decision it is judged by. None takes the
    lookback of the features, which is also the least: no observation then sees both."""


@dataclass(frozen=True, slots=True)
class Split:
    """Bars of one fold, as half-open ranges of indices.

    Attributes:
        train: Bars to learn from.
        test: Bars to be judged on, those before the first decision included.
    """

    train: tuple[int, int]
    test: tuple[int, int]


def walk_forward_splits(
    bar_count: int, lookback: int, config: WalkForwardConfig
) -> tuple[Split, ...]:
    """Splits a series.

    Args:
        bar_count: Bars of the series.
        lookback: Bars that one observation looks at.
        config: How to split.

    Returns:
        One split a fold, oldest first. The test bars of a fold end where those of the next begin,
        but for the embargo; decisions are made on them from the `lookback`-th on.

    Raises:
        SettingsError: The embargo is shorter than the lookback.
        MarketDataError: A fold has no bar left to be judged on, or none to learn from.
    """
    embargo = lookback if config.embargo_bars is None else config.embargo_bars
    if embargo < lookback:
        violation = FieldViolation(
            "embargo_bars", f"must not be below the lookback of the features ({lookback})"
        )
        raise SettingsError("walk-forward settings are refused", [violation])
    first = round(bar_count * config.initial_fraction)
    rest = bar_count - first
    edges = [first + rest * fold // config.folds for fold in range(config.folds + 1)]
    shortest = min(after - before for before, after in pairwise(edges))
    if first < lookback + 1 or shortest < embargo + 1:
        raise MarketDataError(
            f"{bar_count} bars are too few for {config.folds} folds: they leave {first} bars to "
            f"the first training, which needs more than {lookback}, and {shortest} to a fold, "
            f"which needs more than the embargo of {embargo}"
        )
    return tuple(
        Split(
            train=(0 if config.window == "expanding" else end - first, end),
            test=(end + embargo - lookback, stop),
        )
        for end, stop in pairwise(edges)
    )
