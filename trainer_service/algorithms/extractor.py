"""Features extractors that a configuration can name: what stands before the hidden layers.

Any class of Stable-Baselines3's kind can also be given in Python, as `features_extractor_class`.
"""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Final

from tradewind.components import Door, a_class, classes_in
from tradewind.market import FeatureSpec
from tradewind.parts import Part

__all__ = ["EXTRACTORS", "Extractor"]


class Extractor(Part):
    """The settings of a features extractor."""

    @abstractmethod
    def policy_kwargs(self) -> dict[str, Any]:
        """As Stable-Baselines3 takes it: features_extractor_class and features_extractor_kwargs.

        The class must be one that TorchScript can express.
        """

    def check(self, features: FeatureSpec) -> Iterator[tuple[str, str]]:  # noqa: ARG002
        """Finds settings that do not fit the observations: each with what is wrong with it."""
        yield from ()


EXTRACTORS: Final[Door[type[Extractor]]] = Door(
    "features extractor",
    a_class(Extractor),  # type: ignore[type-abstract]
    lambda: classes_in("trainer_service.algorithms.extractors", Extractor),
    "tradewind.extractors",
)
