"""What callers are told who come too early, or to a network that is slow."""

import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inference_service.loading.settings import ExecutorSettings
from inference_service.watching.watcher import StoreWatcher
from tests.integration.rpc.test_network_limits import details, refused_counts
from tradewind import errors
from tradewind.api.inference.v1 import inference_pb2, inference_pb2_grpc
from tradewind.bundle import GoldenSet
from tradewind.rpc import RpcServer, ServerSettings, error_from_rpc
from tradewind.rpc.clients import InferenceClient
from tradewind.rpc.server.limits import NetworkLimits

ServeHere = Callable[..., RpcServer]
CALM = np.zeros(6, np.float32)


class HangsWhenTold(nn.Module):
    """Never answers to an observation that is not all zero."""

    def forward(self, obs: Tensor) -> Tensor:
        while bool(obs.any()):
            obs = obs + 1.0
        return torch.softmax(obs, dim=1).argmax(dim=1)

    @torch.jit.export
    def distribution(self, obs: Tensor) -> Tensor:
        return torch.softmax(obs[:, :3], dim=1)


@pytest.fixture
def publish_hanging(publish: Callable[..., str]) -> Callable[[], str]:
    """Publishes a policy `odd` that hangs when it is told to."""

    def publish_hanging() -> str:
        buffer = io.BytesIO()
        torch.jit.save(torch.jit.script(HangsWhenTold().eval()), buffer)
        golden = GoldenSet(
            np.zeros((2, 6), np.float32), np.zeros(2, np.int64), np.full((2, 3), 1 / 3, np.float32)
        )
        return publish(name="odd", policy_pt=buffer.getvalue(), golden=golden)

    return publish_hanging


def asked(policy: str, observation: Any = CALM) -> inference_pb2.PredictRequest:
    return inference_pb2.PredictRequest(policy=policy, values_f32_le=observation.tobytes())


def refused_beside_a_hanging_call(
    stub: inference_pb2_grpc.InferenceServiceStub,
) -> grpc.RpcError:
    """Has it hang again whenever the network's process was replaced meanwhile."""
    while True:
        hanging = stub.Predict.future(asked("odd", CALM + 1.0))
        try:
            while not hanging.done():
                stub.Predict(asked("odd"))
        except grpc.RpcError as problem:
            if problem.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
                return problem
        finally:
            hanging.cancel()


def test_call_to_a_slow_network_is_refused_with_a_reason_and_a_time_and_is_counted(
    publish_hanging: Callable[[], str], serve_here: ServeHere
) -> None:
    publish_hanging()
    bounds = ExecutorSettings(timeout_s=5.0, slow_s=0.05, kills=100)
    server = serve_here(executor=bounds)
    with grpc.insecure_channel(server.address) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        refused = refused_beside_a_hanging_call(stub)
    assert details(refused) == ("TOO_MANY_CALLS_OF_A_NETWORK", 1.0)
    error = error_from_rpc(refused)
    assert isinstance(error, errors.OverloadedError)
    assert error.retry_after_s == 1.0
    assert refused_counts(server) == {"TOO_MANY_CALLS_OF_A_NETWORK": 1.0}


def test_network_that_hangs_keeps_no_stream_of_another_policy_from_an_answer(
    publish: Callable[..., str], publish_hanging: Callable[[], str], serve_here: ServeHere
) -> None:
    publish()
    publish_hanging()
    limits = NetworkLimits(streams=32, caller_share=1.0)
    listen = ServerSettings(listen="127.0.0.1:0", drain_s=0.0, threads=48, limits=limits)
    server = serve_here(server=listen, executor=ExecutorSettings(timeout_s=5.0, kills=100))
    stopping = threading.Event()

    def ask_to_hang() -> int:
        count = 0
        with InferenceClient(server.address, timeout_s=120.0) as client:
            while not stopping.wait(0.01):
                with pytest.raises((errors.OverloadedError, errors.UnavailableError)):
                    client.predict(CALM + 1.0, policy="odd")
                count += 1
        return count

    def stream() -> int:
        with (
            InferenceClient(server.address, timeout_s=120.0) as client,
            client.predict_stream() as opened,
        ):
            return sum(opened.predict(CALM, policy="tiny-dqn").version != "" for _ in range(20))

    with ThreadPoolExecutor(20) as pool:
        hostile = [pool.submit(ask_to_hang) for _ in range(4)]
        good = [pool.submit(stream) for _ in range(16)]
        try:
            assert [each.result(240) for each in good] == [20] * 16
        finally:
            stopping.set()
        assert min(each.result(240) for each in hostile) > 0


def test_what_is_not_loaded_yet_is_unavailable_with_the_reason_starting(
    publish: Callable[..., str],
    serve_here: ServeHere,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    number = publish()
    publish("tiny-sac")
    listen = f"unix:{tmp_path}/socket"
    told: dict[tuple[str, ...], str] = {}

    def ask() -> None:
        with InferenceClient(listen, timeout_s=60.0) as client:
            for policy, version, label in (
                ("", "", ""),
                ("tiny-dqn", "", ""),
                ("tiny-dqn", number, ""),
                ("tiny-dqn", "2020-01-01.1", ""),
                ("tiny-dqn", "", "stable"),
                ("tiny-sac", "", ""),
                ("other", "", ""),
            ):
                try:
                    answer = client.predict(CALM, policy=policy, version=version, label=label)
                    told[policy, version, label] = answer.policy
                except errors.TradewindError as problem:
                    told[policy, version, label] = getattr(problem, "reason", "")

    scan_best = StoreWatcher._scan_best
    heard: list[dict[tuple[str, ...], str]] = []

    def ask_before(self: StoreWatcher, policy: str) -> None:
        ask()
        heard.append(dict(told))
        scan_best(self, policy)

    monkeypatch.setattr(StoreWatcher, "_scan_best", ask_before)
    server = serve_here(server=ServerSettings(listen=listen, drain_s=0.0), poll_s=60.0)
    assert server.is_serving()
    before, between = heard[:2]
    assert set(before.values()) == {"STARTING"}
    assert between["", "", ""] == between["tiny-dqn", "", ""] == "tiny-dqn"
    assert between["tiny-dqn", number, ""] == "tiny-dqn"
    assert {reason for reason in between.values() if reason != "tiny-dqn"} == {"STARTING"}
    monkeypatch.undo()
    ask()
    assert told["other", "", ""] == "POLICY_NOT_FOUND"
    assert told["tiny-dqn", "2020-01-01.1", ""] == "VERSION_NOT_FOUND"
