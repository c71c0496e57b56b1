"""What every tracker takes, and where one of anyone's own comes in."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from tradewind.bundle import PublishedBundle
from tradewind.components import Door, a_class
from tradewind.parts import Part

__all__ = ["TRACKERS", "Outcome", "TrackedRun", "Tracker", "TrackerSettings"]

Outcome = Literal["FINISHED", "FAILED", "KILLED"]
"""How a training ended, in MLflow's words."""


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker follows.

    Attributes:
        policy: Name of the policy.
        name: Name of the run.
        parameters: Configuration of the training, nested.
        resumed: The run was begun before.
        run_id: What the tracker called it then; None when it called it nothing.
    """

    policy: str
    name: str
    parameters: Mapping[str, Any]
    resumed: bool = False
    run_id: str | None = None


class Tracker(ABC):
    """One place where a training can be followed.

    It is called from the training, which waits: what takes long belongs to a thread. One that
    raises is dropped with a warning, and the training goes on.

    Attributes:
        run_id: What a resumed training is told, to go on with the run.
    """

    run_id: str | None = None

    @abstractmethod
    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Takes figures by name at a number of timesteps."""

    def rewind(self, step: int) -> None:  # noqa: B027 - there may be nothing to forget
        """Forgets what came after a step, if it can: the training goes on from there."""

    def log_bundle(self, bundle: PublishedBundle) -> None:  # noqa: B027
        """Takes the published bundle with its held-out figures."""

    def close(self, outcome: Outcome) -> None:  # noqa: B027
        """Ends the run."""


class TrackerSettings(Part):
    """Settings of a tracker, which they open."""

    @abstractmethod
    def open(self, run: TrackedRun) -> Tracker:
        """Begins a run, or goes on with it; before the training, which it keeps from starting."""


TRACKERS: Final[Door[type[TrackerSettings]]] = Door(
    "tracker",
    a_class(TrackerSettings),  # type: ignore[type-abstract]
    {
        "tensorboard": "trainer_service.tracking.settings:TensorBoardSettings",
        "mlflow": "trainer_service.tracking.settings:MlflowSettings",
    },
    "tradewind.trackers",
)
