"""Whether the variants of a routed policy keep the risk bounds that its routing file gives them."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.compute as pc

from orchestrator.analysis.comparison.report import measure_variant
from orchestrator.analysis.comparison.series import split_variants
from orchestrator.decision_log import DecisionLog
from tradewind.errors import InvalidInputError
from tradewind.rpc.clients import Routing, RoutingVariant

__all__ = ["BoundReading", "read_bounds"]


@dataclass(frozen=True, slots=True)
class BoundReading:
    """One bound of one variant, and what the decision log says of it.

    Attributes:
        policy: The routed policy.
        variant: The variant.
        metric: max_drawdown or expected_shortfall_95.
        limit: The bound.
        value: The metric over the bars that the variant traded; None when it is unavailable.
        bar_count: How many these are.
        unavailable: Why there is no value; empty when there is one.
        is_broken: The metric is over the bound, or cannot be calculated of what was traded.
    """

    policy: str
    variant: str
    metric: str
    limit: float
    value: float | None
    bar_count: int
    unavailable: str
    is_broken: bool


def read_bounds(log: DecisionLog, routing: Routing) -> Iterator[BoundReading]:
    """Reads every risk bound of the variants that are not rolled back.

    Bars before a variant's last reinstatement do not count: a person has looked at them.

    Args:
        log: The decision log of the account that the variants trade in.
        routing: The routing that the inference service has in force.

    Raises:
        StorageError: The log cannot be read.
    """
    for variant in routing.variants:
        limits = _limits(variant)
        if limits and variant.state != "ROLLED_BACK":
            yield from _read(log, variant, limits)


def _limits(variant: RoutingVariant) -> dict[str, float]:
    if variant.bounds is None:
        return {}
    found = {
        "max_drawdown": variant.bounds.max_drawdown,
        "expected_shortfall_95": variant.bounds.expected_shortfall_95,
    }
    return {metric: limit for metric, limit in found.items() if limit is not None}


def _read(
    log: DecisionLog, variant: RoutingVariant, limits: dict[str, float]
) -> Iterator[BoundReading]:
    since = log.decided_since(round(variant.reinstated_at * 1e9))
    values: dict[str, float | None] = {}
    bars, unavailable, is_broken = 0, "too few bars", False
    if not _has_traded(since, variant):
        unavailable = "it has not traded yet"
    else:
        try:
            traded = {one.name: one for one in split_variants(since, variant.policy)}
            figures = measure_variant(traded[variant.name])
        except InvalidInputError as problem:  # a curve that fell to nothing, for example
            unavailable, is_broken = str(problem), True
        else:
            bars = figures.bar_count
            values = {
                "max_drawdown": figures.max_drawdown,
                "expected_shortfall_95": figures.expected_shortfall_95,
            }
    for metric, limit in limits.items():
        value = values.get(metric)
        yield BoundReading(
            policy=variant.policy,
            variant=variant.name,
            metric=metric,
            limit=limit,
            value=value,
            bar_count=bars,
            unavailable=unavailable if value is None else "",
            is_broken=is_broken if value is None else value > limit,
        )


def _has_traded(log: DecisionLog, variant: RoutingVariant) -> bool:
    """Whether a bar has closed since an answer of the variant was used."""
    decisions = log.flat("decisions")
    for column, value in (("policy", variant.policy), ("variant", variant.name), ("reason", "")):
        decisions = decisions.filter(pc.equal(decisions[column], value))
    if not len(decisions):
        return False
    first, last = (pc.min(decisions["sequence"]).as_py(), pc.max(log.ticks["sequence"]).as_py())
    return bool(last > first)
