"""Every RPC of a real server process, with good and with bad requests."""

from collections.abc import Callable, Iterator

import grpc
import numpy as np
import pytest

from tradewind import errors
from tradewind.api.inference.v1 import inference_pb2, inference_pb2_grpc
from tradewind.bundle import (
    BundleDraft,
    BundleMetadata,
    BundleStore,
    GoldenSet,
    read_bundle,
)
from tradewind.rpc import ServiceProcess, error_from_rpc
from tradewind.rpc.clients import InferenceClient


class Served:
    """A server with one discrete and one continuous policy."""

    def __init__(self, channel: grpc.Channel, client: InferenceClient, store: BundleStore) -> None:
        self.client = client
        self.stub = inference_pb2_grpc.InferenceServiceStub(channel)
        self.versions = {name: store.versions(name)[0] for name in ("tiny-dqn", "tiny-sac")}
        self.golden: dict[str, GoldenSet] = {}
        self.metadata: dict[str, BundleMetadata] = {}
        for name, version in self.versions.items():
            bundle = read_bundle(store.path(name, version))
            self.golden[name], self.metadata[name] = bundle.golden, bundle.metadata


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, released_draft: Callable[..., BundleDraft]
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    store = BundleStore(folder / "store")
    for name in ("tiny-dqn", "tiny-sac"):
        store.publish(released_draft(name))
    flags = ["--listen", "127.0.0.1:0", "--metrics-listen", "", "--store", str(store.root)]
    with (
        ServiceProcess("inference_service", flags, log=folder / "log") as process,
        grpc.insecure_channel(process.address) as channel,
        InferenceClient(process.address, timeout_s=20.0) as client,
    ):
        yield Served(channel, client, store)


def test_server_answers_every_call(served: Served) -> None:
    check_predict(served)
    check_stochastic(served)
    check_batch(served)
    check_stream(served)
    check_descriptions(served)
    check_latency_report(served)


def check_predict(served: Served) -> None:
    for name in served.versions:
        golden, metadata = served.golden[name], served.metadata[name]
        for observation, expected in zip(golden.observations, golden.actions, strict=True):
            prediction = served.client.predict(observation, policy=name)
            np.testing.assert_allclose(prediction.action, expected, atol=1e-5)
            assert (prediction.policy, prediction.version) == (name, served.versions[name])
            assert prediction.bundle_sha256 == metadata.sha256
            assert prediction.model_compute_ns > 0
    listed = inference_pb2.PredictRequest(
        policy="tiny-dqn",
        version=served.versions["tiny-dqn"],
        values=inference_pb2.FloatVector(values=served.golden["tiny-dqn"].observations[0].tolist()),
        request_id="order-1",
    )
    answer = served.stub.Predict(listed)
    assert answer.discrete == served.golden["tiny-dqn"].actions[0]
    assert answer.request_id == "order-1"
    assert answer.slo_met == (answer.model_compute_ns <= 100_000)


def check_stochastic(served: Served) -> None:
    observation = served.golden["tiny-sac"].observations[0]
    first = served.client.predict(observation, policy="tiny-sac", seed=2**64 - 1)
    again = served.client.predict(observation, policy="tiny-sac", seed=2**64 - 1)
    np.testing.assert_array_equal(first.action, again.action)
    np.testing.assert_allclose(first.action, [-0.5097725, -2.1441071], atol=1e-5)


def check_batch(served: Served) -> None:
    for name, golden in served.golden.items():
        request = inference_pb2.PredictBatchRequest(
            policy=name,
            observation_count=len(golden.observations),
            values_f32_le=golden.observations.tobytes(),
            request_id="batch-1",
        )
        answer = served.stub.PredictBatch(request)
        actions = answer.discrete if name == "tiny-dqn" else answer.continuous.values
        np.testing.assert_allclose(actions, golden.actions.ravel(), atol=1e-5)
        assert (answer.version, answer.request_id) == (served.versions[name], "batch-1")

    request.stochastic, request.seed = True, 2**64 - 1
    sampled = np.array(served.stub.PredictBatch(request).continuous.values).reshape(-1, 2)
    np.testing.assert_allclose(sampled[0], [-0.5097725, -2.1441071], atol=1e-5)
    assert len(np.unique(sampled, axis=0)) == len(sampled)


