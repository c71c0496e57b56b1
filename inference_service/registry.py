"""What is served now: an immutable snapshot, replaced as a whole by one assignment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from numpy.typing import ArrayLike, NDArray

from tradewind.errors import (
    FieldViolation,
    InvalidInputError,
    PolicyNotFoundError,
    TradewindError,
    UnavailableError,
    VersionNotFoundError,
)
from tradewind.policy import Action, BundlePolicy, LatencyHistogram, PredictionInfo

__all__ = ["LoadedVersion", "QuarantinedVersion", "Registry", "Snapshot"]


class LoadedVersion:
    """A version that can answer.

    Args:
        policy: The verified, warm policy.
        slo_ns: Objective of one model compute.
        loaded_at: Seconds since the epoch.

    Attributes:
        name: Name of the policy.
        version: Version of the bundle.
        sha256: SHA-256 of its policy.pt.
        latencies: Model compute of every single prediction this process gave.
        batch_latencies: Model compute of every batch.
    """

    def __init__(self, policy: BundlePolicy, slo_ns: int, loaded_at: float) -> None:
        self.policy = policy
        self.name = policy.metadata.name
        self.version = policy.metadata.version
        self.sha256 = policy.metadata.sha256
        self.loaded_at = loaded_at
        self.latencies = LatencyHistogram(slo_ns)
        self.batch_latencies = LatencyHistogram(slo_ns)

    def predict(
        self, observation: ArrayLike, *, deterministic: bool, seed: int
    ) -> tuple[Action, int]:
        """The action for one observation, and the nanoseconds of the network; see RLPolicy."""
        action, info = self.policy.predict(observation, deterministic=deterministic, seed=seed)
        elapsed = info["model_compute_ns"]
        self.latencies.record(elapsed)
        return action, elapsed

    def predict_batch(
        self,
        observations: ArrayLike,
        *,
        deterministic: bool,
        seed: int,
        with_distribution: bool = False,
    ) -> tuple[NDArray[Any], PredictionInfo]:
        """The actions for N observations in one pass, and the policy's info; see RLPolicy."""
        actions, info = self.policy.predict_batch(
            observations,
            deterministic=deterministic,
            seed=seed,
            with_distribution=with_distribution,
        )
        self.batch_latencies.record(info["model_compute_ns"])
        return actions, info


@dataclass(frozen=True, slots=True)
class QuarantinedVersion:
    """A version that was refused.

    Attributes:
        name: Name of the policy.
        reason: The cause, for programs.
        detail: The cause, for people.
        quarantined_at: Seconds since the epoch.
        fingerprint: State of its files; only another state is worth another try.
    """

    name: str
    version: str
    reason: str
    detail: str
    quarantined_at: float
    fingerprint: object


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a call may need to look up.

    Attributes:
        served: By policy: the version that answers when none is asked for.
        loaded: By policy, then by version: what can answer, in order of loading.
        quarantined: By policy and version: what was refused.
    """

    served: Mapping[str, LoadedVersion] = field(default_factory=dict)
    loaded: Mapping[str, Mapping[str, LoadedVersion]] = field(default_factory=dict)
    quarantined: Mapping[tuple[str, str], QuarantinedVersion] = field(default_factory=dict)

    def versions(self) -> Iterator[LoadedVersion]:
        """Every loaded version."""
        for versions in self.loaded.values():
            yield from versions.values()


class Registry:
    """Holds the snapshot. Any thread reads it without a lock; one thread writes it.

    A call keeps the version it resolved until it has answered; a version that was replaced is
    freed after the last of them.

    Args:
        kept_versions: Versions of a policy that stay loaded, the served one included.
    """

    def __init__(self, kept_versions: int) -> None:
        self._kept_versions = kept_versions
        self.snapshot = Snapshot()

    def resolve(self, policy: str, version: str) -> LoadedVersion:
        """The version that answers a call.

        Args:
            policy: Name; may be empty when exactly one policy is served.
            version: Version; empty for the served one.

        Raises:
            UnavailableError: Nothing is served yet.
            PolicyNotFoundError: That policy is not served.
            VersionNotFoundError: That version of it is not loaded.
            InvalidInputError: The name is empty, but several policies are served.
        """
        snapshot = self.snapshot
        if not version:
            found = snapshot.served.get(policy)
            if found is not None:
                return found
        name = policy or _only_policy(snapshot)
        if name not in snapshot.served:
            raise _unknown_policy(snapshot, name)
        if not version:
            return snapshot.served[name]
        versions = snapshot.loaded[name]
        if version not in versions:
            raise _unknown_version(snapshot, name, version)
        return versions[version]

    def serve(self, version: LoadedVersion) -> None:
        """Lets a version answer from the next call on; the oldest one too many is let go."""
        before = self.snapshot
        versions = {**before.loaded.get(version.name, {})}
        versions.pop(version.version, None)
        versions[version.version] = version
        for surplus in list(versions)[: -self._kept_versions]:
            del versions[surplus]
        quarantined = {**before.quarantined}
        quarantined.pop((version.name, version.version), None)
        self.snapshot = Snapshot(
            served={**before.served, version.name: version},
            loaded={**before.loaded, version.name: MappingProxyType(versions)},
            quarantined=quarantined,
        )

    def quarantine(self, refused: QuarantinedVersion) -> None:
        """Remembers why a version does not serve; what serves stays as it is."""
        entry = {(refused.name, refused.version): refused}
        self.snapshot = replace(self.snapshot, quarantined={**self.snapshot.quarantined, **entry})

    def release(self, policy: str, version: str) -> None:
        """Forgets a quarantined version that is no longer in the store."""
        kept = {**self.snapshot.quarantined}
        del kept[policy, version]
        self.snapshot = replace(self.snapshot, quarantined=kept)


def _only_policy(snapshot: Snapshot) -> str:
    if len(snapshot.served) > 1:
        raise InvalidInputError(
            "request is refused",
            [
                FieldViolation(
                    "policy", f"empty, but several are served: {', '.join(sorted(snapshot.served))}"
                )
            ],
        )
    return next(iter(snapshot.served), "")


def _unknown_policy(snapshot: Snapshot, name: str) -> TradewindError:
    if not snapshot.served:
        return UnavailableError("no policy is served yet")
    return PolicyNotFoundError(
        f"no policy {name!r} is served; served are {', '.join(sorted(snapshot.served))}",
        metadata={"policy": name},
    )


def _unknown_version(snapshot: Snapshot, name: str, version: str) -> TradewindError:
    refused = snapshot.quarantined.get((name, version))
    why = f"quarantined ({refused.reason})" if refused is not None else "not loaded"
    return VersionNotFoundError(
        f"version {version!r} of policy {name!r} is {why}; loaded are "
        f"{', '.join(snapshot.loaded[name])}",
        metadata={"policy": name, "version": version},
    )
