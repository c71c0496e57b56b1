"""How metrics are written for who scrapes them: Prometheus' classic text, or OpenMetrics."""

from collections.abc import Iterable
from typing import Any, Final, Self

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

__all__ = ["WithUnits", "exposition"]

_UNITS: Final = ("seconds", "bytes")


class WithUnits(Collector):
    """The metrics of a registry, each with the unit that its name ends with.

    Args:
        registry: Where the metrics are.
    """

    def __init__(self, registry: CollectorRegistry | Any) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        for metric in self._registry.collect():
            if not metric.unit:
                metric.unit = next((it for it in _UNITS if metric.name.endswith(f"_{it}")), "")
            yield metric

    def restricted_registry(self, names: Iterable[str]) -> Self:
        """Only the metrics of some names, which a scraper may ask for."""
        return type(self)(self._registry.restricted_registry(names))


def exposition(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The metrics in the form that a scraper asks for.

    Args:
        registry: Where the metrics are.
        accept: Its header of that name; OpenMetrics where it names it.

    Returns:
        The page, and its content type.
    """
    encode, content_type = choose_encoder(accept)
    return encode(WithUnits(registry)), content_type
