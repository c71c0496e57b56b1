"""Parts of an operator's own, which a trainer service is allowed to import."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tradewind.market import Bars, BarWindow, FeatureGroup, load_sample
from trainer_service import DataSource, Reward, RewardWindow, TrackedRun, Tracker, TrackerSettings
from trainer_service.algorithms.built_in.dqn import DQN


class Cautious(DQN):
    """DQN by another name."""

    name = "CAUTIOUS"


class Gap(FeatureGroup):
    """Log ratio of the open to the close before, in percent."""

    name: ClassVar[str] = "gap"
    version: ClassVar[int] = 4

    @property
    def lookback(self) -> int:
        """Two bars."""
        return 2

    @property
    def component_names(self) -> tuple[str, ...]:
        """One."""
        return ("gap",)

    def row(self, window: BarWindow) -> list[float]:
        """After a bar."""
        return [float(np.log(window.open[-1] / window.close[-2]) * 100.0)]


class Growth(Reward):
    """The change of equity in percent."""

    name: ClassVar[str] = "growth"
    version: ClassVar[int] = 2

    @property
    def lookback(self) -> int:
        """One step."""
        return 1

    def rewards(self, window: RewardWindow) -> Any:
        """Of all accounts."""
        return window.equity[:, -1] / window.equity[:, -2] - 1.0


class Beginning(DataSource):
    """The first bars of a sample; fails where it is told to."""

    bars: int = 1_500
    fails: bool = False

    def load(self) -> Bars:
        """The bars."""
        if self.fails:
            raise RuntimeError("could not connect as admin with password hunter2")
        return load_sample("BTC").slice(0, self.bars)


class Steps(TrackerSettings):
    """Writes down what is logged."""

    folder: Path

    def open(self, run: TrackedRun) -> Tracker:
        """A file for each policy."""
        self.folder.mkdir(exist_ok=True)
        return StepsTracker(self.folder / run.policy)


class StepsTracker(Tracker):
    """One line a step."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Writes a line."""
        with self._path.open("a") as file:
            file.write(f"{step} {len(values)}\n")
