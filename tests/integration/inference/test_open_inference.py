"""The Open Inference Protocol over real gRPC, with the generated stubs; good and bad requests."""

import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from numpy.typing import NDArray

import tradewind
from tests.integration.inference.conftest import ServeHere
from tradewind import errors
from tradewind.api.inference.v1 import inference_pb2, inference_pb2_grpc
from tradewind.api.open_inference import grpc_predict_v2_pb2 as messages
from tradewind.api.open_inference import grpc_predict_v2_pb2_grpc
from tradewind.bundle import BundleDraft, BundleStore, GoldenSet, read_bundle
from tradewind.rpc import RpcServer, ServerSettings, error_from_rpc

SERVICE = "inference.GRPCInferenceService"
InputTensor = messages.ModelInferRequest.InferInputTensor
OutputTensor = messages.ModelInferRequest.InferRequestedOutputTensor
Parameter = messages.InferParameter


class Served:
    """A server with one discrete and one continuous policy, and one refused version."""

    def __init__(
        self, server: RpcServer, channel: grpc.Channel, store: BundleStore, versions: dict[str, str]
    ) -> None:
        self.server = server
        self.channel = channel
        self.stub = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(channel)
        self.versions = versions
        self.golden: dict[str, GoldenSet] = {
            name: read_bundle(store.path(name, version)).golden
            for name, version in versions.items()
        }

    def infer(self, request: messages.ModelInferRequest) -> messages.ModelInferResponse:
        return self.stub.ModelInfer(request, timeout=20.0)

    def refused(self, request: messages.ModelInferRequest) -> errors.TradewindError:
        with pytest.raises(grpc.RpcError) as refused:
            self.infer(request)
        return error_from_rpc(refused.value)


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory,
    released_draft: Callable[..., BundleDraft],
    serve_here_for_all: ServeHere,
) -> Iterator[Served]:
    store = BundleStore(tmp_path_factory.mktemp("store"))
    versions = {
        name: store.publish(released_draft(name)).metadata.version
        for name in ("tiny-dqn", "tiny-sac")
    }
    (store.publish(released_draft("tiny-dqn")).path / "policy.pt").write_bytes(b"swapped")
    listen = ServerSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0", drain_s=0.0)
    server = serve_here_for_all(store, poll_s=60.0, server=listen)
    with grpc.insecure_channel(server.address) as channel:
        yield Served(server, channel, store, versions)


def raw_request(
    name: str, observations: NDArray[np.float32], **fields: Any
) -> messages.ModelInferRequest:
    tensor = InputTensor(name="observation", datatype="FP32", shape=observations.shape)
    parts = {"inputs": [tensor], "raw_input_contents": [observations.tobytes()], **fields}
    return messages.ModelInferRequest(model_name=name, **parts)


def arrays(response: messages.ModelInferResponse) -> dict[str, NDArray[Any]]:
    types = {"INT64": "<i8", "FP32": "<f4"}
    return {
        tensor.name: np.frombuffer(raw, types[tensor.datatype]).reshape(tensor.shape)
        for tensor, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }


def test_model_infer_with_golden_observations_gives_the_golden_answers(served: Served) -> None:
    for name, golden in served.golden.items():
        raw = served.infer(raw_request(name, golden.observations, id="order-1"))
        listed = raw_request(name, golden.observations, raw_input_contents=[])
        listed.inputs[0].contents.fp32_contents.extend(golden.observations.ravel().tolist())
        for response in (raw, served.infer(listed)):
            answer = arrays(response)
            assert list(answer) == ["action", "distribution"]
            np.testing.assert_allclose(answer["action"], golden.actions, atol=1e-5)
            np.testing.assert_allclose(answer["distribution"], golden.distribution, atol=1e-5)
        assert answer["action"].dtype == golden.actions.dtype
        assert (raw.model_name, raw.model_version) == (name, served.versions[name])
        assert raw.id == "order-1"
        elapsed = raw.parameters["model_compute_ns"].int64_param
        assert elapsed > 0
        assert raw.parameters["slo_met"].bool_param == (elapsed <= 100_000)


def test_model_infer_with_named_outputs_gives_these_in_order(served: Served) -> None:
    observations = served.golden["tiny-dqn"].observations
    for names in (["action"], ["distribution"], ["distribution", "action"]):
        outputs = [OutputTensor(name=name) for name in names]
        response = served.infer(raw_request("tiny-dqn", observations, outputs=outputs))
        assert [tensor.name for tensor in response.outputs] == names


def test_model_infer_with_hints_of_clients_gives_the_answer_without_them(served: Served) -> None:
    golden = served.golden["tiny-dqn"]
    hints = {
        "content_type": Parameter(string_param="np"),
        "binary_data_size": Parameter(int64_param=golden.observations.nbytes),
        "priority": Parameter(uint64_param=1),
        "timeout": Parameter(int64_param=1),
    }
    request = raw_request("tiny-dqn", golden.observations, parameters=hints)
    request.outputs.add(name="action", parameters={"binary_data": Parameter(bool_param=True)})
    for name, hint in hints.items():
        request.inputs[0].parameters[name].CopyFrom(hint)
    request.inputs[0].contents.SetInParent()
    assert request.inputs[0].HasField("contents")
    np.testing.assert_array_equal(arrays(served.infer(request))["action"], golden.actions)


