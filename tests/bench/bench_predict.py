"""Latency of a prediction: the network, the embedded policy, and Predict over gRPC.

    python -m tests.bench.bench_predict

Beside them, in the same run: SB3's own `model.predict`, and a plain grpcio server that echoes the
same request bytes with the same number of threads. Clients send and receive bytes as they are, so
that they cost the same whatever the server does; rounds of echo and Predict take turns.
"""

import contextlib
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import DQN

from tests.bench.echo import ECHO, ECHO_STREAM, echo_process
from tests.exporting import build_network
from tradewind.api.inference.v1 import inference_pb2
from tradewind.bundle import (
    BoxSpace,
    BundleDraft,
    BundleStore,
    DiscreteSpace,
    GoldenSet,
    TrainingRecord,
)
from tradewind.policy import (
    TorchScriptNetwork,
    TorchScriptPolicy,
    choose_network,
    measure_latency,
    use_one_torch_thread,
)
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import InferenceClient
from trainer_service.export import script_policy, serialize

OBSERVATION_SIZE = 32
LAYERS = [64, 64]
IN_PROCESS_CALLS = 20_000
ROUNDS = 5
CALLS_PER_ROUND = 2_000
RELOADS = 5

Answered = tuple[NDArray[np.float64], list[bytes]]
Caller = Callable[[grpc.Channel, str, list[bytes], int], Answered]

SERVICE = "/tradewind.api.inference.v1.InferenceService/"


class Market(gymnasium.Env[NDArray[np.float32], np.int64]):
    """The spaces of a trading environment; the network is never trained here."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (OBSERVATION_SIZE,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)


@dataclass(frozen=True)
class Row:
    """Latencies of one thing measured, in nanoseconds, and what it is set beside."""

    name: str
    latencies_ns: NDArray[np.float64]
    beside: str = ""
    calls_per_second: float = float("nan")


def make_draft(model: DQN, observations: NDArray[np.float32]) -> BundleDraft:
    layers, distribution = build_network(model)
    policy_pt = serialize(script_policy(layers))
    network = TorchScriptNetwork(policy_pt)
    golden = GoldenSet(
        observations, network.act(observations)[0], network.distribution(observations)[0]
    )
    return BundleDraft(
        name="bench",
        algo="SB3-DQN",
        policy_pt=policy_pt,
        golden=golden,
        obs_space=BoxSpace(shape=(OBSERVATION_SIZE,)),
        action_space=DiscreteSpace(n=3),
        distribution=distribution,
        training=TrainingRecord(timesteps=0, seed=1),
        slo=measure_latency(
            choose_network(network, BoxSpace(shape=(OBSERVATION_SIZE,)), golden)[0], observations
        ),
    )


def timed(name: str, call: Callable[[int], object], beside: str = "") -> Row:
    """Times every one of IN_PROCESS_CALLS calls, after a tenth of them unmeasured."""
    latencies = np.empty(IN_PROCESS_CALLS)
    for number in range(IN_PROCESS_CALLS // 10):
        call(number)
    for number in range(IN_PROCESS_CALLS):
        started = time.perf_counter_ns()
        call(number)
        latencies[number] = time.perf_counter_ns() - started
    return Row(name, latencies, beside)


def in_process(model: DQN, path: Path, observations: NDArray[np.float32]) -> Iterator[Row]:
    """What a prediction costs with no server between."""
    policy = TorchScriptPolicy.load_bundle(path)
    count = len(observations)
    sb3 = "SB3 model.predict"
    yield timed(sb3, lambda n: model.predict(observations[n % count], deterministic=True))
    yield timed("TorchScriptPolicy.predict", lambda n: policy.predict(observations[n % count]), sb3)
    compute = [
        policy.predict(observations[n % count])[1]["model_compute_ns"]
        for n in range(IN_PROCESS_CALLS)
    ]
    yield Row("  of it the network", np.array(compute, dtype=np.float64), sb3)


def call_unary(channel: grpc.Channel, method: str, payloads: list[bytes], calls: int) -> Answered:
    """Calls one after the other; gives their latencies and answers."""
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
    latencies, answers = np.empty(calls), []
    for number in range(calls):
        payload = payloads[number % len(payloads)]
        started = time.perf_counter_ns()
        answers.append(call(payload))
        latencies[number] = time.perf_counter_ns() - started
    return latencies, answers


def call_stream(channel: grpc.Channel, method: str, payloads: list[bytes], calls: int) -> Answered:
    """Sends the next message of one stream once the last one is answered."""
    answered = threading.Semaphore(1)
    latencies, answers = np.empty(calls), []

    def requests() -> Iterator[bytes]:
        for number in range(calls):
            answered.acquire()
            latencies[number] = time.perf_counter_ns()
            yield payloads[number % len(payloads)]

    call: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(method)
    for number, answer in enumerate(call(requests())):
        latencies[number] = time.perf_counter_ns() - latencies[number]
        answers.append(answer)
        answered.release()
    return latencies, answers


def load(
    call: Caller, address: str, method: str, payloads: list[bytes], callers: int
) -> tuple[NDArray[np.float64], list[bytes], float]:
    """One round of callers, each with a connection of its own, in this process."""
    calls = CALLS_PER_ROUND // callers
    with contextlib.ExitStack() as stack:
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [
            stack.enter_context(grpc.insecure_channel(address, options)) for _ in range(callers)
        ]
        pool = stack.enter_context(ThreadPoolExecutor(callers))
        list(pool.map(lambda channel: call(channel, method, payloads, 20), channels))
        started = time.perf_counter()
        results = list(pool.map(lambda channel: call(channel, method, payloads, calls), channels))
        elapsed = time.perf_counter() - started
    latencies = np.concatenate([latencies for latencies, _ in results])
    return latencies, [answer for _, answers in results for answer in answers], elapsed


def over_grpc(
    title: str,
    call: Caller,
    echo: tuple[str, str, list[bytes]],
    predict: tuple[str, str, list[bytes]],
    callers: int,
    compute: Callable[[bytes], int],
) -> Iterator[Row]:
    """Echo and Predict in turn, and the network's part of Predict as the server measured it."""
    rounds: dict[str, list[tuple[NDArray[np.float64], list[bytes], float]]] = {
        "echo": [],
        "predict": [],
    }
    for _ in range(ROUNDS):
        for name, (address, method, payloads) in (("echo", echo), ("predict", predict)):
            rounds[name].append(load(call, address, method, payloads, callers))

    def row(name: str, key: str, beside: str = "") -> Row:
        latencies = np.concatenate([latencies for latencies, _, _ in rounds[key]])
        rate = float(np.median([len(some) / elapsed for some, _, elapsed in rounds[key]]))
        return Row(name, latencies, beside, rate)

    floor = f"echo, {title}"
    yield row(floor, "echo")
    yield row(f"Predict, {title}", "predict", floor)
    inside = [compute(answer) for _, answers, _ in rounds["predict"] for answer in answers]
    yield Row("  of it the network", np.array(inside, dtype=np.float64))


