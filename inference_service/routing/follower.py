"""Keeps the routing in step: with its file, with what is loaded, and with what was taken out."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from inference_service.registry import LoadedVersion, Registry, Snapshot
from inference_service.routing.bounds import Window, limit_ns
from inference_service.routing.compilation import (
    VariantStatus,
    compile_routing,
    missing_champions,
)
from inference_service.routing.file import RoutingFile, RoutingSettings
from inference_service.routing.rollbacks import RollbackState, RollbackStore
from inference_service.routing.routes import Counts, Router, RoutingTable, Tally
from inference_service.routing.source import RoutingSource
from tradewind.errors import (
    ConflictError,
    FieldViolation,
    InvalidInputError,
    NotFoundError,
    StorageError,
)
from tradewind.serving import Rollback, Routing, VariantBounds, VariantState

__all__ = ["RoutingFollower", "RoutingView"]

_LOG = logging.getLogger(__name__)
_OWN_NAME: Final = "inference_service"
_LONGEST_TEXT: Final = 1024

TallyKey = tuple[str, str, str, str, float]


@dataclass(frozen=True, slots=True, eq=False)
class RoutingView:
    """The routing as it stands, for people and metrics.

    Attributes:
        statuses: Every variant and shadow.
        state: What is taken out; None while that was never read.
        sha256: Of the file in force; empty when there is none.
        refusal: Why the file as it stands is not in force; empty when it is.
        refusal_count: How often a file was refused.
        state_problem: Why rollbacks cannot be read or kept; empty when they can.
    """

    statuses: tuple[VariantStatus, ...]
    state: RollbackState | None
    sha256: str
    refusal: str
    refusal_count: int
    state_problem: str

    def routing(self, policy: str = "") -> Routing:
        """What the service says of the whole routing, or of what it has of one policy."""
        state = self.state if self.state is not None else RollbackState()
        return Routing(
            variants=tuple(
                status.describe(state.reinstated_at(status.policy, status.name))
                for status in self.statuses
                if policy in ("", status.policy)
            ),
            rollbacks=tuple(one for one in state.rollbacks if policy in ("", one.policy)),
            file_sha256=self.sha256,
            refusal=self.refusal,
            state_problem=self.state_problem,
        )


class RoutingFollower:
    """Polls the routing file and the rollbacks, judges the bounds, and replaces the table.

    A file that is not good changes nothing: the last good one stays in force, over a restart too.
    Any thread may call its methods; they take turns.

    Args:
        source: The routing file.
        registry: What is loaded.
        router: Gets the table.
        rollbacks: What is taken out, on disk.
        on_ready: Called with a policy once it can be answered.
        on_rollback: Called with every variant that is taken out here.

    Attributes:
        rollback_counts: Variants taken out here, by policy, variant and cause.
    """

    def __init__(
        self,
        source: RoutingSource,
        registry: Registry,
        router: Router,
        rollbacks: RollbackStore,
        on_ready: Callable[[str], None],
        on_rollback: Callable[[Rollback], None] | None = None,
    ) -> None:
        self._source = source
        self._registry = registry
        self._router = router
        self._rollbacks = rollbacks
        self._on_ready = on_ready
        self._on_rollback = on_rollback
        self._lock = threading.RLock()
        self._in_force: RoutingFile | None = None
        self._waiting = ""
        self._state: RollbackState | None = None
        self._unsaved: dict[tuple[str, str], Rollback] = {}
        self._state_problem = ""
        self._tallies: dict[TallyKey, Tally] = {}
        self._windows: dict[tuple[str, str], tuple[Tally, Window]] = {}
        self._statuses: tuple[VariantStatus, ...] = ()
        self._told: set[str] = set()
        self._compiled_from: object = None
        self._named: tuple[object, dict[str, frozenset[str]]] = (None, {})
        self.rollback_counts: dict[tuple[str, str, str], int] = {}

    def follow(self, poll_s: float, stopping: threading.Event) -> None:
        """Scans until told to stop; no failure ends it."""
        while not stopping.wait(poll_s):
            self.scan()

    def scan(self) -> None:
        """Looks at the file, at what is taken out, at what is loaded, and at the bounds."""
        with self._lock:
            try:
                self._read_state()
                self._source.read()
                self._compile()
                self._judge()
            except Exception:  # whatever it was, what is in force stays and is followed
                _LOG.exception("following the routing failed")

    @property
    def view(self) -> RoutingView:
        """The routing as it stands."""
        with self._lock:
            source = self._source
            return RoutingView(
                statuses=self._statuses,
                state=self._known_state(),
                sha256=self._in_force.sha256 if self._in_force is not None else "",
                refusal=source.refusal or self._waiting,
                refusal_count=source.refusal_count,
                state_problem=self._state_problem,
            )

    def versions_of(self, policy: str) -> frozenset[str]:
        """The versions of a policy that the routing names; they are to be and to stay loaded."""
        files = (self._in_force, self._source.file)
        if self._named[0] != files:
            self._named = (files, _named_versions(filter(None, files)))
        return self._named[1].get(policy, frozenset())

    def roll_back(self, policy: str, variant: str, *, name: str, reason: str) -> Rollback:
        """Takes a variant out for a person or a program.

        Returns:
            The rollback in force; an earlier one stands as it is.

        Raises:
            InvalidInputError: It is not said who asks, or why.
            NotFoundError: There is no such variant.
            ConflictError: It is the champion, or a shadow.
            StorageError: It is out in this process, but that cannot be kept.
        """
        _check_texts(name=name, reason=reason)
        with self._lock:
            self.scan()
            status = self._find(policy, variant)
            if status.is_champion or status.is_shadow:
                kind = "the champion" if status.is_champion else "a shadow"
                raise ConflictError(f"{variant!r} of policy {policy!r} is {kind}: it stays")
            known = self._state.find(policy, variant) if self._state is not None else None
            if known is not None:
                return known
            rollback = self._take_out(status, "REQUESTED", reason, name)
            if self._unsaved:
                raise StorageError(
                    f"{variant!r} is rolled back in this process alone: {self._state_problem}"
                )
            return rollback

    def reinstate(self, policy: str, variant: str, *, name: str, reason: str) -> Rollback:
        """Lets a variant have its share again.

        Returns:
            The rollback that was ended.

        Raises:
            InvalidInputError: It is not said who asks, or why.
            NotFoundError: The variant is not taken out.
            StorageError: It cannot be kept, and stays as it is.
        """
        _check_texts(name=name, reason=reason)
        with self._lock:
            self.scan()
            rollback, self._state = self._rollbacks.end(
                policy, variant, name=name, reason=reason, now=time.time()
            )
            _LOG.warning(
                "%s reinstates variant %s of %s, which was rolled back (%s): %s",
                name, variant, policy, rollback.cause, reason,
            )  # fmt: skip
            self._compile()
            return rollback

    def _read_state(self) -> None:
        try:
            for rollback in list(self._unsaved.values()):
                self._rollbacks.add(rollback)
                del self._unsaved[rollback.policy, rollback.variant]
            state = self._rollbacks.read()
        except StorageError as problem:
            self._note_state_problem(problem)
            return
        self._note_state_problem(None)
        before = self._state
        if state != before:
            for rollback in state.rollbacks:
                if before is None or before.find(rollback.policy, rollback.variant) is None:
                    _LOG.warning(
                        "variant %s of %s is rolled back (%s, by %s): %s",
                        rollback.variant, rollback.policy, rollback.cause, rollback.name,
                        rollback.reason,
                    )  # fmt: skip
            self._state = state

    def _note_state_problem(self, problem: StorageError | None) -> None:
        text = "" if problem is None else str(problem)
        if text and text != self._state_problem:
            known = "every challenger is out" if self._state is None else "what is out stays out"
            _LOG.error("%s; %s", text, known)
        self._state_problem = text

    def _known_state(self) -> RollbackState | None:
        """What is taken out, kept or not; None when that was never read."""
        state = self._state
        if state is not None:
            for rollback in self._unsaved.values():
                state = state.with_rollback(rollback)
        return state

    def _compile(self) -> None:
        snapshot, state = self._registry.snapshot, self._known_state()
        self._take_over(snapshot)
        file, has_good = self._in_force, self._source.has_good
        source = (file, snapshot, state, has_good)
        if source != self._compiled_from:
            settings = file.settings if file is not None else RoutingSettings()
            routes, statuses = compile_routing(settings, snapshot, state, self._tally)
            self._log_changes(statuses)
            self._statuses = statuses
            in_use = {id(status.tally) for status in statuses}
            self._tallies = {key: one for key, one in self._tallies.items() if id(one) in in_use}
            blocked = "" if has_good else f"no routing is in force: {self._source.refusal}"
            self._router.table = RoutingTable(routes, blocked) if routes or blocked else None
            self._compiled_from = source
        self._told &= snapshot.served.keys()  # one that was taken away is told of again
        for policy in snapshot.served.keys() - self._told:
            if self._router.is_ready(policy):
                self._told.add(policy)
                self._on_ready(policy)

    def _take_over(self, snapshot: Snapshot) -> None:
        """Puts another file in force; while the server runs, not before its champions are loaded.

        Challengers are not waited for: until they are loaded the champion has their share.
        """
        file, waiting = self._source.file, ""
        if file is self._in_force:
            self._waiting = ""
            return
        if file is not None and self._compiled_from is not None:
            waiting = "; ".join(missing_champions(file.settings, snapshot))
        if not waiting:
            self._in_force = file
            if file is not None:
                _LOG.info("routing %s is in force", file.sha256)
        elif waiting != self._waiting:
            _LOG.warning("%s waits to be in force: %s", file.source if file else "", waiting)
        self._waiting = waiting

    def _tally(
        self, policy: str, name: str, version: LoadedVersion | None, bounds: VariantBounds | None
    ) -> Tally:
        """What counts for a variant, as long as it stands for the same version and limit."""
        limit = limit_ns(bounds)
        named = (version.name, version.version) if version is not None else ("", "")
        key = (policy, name, *named, limit)
        if key not in self._tallies:
            self._tallies[key] = Tally(limit)
        return self._tallies[key]

    def _log_changes(self, statuses: Sequence[VariantStatus]) -> None:
        before = {(one.policy, one.name): one.state for one in self._statuses}
        for one in statuses:
            if one.state is before.get((one.policy, one.name), VariantState.ACTIVE):
                continue
            level = logging.INFO if one.state is VariantState.ACTIVE else logging.WARNING
            _LOG.log(level, "%s of %s is %s %s", one.name, one.policy, one.state, one.detail)

    def _judge(self) -> None:
        for status in self._statuses:
            if status.bounds is None:
                continue
            key, counts = (status.policy, status.name), status.tally.counts()
            tally, window = self._windows.get(key, (None, None))
            if status.state is not VariantState.ACTIVE:
                window = Window(counts)  # what went before a reinstatement is not judged again
            elif window is None or tally is not status.tally:
                window = Window(Counts())
            self._windows[key] = (status.tally, window)
            breach = window.judge(counts, status.bounds)
            if breach is not None:
                self._take_out(status, breach.cause, breach.reason, _OWN_NAME)

    def _take_out(self, status: VariantStatus, cause: str, reason: str, name: str) -> Rollback:
        rollback = Rollback(
            policy=status.policy,
            variant=status.name,
            cause=cause,
            reason=reason,
            name=name,
            rolled_back_at=time.time(),
        )
        try:
            self._state = self._rollbacks.add(rollback)
        except StorageError as problem:  # it is out all the same, and kept once that is possible
            self._unsaved[status.policy, status.name] = rollback
            self._note_state_problem(problem)
        counted = (status.policy, status.name, cause)
        self.rollback_counts[counted] = self.rollback_counts.get(counted, 0) + 1
        _LOG.error(
            "%s rolls back variant %s of %s (%s): %s",
            name, status.name, status.policy, cause, reason,
        )  # fmt: skip
        if self._on_rollback is not None:
            self._on_rollback(rollback)
        self._compile()
        kept = self._state.find(status.policy, status.name) if self._state is not None else None
        return kept or rollback

    def _find(self, policy: str, variant: str) -> VariantStatus:
        for status in self._statuses:
            if (status.policy, status.name) == (policy, variant):
                return status
        known = ", ".join(f"{one.policy}/{one.name}" for one in self._statuses) or "none"
        raise NotFoundError(
            f"the routing has no variant {variant!r} of policy {policy!r}; it has {known}",
            metadata={"policy": policy, "variant": variant},
        )


def _named_versions(files: Iterable[RoutingFile]) -> dict[str, frozenset[str]]:
    named: dict[str, frozenset[str]] = {}
    for file in files:
        for _, target in file.settings.targets():
            if target.version:
                before = named.get(target.policy, frozenset())
                named[target.policy] = before | {target.version}
    return named


def _check_texts(**texts: str) -> None:
    violations = [
        FieldViolation(field, "must say something, in at most 1024 characters")
        for field, text in texts.items()
        if not text.strip() or len(text) > _LONGEST_TEXT
    ]
    if violations:
        raise InvalidInputError("request is refused", violations)