def test_model_infer_with_a_seed_samples_what_predict_batch_samples(served: Served) -> None:
    observations = served.golden["tiny-sac"].observations
    stub = inference_pb2_grpc.InferenceServiceStub(served.channel)
    request = inference_pb2.PredictBatchRequest(
        policy="tiny-sac",
        observation_count=len(observations),
        values_f32_le=observations.tobytes(),
        stochastic=True,
        seed=7,
    )
    expected = np.array(stub.PredictBatch(request).continuous.values, np.float32)
    for seed in (Parameter(uint64_param=7), Parameter(int64_param=7)):
        parameters = {"stochastic": Parameter(bool_param=True), "seed": seed}
        answer = arrays(served.infer(raw_request("tiny-sac", observations, parameters=parameters)))
        np.testing.assert_array_equal(answer["action"].ravel(), expected)
    assert not np.allclose(expected, served.golden["tiny-sac"].actions.ravel(), atol=1e-3)


def batches(served: Served) -> float:
    """How many batches of one policy were counted."""
    with urllib.request.urlopen(f"http://{served.server.metrics_address}/metrics") as page:
        lines = page.read().decode().splitlines()
    (counted,) = [
        line
        for line in lines
        if line.startswith("tradewind_inference_predictions_total")
        and 'call="batch"' in line
        and 'policy="tiny-dqn"' in line
    ]
    return float(counted.rsplit(" ", 1)[1])


def test_model_infer_with_an_answer_is_counted_as_a_batch(served: Served) -> None:
    observations = served.golden["tiny-dqn"].observations
    served.infer(raw_request("tiny-dqn", observations))
    before = batches(served)
    for _ in range(3):
        served.infer(raw_request("tiny-dqn", observations))
    assert batches(served) == before + 3.0


def test_descriptions_with_loaded_and_refused_versions_tell_them_apart(served: Served) -> None:
    stub, good = served.stub, served.versions["tiny-dqn"]
    assert stub.ServerLive(messages.ServerLiveRequest()).live
    assert stub.ServerReady(messages.ServerReadyRequest()).ready
    server = stub.ServerMetadata(messages.ServerMetadataRequest())
    assert (server.name, server.version) == ("tradewind", tradewind.__version__)

    dqn = stub.ModelMetadata(messages.ModelMetadataRequest(name="tiny-dqn"))
    assert list(dqn.versions) == [good]
    tensors = {item.name: (item.datatype, list(item.shape)) for item in (*dqn.inputs, *dqn.outputs)}
    assert tensors == {
        "observation": ("FP32", [-1, 6]),
        "action": ("INT64", [-1]),
        "distribution": ("FP32", [-1, 3]),
    }
    sac = stub.ModelMetadata(messages.ModelMetadataRequest(name="tiny-sac"))
    assert [list(item.shape) for item in sac.outputs] == [[-1, 2], [-1, 2, 2]]
    assert [item.datatype for item in sac.outputs] == ["FP32", "FP32"]

    index = stub.RepositoryIndex(messages.RepositoryIndexRequest()).models
    states = {(item.name, item.version): (item.state, item.reason) for item in index}
    assert states.pop(("tiny-dqn", good)) == ("READY", "")
    assert states.pop(("tiny-sac", served.versions["tiny-sac"])) == ("READY", "")
    ((refused, (state, reason)),) = states.items()
    assert state == "UNAVAILABLE"
    assert reason.startswith("DIGEST_MISMATCH: ")
    ready = stub.RepositoryIndex(messages.RepositoryIndexRequest(ready=True)).models
    assert [item.state for item in ready] == ["READY", "READY"]

    for name, version, answers in (
        ("tiny-dqn", "", True),
        ("tiny-dqn", good, True),
        ("tiny-dqn", refused[1], False),
        ("other", "", False),
    ):
        asked = messages.ModelReadyRequest(name=name, version=version)
        assert stub.ModelReady(asked).ready == answers


