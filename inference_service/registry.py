"""What is served now: an immutable snapshot, replaced as a whole by one assignment."""

import threading
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from tradewind.bundle import SERVED_LABEL, BundleVersion
from tradewind.errors import (
    FieldViolation,
    InvalidInputError,
    PolicyNotFoundError,
    TradewindError,
    UnavailableError,
    VersionNotFoundError,
)
from tradewind.policy import BundlePolicy, LatencyHistogram, LatencySnapshot
from tradewind.serving import LatencyReport, PolicyVersion, QuarantinedVersion

__all__ = ["LoadedVersion", "Registry", "Snapshot"]


class LoadedVersion:
    """A version that can answer.

    Args:
        policy: The verified, warm policy.
        slo_ns: Objective of one model compute.
        loaded_at: Seconds since the epoch.
        failure: Tells why the version must answer no more; empty while it may.

    Attributes:
        name: Name of the policy.
        version: Version of the bundle.
        sha256: SHA-256 of its policy.pt.
        memory_bytes: Of its arrays.
        obs_space: What it takes.
        latencies: Model compute of every single prediction this process gave.
        batch_latencies: Model compute of every batch.
        batch_observations: Observations in all batches.
    """

    def __init__(
        self,
        policy: BundlePolicy,
        slo_ns: int,
        loaded_at: float,
        failure: Callable[[], str] = str,
    ) -> None:
        self.policy = policy
        self.failure = failure
        self.name = policy.metadata.name
        self.version = policy.metadata.version
        self.sha256 = policy.metadata.sha256
        self.obs_space = policy.metadata.obs_space
        self.memory_bytes = policy.memory_bytes
        self.loaded_at = loaded_at
        self.latencies = LatencyHistogram(slo_ns)
        self.batch_latencies = LatencyHistogram(slo_ns)
        self.batch_observations = 0
        self._counting = threading.Lock()

    def describe(self, labels: Sequence[str]) -> PolicyVersion:
        """What the service says of it; `labels` are those that it bears."""
        metadata = self.policy.metadata
        return PolicyVersion(
            policy=self.name,
            version=self.version,
            bundle_sha256=self.sha256,
            algorithm=metadata.algo,
            observation_space=metadata.obs_space,
            action_space=metadata.action_space,
            labels=tuple(labels),
            runtime=self.policy.runtime,
            runtime_reason=self.policy.runtime_reason,
            risk_policy_digest=metadata.risk.policy_digest if metadata.risk else "",
            feature_spec_digest=metadata.features.digest if metadata.features else "",
            loaded_at=self.loaded_at,
        )

    def latency_report(self) -> LatencyReport:
        """Model compute so far, single and in batches; percentiles of no call are NaN."""
        batch = self._report(self.batch_latencies.snapshot())
        return self._report(self.latencies.snapshot(), batch)

    def _report(
        self, latencies: LatencySnapshot, batch: LatencyReport | None = None
    ) -> LatencyReport:
        return LatencyReport(
            policy=self.name,
            version=self.version,
            call_count=latencies.count,
            mean_us=latencies.mean_ns / 1e3,
            p50_us=latencies.percentile_ns(50.0) / 1e3,
            p90_us=latencies.percentile_ns(90.0) / 1e3,
            p99_us=latencies.percentile_ns(99.0) / 1e3,
            p999_us=latencies.percentile_ns(99.9) / 1e3,
            p9999_us=latencies.percentile_ns(99.99) / 1e3,
            max_us=latencies.max_ns / 1e3,
            slo_violation_count=latencies.over_slo_count,
            slo_us=latencies.slo_ns / 1e3,
            batch=batch,
        )

    def count_batch(self, model_compute_ns: int, observations: int) -> None:
        """Counts a batch that was answered."""
        self.batch_latencies.record(model_compute_ns)
        with self._counting:
            self.batch_observations += observations


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a call may need to look up.

    Attributes:
        served: By policy: the version that answers when none is asked for.
        loaded: By policy, then by version: what can answer, oldest first.
        labelled: By policy, then by label: the loaded version behind a name.
        quarantined: By policy and version: what was refused.
        routed: By policy: the versions that the routing names, loaded or not.
        starting: What the store holds is not known yet: what is not here may be soon.
    """

    served: Mapping[str, LoadedVersion] = field(default_factory=dict)
    loaded: Mapping[str, Mapping[str, LoadedVersion]] = field(default_factory=dict)
    labelled: Mapping[str, Mapping[str, LoadedVersion]] = field(default_factory=dict)
    quarantined: Mapping[tuple[str, str], QuarantinedVersion] = field(default_factory=dict)
    routed: Mapping[str, Container[str]] = field(default_factory=dict)
    starting: bool = False

    def versions(self) -> Iterator[LoadedVersion]:
        """Every loaded version."""
        for versions in self.loaded.values():
            yield from versions.values()

    def describe(self, version: LoadedVersion) -> PolicyVersion:
        """What the service says of a loaded version."""
        return version.describe(self.labels_of(version))

    def labels_of(self, version: LoadedVersion) -> list[str]:
        """Every label of a loaded version; SERVED_LABEL when it is served."""
        own = [
            label
            for label, labelled in self.labelled.get(version.name, {}).items()
            if labelled is version
        ]
        return [SERVED_LABEL, *own] if self.served.get(version.name) is version else own

    def is_routed(self, version: LoadedVersion) -> bool:
        """Whether the routing names a loaded version."""
        return version.version in self.routed.get(version.name, ())

    def is_needed(self, version: LoadedVersion) -> bool:
        """Whether a loaded version is served, labelled or routed, and so is never let go."""
        return self.is_routed(version) or bool(self.labels_of(version))


class Registry:
    """Holds the snapshot. Any thread reads it without a lock; one thread writes it.

    A call keeps the version it resolved until it has answered; a version that was replaced is
    freed after the last of them.
    """

    def __init__(self) -> None:
        self.snapshot = Snapshot()

    def resolve(self, policy: str, version: str, label: str = "") -> LoadedVersion:
        """The version that answers a call.

        Args:
            policy: Name; may be empty when exactly one policy is served.
            version: Version; empty for the served one.
            label: Instead of a version, the name that one bears.

        Raises:
            UnavailableError: Nothing is served yet, or what is asked for may be once the service
                has started.
            PolicyNotFoundError: That policy is not served.
            VersionNotFoundError: That version of it is not loaded, or none bears the label.
            InvalidInputError: The name is empty, but several policies are served; or both a
                version and a label are asked for.
        """
        snapshot = self.snapshot
        if not version and not label:
            found = snapshot.served.get(policy)
            if found is not None:
                return found
        name = policy or _only_policy(snapshot)
        if name not in snapshot.served:
            raise _unknown_policy(snapshot, name)
        if label:
            return _labelled(snapshot, name, version, label)
        if not version:
            return snapshot.served[name]
        versions = snapshot.loaded[name]
        if version not in versions:
            raise _starting() if snapshot.starting else _unknown_version(snapshot, name, version)
        return versions[version]

    def set_starting(self, *, starting: bool) -> None:
        """Says whether the store is looked at for the first time."""
        self.snapshot = replace(self.snapshot, starting=starting)

    def serve(self, version: LoadedVersion) -> None:
        """Lets a version answer from the next call on, in place of the one that served."""
        self.add(version)
        self.snapshot = replace(
            self.snapshot, served={**self.snapshot.served, version.name: version}
        )

    def add(self, version: LoadedVersion) -> None:
        """Lets a version answer calls that ask for it."""
        before = self.snapshot
        versions = {**before.loaded.get(version.name, {}), version.version: version}
        quarantined = {**before.quarantined}
        quarantined.pop((version.name, version.version), None)
        self.snapshot = replace(
            before,
            loaded={**before.loaded, version.name: MappingProxyType(_oldest_first(versions))},
            quarantined=quarantined,
        )

    def set_labels(self, policy: str, labels: Mapping[str, str]) -> None:
        """Replaces the labels of a policy.

        Args:
            policy: A policy that is served.
            labels: Loaded version by label.
        """
        versions = self.snapshot.loaded[policy]
        labelled = {label: versions[version] for label, version in labels.items()}
        self.snapshot = replace(
            self.snapshot, labelled={**self.snapshot.labelled, policy: MappingProxyType(labelled)}
        )

    def set_routed(self, policy: str, versions: Container[str]) -> None:
        """Replaces the versions of a policy that the routing names; they are not let go."""
        if self.snapshot.routed.get(policy, frozenset()) != versions:
            routed = {**self.snapshot.routed, policy: versions}
            self.snapshot = replace(self.snapshot, routed=routed)

    def retain(self, policy: str, wanted: Container[str]) -> list[LoadedVersion]:
        """Lets go of a policy's versions that are neither wanted nor needed.

        Returns:
            Those let go; calls under way on them end as they would have.
        """
        before = self.snapshot
        versions = before.loaded[policy]
        surplus = [
            version
            for number, version in versions.items()
            if number not in wanted and not before.is_needed(version)
        ]
        if surplus:
            kept = {number: v for number, v in versions.items() if v not in surplus}
            self.snapshot = replace(
                before, loaded={**before.loaded, policy: MappingProxyType(kept)}
            )
        return surplus

    def withdraw(self, version: LoadedVersion) -> None:
        """Lets a version answer no more, whatever needs it; calls under way on it end."""
        before, name = self.snapshot, version.name
        loaded = {n: v for n, v in before.loaded.get(name, {}).items() if v is not version}
        labelled = {n: v for n, v in before.labelled.get(name, {}).items() if v is not version}
        self.snapshot = replace(
            before,
            served={n: v for n, v in before.served.items() if v is not version},
            loaded={**before.loaded, name: MappingProxyType(loaded)},
            labelled={**before.labelled, name: MappingProxyType(labelled)},
        )

    def quarantine(self, refused: QuarantinedVersion) -> None:
        """Remembers why a version does not serve; what serves stays as it is."""
        entry = {(refused.policy, refused.version): refused}
        self.snapshot = replace(self.snapshot, quarantined={**self.snapshot.quarantined, **entry})

    def release(self, policy: str, version: str) -> None:
        """Forgets a quarantined version that is no longer in the store."""
        kept = {**self.snapshot.quarantined}
        del kept[policy, version]
        self.snapshot = replace(self.snapshot, quarantined=kept)


def _oldest_first(versions: Mapping[str, LoadedVersion]) -> dict[str, LoadedVersion]:
    return {number: versions[number] for number in sorted(versions, key=BundleVersion.parse)}


def _labelled(snapshot: Snapshot, name: str, version: str, label: str) -> LoadedVersion:
    if version:
        raise InvalidInputError(
            "request is refused",
            [FieldViolation("label", f"{label!r} beside version {version!r}; only one may be set")],
        )
    if label == SERVED_LABEL:
        return snapshot.served[name]
    labelled = snapshot.labelled.get(name, {})
    if label not in labelled and snapshot.starting:
        raise _starting()
    if label not in labelled:
        raise VersionNotFoundError(
            f"no version of policy {name!r} is labelled {label!r}; labels are "
            f"{', '.join(sorted([SERVED_LABEL, *labelled]))}",
            metadata={"policy": name, "label": label},
        )
    return labelled[label]


def _starting() -> UnavailableError:
    return UnavailableError(
        "no policy is served yet that could answer this: the bundles of the store are being proved",
        reason="STARTING",
    )


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
    if snapshot.starting:
        return _starting()
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
