"""From a routing file and what is loaded to the table that calls look into."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from inference_service.registry import LoadedVersion, Snapshot
from inference_service.routing.file import (
    PolicyRoutingSettings,
    RoutingSettings,
    ShadowSettings,
    Target,
)
from inference_service.routing.rollbacks import RollbackState
from inference_service.routing.routes import Route, Shadow, Tally, Variant
from inference_service.routing.weights import WeightedChoice
from tradewind.bundle import SERVED_LABEL
from tradewind.serving import RoutingVariant, VariantBounds, VariantState

__all__ = ["FindTally", "VariantStatus", "compile_routing", "missing_champions"]

FindTally = Callable[[str, str, LoadedVersion | None, VariantBounds | None], Tally]
"""Gives what counts for a policy's variant: policy, name, version, bounds."""


@dataclass(frozen=True, slots=True, eq=False)
class VariantStatus:
    """A variant or shadow as it stands.

    Attributes:
        policy: The policy that is routed.
        settings: As the file has it.
        weight: Its share by the file; 0 for a shadow.
        share: Its share now: the champion has that of every variant that is not active.
        state: Whether it gives answers.
        detail: Why not.
        version: What its target stands for; None when that is not loaded.
        tally: What became of its calls.
    """

    policy: str
    settings: ShadowSettings
    is_champion: bool
    is_shadow: bool
    weight: float
    share: float
    state: VariantState
    detail: str
    version: LoadedVersion | None
    bounds: VariantBounds | None
    tally: Tally

    @property
    def name(self) -> str:
        """Its name."""
        return self.settings.name

    @property
    def active_version(self) -> LoadedVersion | None:
        """The version, if it gives answers."""
        return self.version if self.state is VariantState.ACTIVE else None

    def describe(self, reinstated_at: float) -> RoutingVariant:
        """What the service says of it.

        Args:
            reinstated_at: When it was last reinstated, in seconds since the epoch.
        """
        counts, version = self.tally.counts(), self.version
        return RoutingVariant(
            policy=self.policy,
            name=self.name,
            target=self.settings.target,
            target_policy=version.name if version is not None else "",
            version=version.version if version is not None else "",
            champion=self.is_champion,
            shadow=self.is_shadow,
            weight=self.weight,
            share=self.share,
            state=self.state,
            detail=self.detail,
            bounds=self.bounds,
            answer_count=counts.answered,
            failure_count=counts.failed,
            reinstated_at=reinstated_at,
        )


def compile_routing(
    settings: RoutingSettings,
    snapshot: Snapshot,
    rollbacks: RollbackState | None,
    find_tally: FindTally,
) -> tuple[Mapping[str, Route], tuple[VariantStatus, ...]]:
    """The routes, and how every variant stands.

    Args:
        settings: The routing file.
        snapshot: What is loaded.
        rollbacks: What is taken out; None when that is not known, which takes every challenger out.
        find_tally: Keeps counts from one compilation to the next.
    """
    routes: dict[str, Route] = {}
    statuses: list[VariantStatus] = []
    for policy, routing in settings.policies.items():
        own = _Policy(policy, routing, snapshot, rollbacks, find_tally)
        routes[policy] = own.route()
        statuses += own.statuses
    return MappingProxyType(routes), tuple(statuses)


