from collections.abc import Callable
from pathlib import Path

import numpy as np

from inference_service.convert import latency_report, policy_version_message
from inference_service.registry import LoadedVersion
from tradewind.api.inference.v1 import inference_pb2
from tradewind.bundle import BundleStore


def test_version_message_tells_spaces_and_digests(
    store: BundleStore, publish: Callable[..., str], load: Callable[[Path], LoadedVersion]
) -> None:
    discrete = load(store.path("tiny-dqn", publish("tiny-dqn")))
    message = policy_version_message(discrete, ["served", "champion"])
    assert message.observation_space == inference_pb2.Space(
        kind=inference_pb2.SPACE_KIND_BOX, shape=[6], low=[-10.0], high=[10.0] * 5 + [np.inf]
    )
    assert message.action_space == inference_pb2.Space(
        kind=inference_pb2.SPACE_KIND_DISCRETE, choice_count=3
    )
    assert (message.risk_policy_digest, message.feature_spec_digest) == ("a" * 64, "f" * 64)
    assert (list(message.labels), message.runtime) == (["served", "champion"], "compiled")
    assert message.runtime_reason == ""

    continuous = load(store.path("tiny-sac", publish("tiny-sac")))
    message = policy_version_message(continuous, [])
    assert list(message.action_space.high) == [1.0, 2.5]
    assert (list(message.labels), message.risk_policy_digest) == ([], "")


def test_latency_report_counts_single_predictions_and_batches_apart(
    store: BundleStore, publish: Callable[..., str], load: Callable[[Path], LoadedVersion]
) -> None:
    version = load(store.path("tiny-dqn", publish()))
    empty = latency_report(version)
    assert empty.call_count == 0
    assert np.isnan([empty.mean_us, empty.p50_us, empty.p9999_us]).all()

    observations = version.policy.golden.observations
    version.count_batch(9_000, len(observations))
    for latency_ns in range(len(observations)):
        version.latencies.record(9_000 + latency_ns)
    report = latency_report(version)
    assert (report.policy, report.version) == ("tiny-dqn", version.version)
    assert report.call_count == len(observations)
    assert 0 < report.p50_us <= report.p99_us <= report.p9999_us <= report.max_us
    assert report.slo_us == 100.0
    assert (report.batch.policy, report.batch.call_count) == ("tiny-dqn", 1)
    assert 0 < report.batch.p50_us <= report.batch.max_us
    assert version.batch_observations == len(observations)