def check_stream(served: Served) -> None:
    golden = served.golden["tiny-dqn"]
    requests = [
        inference_pb2.PredictStreamRequest(
            predict=inference_pb2.PredictRequest(
                policy="tiny-dqn", values_f32_le=row.tobytes(), request_id=str(number)
            )
        )
        for number, row in enumerate(golden.observations)
    ]
    answers = [answer.predict for answer in served.stub.PredictStream(iter(requests))]
    assert [answer.request_id for answer in answers] == [str(n) for n in range(len(requests))]
    assert [answer.discrete for answer in answers] == golden.actions.tolist()

    requests[2].predict.values_f32_le = b"1234"
    stream = served.stub.PredictStream(iter(requests))
    assert [next(stream).predict.discrete for _ in range(2)] == golden.actions[:2].tolist()
    with pytest.raises(grpc.RpcError) as refused:
        next(stream)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "4 bytes instead of 24" in str(refused.value.details())

    empty = served.stub.PredictStream(iter([inference_pb2.PredictStreamRequest()]))
    with pytest.raises(grpc.RpcError) as refused:
        next(empty)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def check_descriptions(served: Served) -> None:
    listed = served.client.list_policies()
    assert {(item.policy, item.version) for item in listed.policy_versions} == set(
        served.versions.items()
    )
    assert not listed.quarantined_versions
    described = served.client.get_policy("tiny-sac")
    assert described.policy_version.algorithm == "SB3-SAC"
    assert described.policy_version.labels == ("served",)
    assert BundleMetadata.from_json(described.metadata_json.encode()) == served.metadata["tiny-sac"]


def check_latency_report(served: Served) -> None:
    reports = {report.policy: report for report in served.client.latency_reports()}
    assert set(reports) == set(served.versions)
    before = reports["tiny-dqn"].call_count
    served.client.predict(served.golden["tiny-dqn"].observations[0], policy="tiny-dqn")
    (after,) = served.client.latency_reports("tiny-dqn")
    assert after.call_count == before + 1
    with served.client.predict_stream() as stream:
        for observation in served.golden["tiny-dqn"].observations[:3]:
            stream.predict(observation, policy="tiny-dqn")
    (streamed,) = served.client.latency_reports("tiny-dqn")
    assert streamed.call_count == after.call_count + 3
    assert 0 < after.p50_us <= after.p9999_us <= after.max_us
    assert after.slo_us == 100.0
    with pytest.raises(errors.PolicyNotFoundError):
        served.client.latency_reports("other")


def test_server_refuses_bad_requests_with_their_cause_and_goes_on(served: Served) -> None:
    good = served.golden["tiny-dqn"].observations[0]

    def predict(**fields: object) -> errors.TradewindError:
        request = inference_pb2.PredictRequest(policy="tiny-dqn", values_f32_le=good.tobytes())
        for name, value in fields.items():
            setattr(request, name, value)
        with pytest.raises(grpc.RpcError) as refused:
            served.stub.Predict(request)
        return error_from_rpc(refused.value)

    short = predict(values_f32_le=good[:3].tobytes())
    assert isinstance(short, errors.ObservationError)
    assert short.violations[0] == errors.FieldViolation(
        "values_f32_le", "12 bytes instead of 24, (6,)"
    )
    for bad, text in ((np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")):
        observation = good.copy()
        observation[4] = bad
        refused = predict(values_f32_le=observation.tobytes())
        assert isinstance(refused, errors.ObservationError)
        assert refused.violations[0] == errors.FieldViolation(
            "values_f32_le", f"number 4: {text} instead of a finite float32 number"
        )
        listed = inference_pb2.FloatVector(values=observation)
        with pytest.raises(grpc.RpcError) as of_list:
            served.stub.Predict(inference_pb2.PredictRequest(policy="tiny-dqn", values=listed))
        (violation,) = error_from_rpc(of_list.value).violations  # type: ignore[attr-defined]
        assert violation.field == "values.values[4]"
        with pytest.raises(grpc.RpcError) as of_batch:
            served.stub.PredictBatch(
                inference_pb2.PredictBatchRequest(
                    policy="tiny-dqn",
                    observation_count=2,
                    values=inference_pb2.FloatVector(values=np.concatenate([good, observation])),
                )
            )
        (violation,) = error_from_rpc(of_batch.value).violations  # type: ignore[attr-defined]
        assert violation.field == f"values.values[{good.size + 4}]"
    overflowing = predict(values_f32_le=np.full_like(good, 3e38).tobytes())
    assert isinstance(overflowing, errors.ConflictError)
    assert "NaN or infinite distribution" in str(overflowing)
    assert isinstance(predict(policy=""), errors.InvalidInputError)
    for name in ("other", "../tiny-dqn", "tiny-dqn/../tiny-sac"):
        unknown = predict(policy=name)
        assert isinstance(unknown, errors.PolicyNotFoundError)
        assert unknown.metadata == {"policy": name}
    for version in ("2020-01-01.1", "../2026-11-22.1"):
        assert isinstance(predict(version=version), errors.VersionNotFoundError)

    too_large = inference_pb2.PredictRequest(policy="tiny-dqn", values_f32_le=bytes(100_000_000))
    with pytest.raises(grpc.RpcError) as over:
        served.stub.Predict(too_large)
    assert over.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED

    assert (
        served.client.predict(good, policy="tiny-dqn").action
        == served.golden["tiny-dqn"].actions[0]
    )
