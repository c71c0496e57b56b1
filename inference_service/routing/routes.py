"""Which variant answers a call: an immutable table, replaced as a whole by one assignment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import get_ident
from types import MappingProxyType

from inference_service.awaited import UnawaitedError
from inference_service.registry import LoadedVersion, Registry
from inference_service.routing.weights import WeightedChoice
from tradewind.errors import InvalidInputError, TradewindError, UnavailableError

__all__ = ["Counts", "Route", "Router", "RoutingTable", "Shadow", "Tally", "Variant"]


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the calls of a variant.

    Attributes:
        answered: Calls answered; of a shadow, calls for which it computed an answer.
        over_limit: Of these, with a model compute over the limit of its bounds.
        failed: Calls that it could not answer, bad input left out.
        failed_over: Calls of its share that the champion answered.
    """

    answered: int = 0
    over_limit: int = 0
    failed: int = 0
    failed_over: int = 0


class Tally:
    """Counts calls, without a lock: every thread counts in a cell of its own.

    Args:
        limit_ns: Model compute over it is counted.
    """

    def __init__(self, limit_ns: float) -> None:
        self.limit_ns = limit_ns
        self._cells: dict[int, list[int]] = {}

    def answered(self, model_compute_ns: int) -> None:
        """Counts an answer."""
        cell = self._cell()
        cell[0] += 1
        if model_compute_ns > self.limit_ns:
            cell[1] += 1

    def failed(self) -> None:
        """Counts a call that was not answered."""
        self._cell()[2] += 1

    def failed_over(self) -> None:
        """Counts a call that the champion was given."""
        self._cell()[3] += 1

    def counts(self) -> Counts:
        """The counts so far; one that is being made may be missing."""
        return Counts(*map(sum, zip([0] * 4, *list(self._cells.values()), strict=True)))

    def _cell(self) -> list[int]:
        thread = get_ident()
        cell = self._cells.get(thread)
        if cell is None:
            cell = self._cells[thread] = [0, 0, 0, 0]
        return cell


@dataclass(frozen=True, slots=True, eq=False)
class Shadow:
    """A version whose answers are computed and recorded beside those that are given."""

    policy: str
    name: str
    version: LoadedVersion
    tally: Tally


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """A version that answers a share of the calls.

    Attributes:
        policy: The policy that is routed; another than the version's where the target says so.
        shadows: What computes an answer beside it.
    """

    policy: str
    name: str
    version: LoadedVersion
    tally: Tally
    shadows: tuple[Shadow, ...] = ()

    def failed(self, error: Exception) -> None:
        """Counts an error, unless the caller is to blame for it or has gone."""
        if not isinstance(error, InvalidInputError | UnawaitedError):
            self.tally.failed()


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """How the calls of one policy are shared.

    Attributes:
        choice: Gives a place among the variants.
        answering: By place: the variant that answers, the champion in place of one that cannot;
            None when the champion cannot either.
        stood_in_for: By place: counts the calls that the champion answers instead; None elsewhere.
        champion: The variant that describes the policy; None when it is not loaded.
        trouble: Why there is no champion.
    """

    choice: WeightedChoice
    answering: tuple[Variant | None, ...]
    stood_in_for: tuple[Tally | None, ...]
    champion: Variant | None
    trouble: str = ""

    def choose(self, routing_key: str) -> Variant:
        """The variant that answers a call; the same key always has the same one.

        Raises:
            UnavailableError: What should answer is not loaded, and nothing stands in for it.
        """
        choice = self.choice
        place = choice.by_key(routing_key) if routing_key else choice.at_random()
        variant = self.answering[place]
        if variant is None:
            raise UnavailableError(self.trouble)
        instead_of = self.stood_in_for[place]
        if instead_of is not None:
            instead_of.failed_over()
        return variant


@dataclass(frozen=True, slots=True, eq=False)
class RoutingTable:
    """Every route.

    Attributes:
        routes: By policy; one that is not named is not routed.
        blocked: Why no call may be answered without a version or label; empty when it may.
    """

    routes: Mapping[str, Route] = field(default_factory=lambda: MappingProxyType({}))
    blocked: str = ""


class Router:
    """Resolves calls: to what they name, or to what the routing chooses.

    Any thread reads the table without a lock; one replaces it.

    Args:
        registry: What is loaded.

    Attributes:
        table: The routing in force; None where nothing is routed.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.table: RoutingTable | None = None

    def resolve(
        self, policy: str, version: str, label: str, routing_key: str
    ) -> tuple[LoadedVersion, Variant | None]:
        """The version that answers a call, and the variant that it is; None when not routed.

        A call that names a version or a label is not routed.

        Raises:
            TradewindError: As Registry.resolve.
            UnavailableError: What should answer by the routing is not loaded.
        """
        route = None if self.table is None else self._route(policy, version, label)
        if route is None:
            return self._registry.resolve(policy, version, label), None
        try:
            variant = route.choose(routing_key)
        except UnavailableError as problem:
            raise self._unavailable(str(problem)) from None
        return variant.version, variant

    def describe(self, policy: str, version: str, label: str = "") -> LoadedVersion:
        """As `resolve`, for what is asked about a policy: of a routed one, the champion."""
        route = self._route(policy, version, label)
        if route is None:
            return self._registry.resolve(policy, version, label)
        if route.champion is None:
            raise self._unavailable(route.trouble)
        return route.champion.version

    def is_ready(self, policy: str) -> bool:
        """Whether a call that names this policy alone can be answered."""
        try:
            self.describe(policy, "")
        except TradewindError:
            return False
        return True

    def _route(self, policy: str, version: str, label: str) -> Route | None:
        table = self.table
        if table is None or version or label:
            return None
        route = table.routes.get(policy or self._registry.resolve("", "").name)
        if route is None and table.blocked:
            raise self._unavailable(table.blocked)
        return route

    def _unavailable(self, trouble: str) -> UnavailableError:
        reason = "STARTING" if self._registry.snapshot.starting else None
        return UnavailableError(trouble, reason=reason)