def rename_to_serving(server: ServiceProcess, store: BundleStore, draft: BundleDraft) -> Row:
    """From the end of publishing to the first answer of the new version."""
    latencies = []
    observation = draft.golden.observations[0]
    with InferenceClient(server.address) as client:
        for _ in range(RELOADS):
            version = store.publish(draft).metadata.version
            started = time.perf_counter_ns()
            while client.predict(observation).version != version:
                time.sleep(0.001)
            latencies.append(time.perf_counter_ns() - started)
    return Row("published → served", np.array(latencies, dtype=np.float64))


def measure(scratch: Path) -> Iterator[Row]:
    """Every row, in the order of the table."""
    model = DQN("MlpPolicy", Market(), policy_kwargs={"net_arch": LAYERS}, seed=1, buffer_size=1)
    generator = np.random.default_rng(1)
    observations = generator.normal(size=(64, OBSERVATION_SIZE)).astype(np.float32)
    draft = make_draft(model, observations)
    store = BundleStore(scratch / "store")
    published = store.publish(draft)
    yield from in_process(model, published.path, observations)

    unary = [
        inference_pb2.PredictRequest(policy="bench", values_f32_le=row.tobytes())
        for row in observations
    ]
    streamed = [
        inference_pb2.PredictStreamRequest(predict=request).SerializeToString() for request in unary
    ]
    payloads = [request.SerializeToString() for request in unary]
    arguments = ["--listen", "127.0.0.1:0", "--store", str(store.root)]
    with (
        ServiceProcess("inference_service", arguments, log=scratch / "server.log") as server,
        echo_process() as echo,
    ):
        for callers in (1, 16):
            yield from over_grpc(
                f"callers: {callers}",
                call_unary,
                (echo, ECHO, payloads),
                (server.address, SERVICE + "Predict", payloads),
                callers,
                lambda data: inference_pb2.PredictResponse.FromString(data).model_compute_ns,
            )
        yield from over_grpc(
            "streams: 1",
            call_stream,
            (echo, ECHO_STREAM, streamed),
            (server.address, SERVICE + "PredictStream", streamed),
            1,
            lambda data: (
                inference_pb2.PredictStreamResponse.FromString(data).predict.model_compute_ns
            ),
        )
        yield rename_to_serving(server, store, draft)


def show(rows: list[Row]) -> None:
    medians = {row.name: float(np.median(row.latencies_ns)) for row in rows}
    print(f"{'microseconds':36}{'p50':>9}{'p99':>9}{'p99.9':>9}{'calls/s':>9}  p50 beside")
    for row in rows:
        p50, p99, p999 = np.percentile(row.latencies_ns, [50.0, 99.0, 99.9]) / 1e3
        rate = "" if np.isnan(row.calls_per_second) else f"{row.calls_per_second:.0f}"
        ratio = f"{p50 * 1e3 / medians[row.beside]:.2f} × {row.beside}" if row.beside else ""
        print(f"{row.name:36}{p50:9.1f}{p99:9.1f}{p999:9.1f}{rate:>9}  {ratio}")


def main() -> None:
    """Measures and prints the table."""
    use_one_torch_thread()
    print(
        f"DQN {OBSERVATION_SIZE}-{'-'.join(map(str, LAYERS))}-3, {platform.machine()}, "
        f"{os.cpu_count()} cores, torch {torch.__version__}, grpcio {grpc.__version__}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        show(list(measure(Path(scratch))))


if __name__ == "__main__":
    main()
