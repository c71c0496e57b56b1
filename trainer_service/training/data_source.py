"""Where the bars of a training come from, when it is no file and no embedded sample."""

from abc import abstractmethod
from typing import Final

from tradewind.components import Door, a_class
from tradewind.market import BarSeries
from tradewind.parts import Part

__all__ = ["DATA_SOURCES", "DataSource"]


class DataSource(Part):
    """The settings of a source of bars, which they load."""

    @abstractmethod
    def load(self) -> BarSeries:
        """The bars of one symbol (`Bars`), or of several (`BarPanel`); the same each time.

        A training that goes on after a crash loads them again.
        """


DATA_SOURCES: Final[Door[type[DataSource]]] = Door(
    "data source",
    a_class(DataSource),  # type: ignore[type-abstract]
    group="tradewind.data_sources",
)
