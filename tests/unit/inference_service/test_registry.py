import math
from collections.abc import Callable
from pathlib import Path

import pytest

from inference_service.registry import LoadedVersion, Registry
from tradewind.bundle import BundleStore, DiscreteSpace
from tradewind.errors import (
    InvalidInputError,
    PolicyNotFoundError,
    UnavailableError,
    VersionNotFoundError,
)
from tradewind.serving import QuarantinedVersion

Load = Callable[[Path], LoadedVersion]
Publish = Callable[..., str]


@pytest.fixture
def serve(
    registry: Registry, store: BundleStore, publish: Publish, load: Load
) -> Callable[..., LoadedVersion]:
    """Publishes, loads and serves another version."""

    def serve(policy: str = "tiny-dqn") -> LoadedVersion:
        version = load(store.path(policy, publish(policy)))
        registry.serve(version)
        return version

    return serve


Serve = Callable[..., LoadedVersion]


def test_resolve_with_nothing_served_is_unavailable(registry: Registry) -> None:
    for policy in ("", "tiny-dqn"):
        with pytest.raises(UnavailableError, match="no policy is served yet"):
            registry.resolve(policy, "")


def test_resolve_with_one_policy_needs_no_name(registry: Registry, serve: Serve) -> None:
    version = serve()
    assert registry.resolve("", "") is version
    assert registry.resolve("", version.version) is version
    assert registry.resolve("tiny-dqn", "") is version


def test_resolve_with_several_policies_needs_a_name(registry: Registry, serve: Serve) -> None:
    first, second = serve("tiny-dqn"), serve("tiny-sac")
    with pytest.raises(InvalidInputError, match="several are served: tiny-dqn, tiny-sac"):
        registry.resolve("", "")
    assert registry.resolve("tiny-dqn", "") is first
    assert registry.resolve("tiny-sac", "") is second


@pytest.mark.parametrize("name", ["other", "../tiny-dqn", "tiny-dqn/", "\0"])
def test_resolve_with_unknown_policy_is_not_found(
    registry: Registry, serve: Serve, name: str
) -> None:
    serve()
    with pytest.raises(PolicyNotFoundError, match="served are tiny-dqn") as refused:
        registry.resolve(name, "")
    assert refused.value.metadata == {"policy": name}


def test_retain_lets_go_of_what_is_neither_wanted_nor_served_nor_labelled(
    registry: Registry, serve: Serve
) -> None:
    first, second, third, fourth = serve(), serve(), serve(), serve()
    registry.set_labels("tiny-dqn", {"champion": first.version})
    assert registry.retain("tiny-dqn", {third.version}) == [second]
    assert registry.resolve("tiny-dqn", "") is fourth
    for kept in (first, third):
        assert registry.resolve("tiny-dqn", kept.version) is kept
    with pytest.raises(VersionNotFoundError, match=f"{second.version}' .* is not loaded"):
        registry.resolve("tiny-dqn", second.version)


def test_added_version_answers_by_number_and_is_listed_by_age(
    registry: Registry, store: BundleStore, publish: Publish, load: Load
) -> None:
    older, served = publish(), publish()
    registry.serve(load(store.path("tiny-dqn", served)))
    registry.add(load(store.path("tiny-dqn", older)))
    assert registry.resolve("tiny-dqn", "").version == served
    assert registry.resolve("tiny-dqn", older).version == older
    assert list(registry.snapshot.loaded["tiny-dqn"]) == [older, served]


def test_resolve_by_label_gives_the_version_that_bears_it(registry: Registry, serve: Serve) -> None:
    first, second = serve(), serve()
    registry.set_labels("tiny-dqn", {"champion": first.version, "stable": first.version})
    assert registry.resolve("tiny-dqn", "", "champion") is first
    assert registry.resolve("", "", "stable") is first
    assert registry.resolve("tiny-dqn", "", "served") is second
    assert registry.snapshot.labels_of(first) == ["champion", "stable"]
    assert registry.snapshot.labels_of(second) == ["served"]
    with pytest.raises(VersionNotFoundError, match="labels are champion, served, stable") as none:
        registry.resolve("tiny-dqn", "", "challenger")
    assert none.value.metadata == {"policy": "tiny-dqn", "label": "challenger"}
    with pytest.raises(InvalidInputError, match="label: 'champion' beside version"):
        registry.resolve("tiny-dqn", first.version, "champion")


def test_serve_never_changes_a_snapshot_already_taken(registry: Registry, serve: Serve) -> None:
    first = serve()
    taken = registry.snapshot
    serve()
    assert taken.served == {"tiny-dqn": first}
    assert list(taken.loaded["tiny-dqn"]) == [first.version]


def test_quarantined_version_asked_for_by_name_says_why(registry: Registry, serve: Serve) -> None:
    served = serve()
    registry.quarantine(QuarantinedVersion("tiny-dqn", "2030-01-01.1", "X_FAULT", "d", 1.0))
    with pytest.raises(VersionNotFoundError, match=r"is quarantined \(X_FAULT\)"):
        registry.resolve("tiny-dqn", "2030-01-01.1")
    assert registry.resolve("tiny-dqn", "") is served


def test_serving_or_releasing_a_version_ends_its_quarantine(
    registry: Registry, store: BundleStore, publish: Publish, load: Load
) -> None:
    version = publish()
    for number in (version, "2030-01-01.1"):
        registry.quarantine(QuarantinedVersion("tiny-dqn", number, "X_FAULT", "d", 1.0))
    registry.serve(load(store.path("tiny-dqn", version)))
    assert list(registry.snapshot.quarantined) == [("tiny-dqn", "2030-01-01.1")]
    registry.release("tiny-dqn", "2030-01-01.1")
    assert not registry.snapshot.quarantined


def test_description_of_a_version_tells_its_spaces_digests_and_labels(
    registry: Registry, store: BundleStore, publish: Callable[..., str], load: Load
) -> None:
    discrete = load(store.path("tiny-dqn", publish("tiny-dqn")))
    registry.serve(discrete)
    registry.set_labels("tiny-dqn", {"champion": discrete.version})
    described = registry.snapshot.describe(discrete)
    assert described.observation_space == discrete.policy.metadata.obs_space
    assert described.action_space == DiscreteSpace(n=3)
    assert (described.risk_policy_digest, described.feature_spec_digest) == ("a" * 64, "f" * 64)
    assert (described.labels, described.runtime) == (("served", "champion"), "compiled")
    assert described.runtime_reason == ""

    continuous = load(store.path("tiny-sac", publish("tiny-sac"))).describe(())
    assert (continuous.labels, continuous.risk_policy_digest) == ((), "")


def test_latency_report_counts_single_predictions_and_batches_apart(
    store: BundleStore, publish: Callable[..., str], load: Load
) -> None:
    version = load(store.path("tiny-dqn", publish()))
    empty = version.latency_report()
    assert empty.call_count == 0
    assert math.isnan(empty.mean_us)
    assert math.isnan(empty.p9999_us)

    version.count_batch(9_000, 64)
    for latency_ns in (8_000, 9_000, 110_000):
        version.latencies.record(latency_ns)
    report = version.latency_report()
    assert (report.policy, report.version, report.call_count) == ("tiny-dqn", version.version, 3)
    assert 0 < report.p50_us <= report.p99_us <= report.p9999_us <= report.max_us == 110.0
    assert (report.slo_us, report.slo_violation_count) == (100.0, 1)
    assert report.batch is not None
    assert (report.batch.policy, report.batch.call_count) == ("tiny-dqn", 1)
    assert (report.batch.max_us, version.batch_observations) == (9.0, 64)