def test_health_and_reflection_with_the_service_list_it(served: Served) -> None:
    health: Any = health_pb2_grpc.HealthStub(served.channel)
    answer = health.Check(health_pb2.HealthCheckRequest(service=SERVICE))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    reflect: Any = reflection_pb2_grpc.ServerReflectionStub(served.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (listed,) = reflect.ServerReflectionInfo(iter([request]))
    assert SERVICE in [item.name for item in listed.list_services_response.service]


def test_server_ready_with_an_empty_store_is_not_ready_and_a_call_unavailable(
    serve_here: ServeHere,
) -> None:
    server = serve_here()
    assert not server.is_serving()
    with grpc.insecure_channel(server.address) as channel:
        stub = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(messages.ServerLiveRequest()).live
        assert not stub.ServerReady(messages.ServerReadyRequest()).ready
        assert not stub.ModelReady(messages.ModelReadyRequest(name="tiny-dqn")).ready
        with pytest.raises(grpc.RpcError) as refused:
            stub.ModelInfer(messages.ModelInferRequest(model_name="tiny-dqn"))
        assert isinstance(error_from_rpc(refused.value), errors.UnavailableError)


def test_model_infer_with_bad_requests_names_the_field_and_goes_on(served: Served) -> None:
    good = served.golden["tiny-dqn"].observations[:2]
    bad = good.copy()
    bad[1, 4] = np.nan

    def tensor(**changes: Any) -> InputTensor:
        return InputTensor(
            **{"name": "observation", "datatype": "FP32", "shape": [2, 6], **changes}
        )

    def violation(observations: NDArray[np.float32] = good, **fields: Any) -> tuple[str, str]:
        error = served.refused(raw_request("tiny-dqn", observations, **fields))
        assert isinstance(error, errors.InvalidInputError)
        (found,) = error.violations
        return found.field, found.description

    text = Parameter(string_param="x")
    doubles = messages.InferTensorContents(fp64_contents=[0.0] * 12)
    bad_contents = messages.InferTensorContents(fp32_contents=bad.ravel().tolist())
    few = messages.InferTensorContents(fp32_contents=[0.0] * 11)
    for found, expected in (
        (
            violation(bad),
            ("raw_input_contents[0]", "number 10: nan instead of a finite float32 number"),
        ),
        (
            violation(inputs=[tensor(contents=bad_contents)], raw_input_contents=[]),
            ("inputs[0].contents.fp32_contents[10]", "nan instead of a finite float32 number"),
        ),
        (violation(inputs=[]), ("inputs", "none instead of one tensor 'observation'")),
        (
            violation(inputs=[tensor(name="x")]),
            ("inputs", "'x' instead of one tensor 'observation'"),
        ),
        (
            violation(inputs=[tensor(), tensor()]),
            ("inputs", "'observation', 'observation' instead of one tensor 'observation'"),
        ),
        (
            violation(inputs=[tensor(datatype="FP64")]),
            ("inputs[0].datatype", "'FP64' instead of 'FP32'"),
        ),
        (
            violation(inputs=[tensor(parameters={"shared_memory_region": text})]),
            (
                "inputs[0].parameters",
                "'shared_memory_region' would change the answer, and is not served",
            ),
        ),
        (violation(inputs=[tensor(contents=few)])[0], "inputs[0].contents"),
        (
            violation(inputs=[tensor(contents=few)], raw_input_contents=[]),
            ("inputs[0].contents.fp32_contents", "11 numbers instead of 12"),
        ),
        (
            violation(inputs=[tensor(contents=doubles)], raw_input_contents=[]),
            ("inputs[0].contents", "fp64_contents instead of fp32_contents"),
        ),
        (violation(raw_input_contents=[])[0], "inputs[0].contents.fp32_contents"),
        (
            violation(raw_input_contents=[b"", b""]),
            ("raw_input_contents", "2 elements instead of 1"),
        ),
        (
            violation(raw_input_contents=[b"1234"]),
            ("raw_input_contents[0]", "4 bytes instead of 48, (2, 6)"),
        ),
        (violation(outputs=[OutputTensor(name="value")])[0], "outputs[0].name"),
        (violation(outputs=[OutputTensor(name="action")] * 2)[0], "outputs[1].name"),
        (
            violation(outputs=[OutputTensor(name="action", parameters={"classification": text})]),
            (
                "outputs[0].parameters",
                "'classification' would change the answer, and is not served",
            ),
        ),
        (violation(parameters={"sequence_id": text})[0], "parameters[sequence_id]"),
        (violation(parameters={"Seed": Parameter(int64_param=1)})[0], "parameters[Seed]"),
        (violation(parameters={"stochastic": text})[0], "parameters[stochastic]"),
        (violation(parameters={"seed": Parameter()})[0], "parameters[seed]"),
        (
            violation(
                parameters={
                    "stochastic": Parameter(bool_param=True),
                    "seed": Parameter(int64_param=-1),
                }
            )[0],
            "parameters[seed]",
        ),
    ):
        assert found == expected
    for shape in ([], [6], [2, 5], [0, 6], [-1, 6], [2**62, 6], [1, 2, 6]):
        field, _ = violation(inputs=[tensor(shape=shape)])
        assert field in ("inputs[0].shape", "raw_input_contents[0]")

    unknown = served.refused(raw_request("other", good))
    assert isinstance(unknown, errors.PolicyNotFoundError)
    version = served.refused(raw_request("tiny-dqn", good, model_version="2020-01-01.1"))
    assert isinstance(version, errors.VersionNotFoundError)
    endless = served.refused(raw_request("x" * 1_000_000, good))
    assert isinstance(endless, errors.PolicyNotFoundError)
    assert endless.metadata["policy"].startswith("xxx")
    assert violation(inputs=[tensor(shape=[1] * 100_000)])[0] == "inputs[0].shape"
    with pytest.raises(grpc.RpcError) as no_name:
        served.stub.RepositoryIndex(messages.RepositoryIndexRequest(repository_name="x"))
    assert no_name.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert arrays(served.infer(raw_request("tiny-dqn", good)))["action"].shape == (2,)
