"""One slow or hostile network harms no other policy: executors in real sealed processes."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from prometheus_client import CollectorRegistry
from torch import Tensor, nn

from inference_service.awaited import UnawaitedError, is_awaited, note_call
from inference_service.loading.background import BackgroundLoads, StillLoadingError
from inference_service.loading.executor import ExecutorGate, ExecutorNetwork
from inference_service.loading.loader import BundleLoader
from inference_service.loading.messages import ExecuteRequest
from inference_service.loading.process import LoaderProcess
from inference_service.loading.settings import ExecutorSettings, LoaderSettings
from inference_service.registry import LoadedVersion, Registry
from inference_service.watching.watcher import StoreWatcher
from tests.hostile.networks import IN_A_SEAL, NETWORKS, Hostile
from tests.scripting import script
from tests.waiting import PATIENCE_S, wait_until
from tradewind.bundle import BundleFault, BundleLimits, BundleStore, GoldenSet
from tradewind.errors import BundleError, OverloadedError, UnavailableError
from tradewind.policy import TorchScriptPolicy

CALM = np.zeros((1, 3), np.float32)
Publish = Callable[..., str]


class HangsWhenTold(nn.Module):
    """Never answers to an observation that is not all zero."""

    def forward(self, obs: Tensor) -> Tensor:
        while bool(obs.any()):
            obs = obs + 1.0
        return torch.softmax(obs, dim=1).argmax(dim=1)

    @torch.jit.export
    def distribution(self, obs: Tensor) -> Tensor:
        return torch.softmax(obs[:, :3], dim=1)


class HangsAtItsStart(HangsWhenTold):
    """Never answers at all."""

    def forward(self, obs: Tensor) -> Tensor:
        while obs.numel() > 0:
            obs = obs + 1.0
        return obs


class Eats(HangsWhenTold):
    """Takes 40 GB when it is told to."""

    def forward(self, obs: Tensor) -> Tensor:
        count = 1 + int(obs.max()) * (10 << 30)
        return torch.softmax(obs + torch.ones([count]).mean(), dim=1).argmax(dim=1)


@pytest.fixture
def execute(process: LoaderProcess) -> Callable[..., ExecutorNetwork]:
    def execute(
        module: nn.Module, gate: ExecutorGate | None = None, **bounds: float
    ) -> ExecutorNetwork:
        settings = ExecutorSettings.model_validate({"timeout_s": 60.0, **bounds})
        request = ExecuteRequest(script(module), CALM, settings)
        return ExecutorNetwork(process.requests, request, gate=gate, name="test/1")

    return execute


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


Execute = Callable[..., ExecutorNetwork]


def end_process_of(network: ExecutorNetwork) -> None:
    """Ends what hangs, as its time-out would."""
    assert network._fork is not None
    network._fork._ending.close()


def test_calls_beside_a_slow_one_are_refused_at_once_and_answered_afterwards(
    execute: Execute, pool: ThreadPoolExecutor
) -> None:
    network = execute(HangsWhenTold(), slow_s=0.05)
    hanging = pool.submit(network.act, CALM + 1.0)
    wait_until(lambda: network._busy_since is not None)
    refused = [pool.submit(network.act, CALM.copy()) for _ in range(12)]
    for each in refused:
        with pytest.raises(OverloadedError, match="test/1 is slow"):
            each.result(PATIENCE_S)
    assert not hanging.done()  # they did not wait for it
    end_process_of(network)
    with pytest.raises(UnavailableError, match="ended; another one is started"):
        hanging.result(PATIENCE_S)
    assert network.act(CALM.copy())[0].tolist() == [0]


def test_queue_of_a_network_is_bounded(execute: Execute, pool: ThreadPoolExecutor) -> None:
    network = execute(HangsWhenTold(), slow_s=60.0, max_waiting=2)
    hanging = pool.submit(network.act, CALM + 1.0)
    wait_until(lambda: network._busy_since is not None)
    waiting = [pool.submit(network.act, CALM.copy()) for _ in range(2)]
    wait_until(lambda: network._waiting == 2)
    with pytest.raises(OverloadedError, match="2 calls wait for test/1 already"):
        network.act(CALM.copy())
    assert not hanging.done()
    end_process_of(network)
    with pytest.raises(UnavailableError):
        hanging.result(PATIENCE_S)
    assert [each.result(PATIENCE_S)[0].tolist() for each in waiting] == [[0], [0]]


def test_many_callers_of_a_quick_network_all_get_their_answers(
    execute: Execute, pool: ThreadPoolExecutor
) -> None:
    network = execute(HangsWhenTold(), slow_s=30.0)
    calls = [pool.submit(network.act, CALM.copy()) for _ in range(200)]
    assert {tuple(each.result(PATIENCE_S)[0].tolist()) for each in calls} == {(0,)}


def test_networks_that_hang_leave_threads_to_the_others(
    execute: Execute, pool: ThreadPoolExecutor
) -> None:
    gate = ExecutorGate(1)
    first, second = (execute(HangsWhenTold(), gate=gate, slow_s=0.05) for _ in range(2))
    hanging = pool.submit(first.act, CALM + 1.0)
    wait_until(lambda: any(time.monotonic() - since > 0.05 for since in gate._since.values()))
    with pytest.raises(OverloadedError, match="1 TorchScript networks are slow"):
        second.act(CALM.copy())
    assert not hanging.done()
    end_process_of(first)
    with pytest.raises(UnavailableError):
        hanging.result(PATIENCE_S)
    assert second.act(CALM.copy())[0].tolist() == [0]


def test_call_that_nobody_awaits_is_not_executed(execute: Execute) -> None:
    network = execute(HangsWhenTold(), timeout_s=60.0)
    refused: list[str] = []

    def call() -> None:
        note_call(lambda: False)
        assert not is_awaited()
        try:
            network.act(CALM + 1.0)  # would take a minute
        except UnawaitedError as problem:
            refused.append(str(problem))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(PATIENCE_S / 2)
    assert refused == ["nobody awaits the answer any more"]
    assert is_awaited()


def test_network_that_hangs_at_its_start_is_killed(execute: Execute) -> None:
    with pytest.raises(UnavailableError, match="hangs"):
        execute(HangsAtItsStart(), start_timeout_s=3.0)


def test_network_that_takes_too_much_memory_gets_an_error_and_goes_on(execute: Execute) -> None:
    network = execute(Eats(), memory_mb=1024)
    with pytest.raises(BundleError) as refused:
        network.act(CALM + 1.0)
    assert refused.value.reason in ("MODEL_OUTPUT_INVALID", "MODEL_TOO_LARGE")
    assert network.act(CALM.copy())[0].tolist() == [0]


def test_version_that_was_lost_again_and_again_is_quarantined_and_gives_way(
    execute: Execute,
    store: BundleStore,
    publish: Publish,
    registry: Registry,
    metrics: CollectorRegistry,
    make_watcher: Callable[..., StoreWatcher],
) -> None:
    network = execute(HangsWhenTold(), timeout_s=0.3, kills=2)

    def load(folder: Path) -> LoadedVersion:
        policy = TorchScriptPolicy.load_bundle(folder)
        failure = network.failure if folder.name == newest else str
        return LoadedVersion(policy, 100_000, 1.0, failure=failure)

    older, newest = publish(), publish()
    watcher = make_watcher(load)
    watcher.scan()
    assert registry.snapshot.served["tiny-dqn"].version == newest
    for _ in range(2):
        assert network.failure() == ""
        with pytest.raises(UnavailableError, match="hangs"):
            network.act(CALM + 1.0)
    with pytest.raises(UnavailableError, match="2 processes that executed test/1 were lost"):
        network.act(CALM.copy())
    watcher.scan()
    snapshot = registry.snapshot
    assert snapshot.served["tiny-dqn"].version == older
    refused = snapshot.quarantined["tiny-dqn", newest]
    assert refused.reason == BundleFault.MODEL_CALLS_FAILED
    watcher.scan()
    assert registry.snapshot.served["tiny-dqn"].version == older


@pytest.fixture
def load_from(process: LoaderProcess) -> Callable[..., BundleLoader]:
    def make(stopping: threading.Event | None = None, **bounds: float) -> BundleLoader:
        settings = LoaderSettings.model_validate(bounds)
        stopping = stopping or threading.Event()
        return BundleLoader(
            process.requests, settings, BundleLimits(), lambda: None, 100.0, stopping
        )

    return make


@pytest.mark.parametrize(
    ("network", "reasons"), IN_A_SEAL, ids=[network.__name__ for network, _ in IN_A_SEAL]
)
def test_network_without_measure_is_refused_by_the_loading_process(
    load_from: Callable[..., BundleLoader],
    store: BundleStore,
    publish: Publish,
    network: type[Hostile],
    reasons: frozenset[str],
) -> None:
    number = publish(policy_pt=script(network("/nowhere")))
    with pytest.raises(BundleError) as refused:
        load_from(timeout_s=3.0, memory_mb=1024)(store.path("tiny-dqn", number))
    assert refused.value.reason in {*reasons, BundleFault.MODEL_LOAD_TIMEOUT}


def test_network_that_opens_a_file_is_refused_by_loading_process_and_executor(
    process: LoaderProcess,
    load_from: Callable[..., BundleLoader],
    store: BundleStore,
    publish: Publish,
    tmp_path: Path,
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    for network, reason, _ in NETWORKS[:8]:
        policy_pt = script(network(str(victim)))
        number = publish(policy_pt=policy_pt)
        with pytest.raises(BundleError, match=rf"bundle tiny-dqn/{number} is refused") as refused:
            load_from()(store.path("tiny-dqn", number))
        assert refused.value.reason == reason
        with pytest.raises(BundleError) as refused:
            ExecutorNetwork(process.requests, ExecuteRequest(policy_pt, CALM))
        assert refused.value.reason == reason
    assert victim.read_bytes() == b"untouched"


def test_loads_go_on_beside_one_that_hangs(
    load_from: Callable[..., BundleLoader], store: BundleStore, publish: Publish
) -> None:
    hanging = store.path("tiny-dqn", publish(policy_pt=script(HangsAtItsStart())))
    good = store.path("tiny-sac", publish("tiny-sac"))
    stopping = threading.Event()
    loads = BackgroundLoads(load_from(stopping, timeout_s=600.0), patience_s=0.2)
    with pytest.raises(StillLoadingError):
        loads(hanging)
    loads.patience_s = PATIENCE_S
    assert loads(good).name == "tiny-sac"
    with pytest.raises(StillLoadingError):
        loads(hanging)  # not waited for again
    found: list[UnavailableError] = []
    stopping.set()

    def ended() -> bool:
        try:
            loads(hanging)
        except StillLoadingError:
            return False
        except UnavailableError as problem:
            found.append(problem)
        return True

    wait_until(ended)
    assert str(found[0]) == "the server stops"


def test_loading_process_knows_no_secret_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    with LoaderProcess() as process:
        wait_until(lambda: b"OMP_NUM_THREADS" in environment_of(process.pid))
        assert b"hunter2" not in environment_of(process.pid)
        assert b"NUMBA_NUM_THREADS=1" in environment_of(process.pid)


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def test_network_whose_answers_are_not_the_golden_ones_is_refused_by_the_server(
    process: LoaderProcess, store: BundleStore, publish: Publish
) -> None:
    golden = GoldenSet(
        np.zeros((2, 6), np.float32), np.ones(2, np.int64), np.full((2, 3), 1 / 3, np.float32)
    )
    number = publish(policy_pt=script(HangsWhenTold()), golden=golden)
    loader = BundleLoader(
        process.requests, LoaderSettings(), BundleLimits(), lambda: None, 100.0, threading.Event()
    )
    with pytest.raises(BundleError, match="instead of 1") as refused:
        loader(store.path("tiny-dqn", number))
    assert refused.value.reason == BundleFault.GOLDEN_MISMATCH