class _Policy:
    """One policy while it is compiled."""

    def __init__(
        self,
        policy: str,
        routing: PolicyRoutingSettings,
        snapshot: Snapshot,
        rollbacks: RollbackState | None,
        find_tally: FindTally,
    ) -> None:
        self._policy = policy
        self._routing = routing
        self._snapshot = snapshot
        self._rollbacks = rollbacks
        self._find_tally = find_tally
        champion = next(one for one in routing.variants if one.name == routing.champion_name)
        self._champion = _find_loaded(snapshot, Target.parse(champion.target, policy))
        self.statuses = self._all_statuses()

    def route(self) -> Route:
        """Its route."""
        shadows = tuple(
            Shadow(self._policy, one.name, one.active_version, one.tally)
            for one in self.statuses
            if one.is_shadow and one.active_version is not None
        )
        own = [
            None
            if one.active_version is None
            else Variant(self._policy, one.name, one.active_version, one.tally, shadows)
            for one in self.statuses
            if not one.is_shadow
        ]
        names = [one.name for one in self._routing.variants]
        place = names.index(self._routing.champion_name)
        champion, standing = own[place], self.statuses[place]
        return Route(
            choice=WeightedChoice(names, self._routing.shares, self._routing.salt or self._policy),
            answering=tuple(variant or champion for variant in own),
            stood_in_for=tuple(
                None if variant is not None else status.tally
                for variant, status in zip(own, self.statuses, strict=False)
            ),
            champion=champion,
            trouble=""
            if champion is not None
            else f"champion {standing.name!r} of policy {self._policy!r} cannot answer: "
            f"{standing.detail}",
        )

    def _all_statuses(self) -> list[VariantStatus]:
        routing = self._routing
        found = [
            self._status(one, weight, one.bounds)
            for one, weight in zip(routing.variants, routing.shares, strict=True)
        ]
        spare = sum(one.weight for one in found if one.state is not VariantState.ACTIVE)
        for place, one in enumerate(found):
            active = one.state is VariantState.ACTIVE
            share = one.weight if active else 0.0
            if one.is_champion and active:
                share += spare
            found[place] = replace(one, share=share)
        return found + [self._status(one, 0.0, None, is_shadow=True) for one in routing.shadows]

    def _status(
        self,
        settings: ShadowSettings,
        weight: float,
        bounds: VariantBounds | None,
        *,
        is_shadow: bool = False,
    ) -> VariantStatus:
        target = Target.parse(settings.target, self._policy)
        version = _find_loaded(self._snapshot, target)
        is_champion = not is_shadow and settings.name == self._routing.champion_name
        state, detail = self._judge(settings.name, target, version, is_champion=is_champion)
        return VariantStatus(
            policy=self._policy,
            settings=settings,
            is_champion=is_champion,
            is_shadow=is_shadow,
            weight=weight,
            share=0.0,
            state=state,
            detail=detail,
            version=version,
            bounds=bounds,
            tally=self._find_tally(self._policy, settings.name, version, bounds),
        )

    def _judge(
        self, name: str, target: Target, version: LoadedVersion | None, *, is_champion: bool
    ) -> tuple[VariantState, str]:
        if not is_champion:
            if self._rollbacks is None:
                return VariantState.ROLLED_BACK, "what was rolled back cannot be read"
            rollback = self._rollbacks.find(self._policy, name)
            if rollback is not None:
                return VariantState.ROLLED_BACK, f"{rollback.cause}: {rollback.reason}"
        if version is None:
            return _why_not_loaded(self._snapshot, target)
        champion = self._champion
        if champion is not None and not is_champion and not _same_contract(version, champion):
            detail = (
                f"{version.name}/{version.version} takes other observations or gives other "
                f"actions than the champion, {champion.name}/{champion.version}"
            )
            return VariantState.OTHER_CONTRACT, detail
        return VariantState.ACTIVE, ""


def _find_loaded(snapshot: Snapshot, target: Target) -> LoadedVersion | None:
    """What a target stands for; None when that is not loaded."""
    if target.version:
        return snapshot.loaded.get(target.policy, {}).get(target.version)
    if target.label == SERVED_LABEL:
        return snapshot.served.get(target.policy)
    return snapshot.labelled.get(target.policy, {}).get(target.label)


def missing_champions(settings: RoutingSettings, snapshot: Snapshot) -> list[str]:
    """What keeps the champions that are not loaded from answering."""
    missing = []
    for policy, routing in settings.policies.items():
        for variant in routing.variants:
            target = Target.parse(variant.target, policy)
            if variant.name == routing.champion_name and _find_loaded(snapshot, target) is None:
                why = _why_not_loaded(snapshot, target)[1]
                missing.append(f"champion {variant.name!r} of policy {policy!r}: {why}")
    return missing


def _why_not_loaded(snapshot: Snapshot, target: Target) -> tuple[VariantState, str]:
    refused = snapshot.quarantined.get((target.policy, target.version))
    if refused is not None:
        return VariantState.QUARANTINED, f"{refused.reason}: {refused.detail}"
    named = f"version {target.version}" if target.version else f"label {target.label!r}"
    return VariantState.NOT_LOADED, f"{named} of policy {target.policy!r} is not loaded"


def _same_contract(one: LoadedVersion, other: LoadedVersion) -> bool:
    return _contract(one) == _contract(other)


def _contract(version: LoadedVersion) -> tuple[object, ...]:
    """What a caller's observations must be, and what it may get."""
    metadata = version.policy.metadata
    features = metadata.features.digest if metadata.features is not None else ""
    return metadata.obs_space, metadata.action_space, features
