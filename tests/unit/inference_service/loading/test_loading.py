"""A real loading process, given bundles that are good, slow, greedy or deadly."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from torch import Tensor, nn

from inference_service.loading.executor import ExecutorNetwork
from inference_service.loading.loader import BundleLoader
from inference_service.loading.messages import ExecuteRequest
from inference_service.loading.process import LoaderProcess
from inference_service.loading.settings import ExecutorSettings, LoaderSettings
from inference_service.registry import LoadedVersion
from tests.scripting import script
from tradewind.bundle import BundleFault, BundleLimits, BundleStore, GoldenSet
from tradewind.errors import (
    BundleError,
    BundleIntegrityError,
    UnavailableError,
    VersionNotFoundError,
)

Publish = Callable[..., str]
PATIENCE_S = 60.0


class Endless(nn.Module):
    """Never answers."""

    def forward(self, obs: Tensor) -> Tensor:
        while obs.numel() > 0:
            obs = obs + 1.0
        return obs

    @torch.jit.export
    def distribution(self, obs: Tensor) -> Tensor:
        return obs


class EndlessWhenTold(nn.Module):
    """Never answers to an observation that is not all zero."""

    def forward(self, obs: Tensor) -> Tensor:
        while bool(obs.any()):
            obs = obs + 1.0
        return obs.argmax(dim=1)

    @torch.jit.export
    def distribution(self, obs: Tensor) -> Tensor:
        return obs


class Greedy(nn.Module):
    """Asks for 64 GB."""

    def forward(self, obs: Tensor) -> Tensor:
        return torch.zeros(obs.shape[0], 1 << 34).argmax(dim=1)

    @torch.jit.export
    def distribution(self, obs: Tensor) -> Tensor:
        return obs


class Softmax(nn.Module):
    """What the compiled runtime does not know."""

    def forward(self, obs: Tensor) -> Tensor:
        return self.distribution(obs).argmax(dim=1)

    @torch.jit.export
    def distribution(self, obs: Tensor) -> Tensor:
        return torch.softmax(obs[:, :3], dim=1)


@pytest.fixture
def stopping() -> threading.Event:
    return threading.Event()


@pytest.fixture
def make_loader(process: LoaderProcess, stopping: threading.Event) -> Callable[..., BundleLoader]:
    def make(**bounds: float) -> BundleLoader:
        settings = LoaderSettings.model_validate(bounds)
        return BundleLoader(
            process.requests, settings, BundleLimits(), lambda: None, 100.0, stopping
        )

    return make


MakeLoader = Callable[..., BundleLoader]


@pytest.fixture
def load_good(
    make_loader: MakeLoader, store: BundleStore, publish: Publish
) -> Callable[[], LoadedVersion]:
    """Loads a good version, which shows that the process is well."""
    return lambda: make_loader()(store.path("tiny-dqn", publish()))


@contextlib.contextmanager
def loading_endlessly(
    process: LoaderProcess, loader: BundleLoader, path: Path
) -> Iterator[tuple["Future[LoadedVersion]", psutil.Process]]:
    """Gives a load that does not end, and the process that it runs in."""
    zygote, pause = psutil.Process(process.pid), threading.Event()
    before = zygote.children()  # one that has answered may still be exiting
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(loader, path)
        for _ in range(round(PATIENCE_S / 0.01)):
            forks = [fork for fork in zygote.children() if fork not in before]
            if forks:
                break
            pause.wait(0.01)
        yield loading, forks[0]


def test_loaded_version_gives_the_golden_answers(
    make_loader: MakeLoader, store: BundleStore, publish: Publish
) -> None:
    load = make_loader()
    for name in ("tiny-dqn", "tiny-sac"):
        version = load(store.path(name, publish(name)))
        assert (version.policy.runtime, version.policy.runtime_reason) == ("compiled", "")
        golden = version.policy.golden
        actions, _ = version.policy.predict_batch(golden.observations)
        np.testing.assert_allclose(actions, golden.actions, atol=1e-5)


def test_network_that_is_not_lowered_is_executed_in_a_process_that_is_replaced_when_it_ends(
    process: LoaderProcess, make_loader: MakeLoader, store: BundleStore, publish: Publish
) -> None:
    observations = np.zeros((2, 6), np.float32)
    golden = GoldenSet(
        observations, np.zeros(2, np.int64), np.full((2, 3), 1 / 3, dtype=np.float32)
    )
    number = publish(policy_pt=script(Softmax()), golden=golden)
    zygote = psutil.Process(process.pid)
    before = zygote.children()
    version = make_loader()(store.path("tiny-dqn", number))
    assert version.policy.runtime == "torchscript"
    assert version.policy.runtime_reason == "not lowered: aten::softmax.int is not known"
    for _ in range(2):
        assert version.policy.predict(observations[0])[0] == 0
        _, info = version.policy.predict_batch(observations, with_distribution=True)
        np.testing.assert_allclose(info["distribution"], golden.distribution)
        (executor,) = [child for child in zygote.children() if child not in before]
        executor.kill()
        with pytest.raises(UnavailableError, match="another one is started"):
            version.policy.predict(observations[0])
        before.append(executor)  # a zombie until the next request
    assert version.policy.predict(observations[0])[0] == 0
    (executor,) = [child for child in zygote.children() if child not in before]
    del version
    assert psutil.wait_procs([executor], PATIENCE_S)[1] == []


def test_network_that_hangs_on_an_observation_costs_that_call_and_is_replaced(
    process: LoaderProcess,
) -> None:
    calm = np.zeros((1, 3), np.float32)
    request = ExecuteRequest(script(EndlessWhenTold()), calm, ExecutorSettings(timeout_s=2.0))
    network = ExecutorNetwork(process.requests, request)
    with pytest.raises(UnavailableError, match="hangs"):
        network.act(calm + 1.0)
    assert network.act(calm)[0].tolist() == [0]


def test_network_that_does_not_load_is_refused_by_its_executor(process: LoaderProcess) -> None:
    calm = np.zeros((1, 3), np.float32)
    with pytest.raises(BundleError, match="not a scripted network"):
        ExecutorNetwork(process.requests, ExecuteRequest(b"junk", calm))


def test_refusal_comes_back_as_the_exception_it_was(
    make_loader: MakeLoader, store: BundleStore, publish: Publish
) -> None:
    load = make_loader()
    path = store.path("tiny-dqn", publish())
    network = path / "policy.pt"
    network.chmod(0o644)
    network.write_bytes(b"swapped")
    with pytest.raises(BundleIntegrityError, match="policy.pt has SHA-256") as refused:
        load(path)
    assert refused.value.reason == BundleFault.DIGEST_MISMATCH
    assert refused.value.metadata["file"] == "policy.pt"
    with pytest.raises(VersionNotFoundError):
        load(store.path("tiny-dqn", "2020-01-01.1"))


def test_network_that_hangs_is_refused_in_time(
    make_loader: MakeLoader,
    store: BundleStore,
    publish: Publish,
    load_good: Callable[[], LoadedVersion],
) -> None:
    endless = store.path("tiny-dqn", publish(policy_pt=script(Endless())))
    with pytest.raises(BundleError, match=r"loading it took longer than 0\.5 s") as refused:
        make_loader(timeout_s=0.5)(endless)
    assert refused.value.reason == BundleFault.MODEL_LOAD_TIMEOUT
    load_good()


def test_network_that_takes_too_much_memory_is_refused(
    make_loader: MakeLoader,
    store: BundleStore,
    publish: Publish,
    load_good: Callable[[], LoadedVersion],
) -> None:
    greedy = store.path("tiny-dqn", publish(policy_pt=script(Greedy())))
    with pytest.raises(BundleError, match="alloc") as refused:
        make_loader(memory_mb=1024)(greedy)
    assert refused.value.reason == BundleFault.MODEL_OUTPUT_INVALID
    load_good()


def test_network_that_crashes_its_process_is_refused(
    process: LoaderProcess,
    make_loader: MakeLoader,
    store: BundleStore,
    publish: Publish,
    load_good: Callable[[], LoadedVersion],
) -> None:
    endless = store.path("tiny-dqn", publish(policy_pt=script(Endless())))
    with loading_endlessly(process, make_loader(), endless) as (loading, fork):
        fork.send_signal(signal.SIGSEGV)
        with pytest.raises(BundleError, match="ended the loading process by SIGSEGV") as refused:
            loading.result(PATIENCE_S)
    assert refused.value.reason == BundleFault.MODEL_LOAD_CRASHED
    load_good()


def test_loading_process_that_is_killed_is_no_fault_of_the_bundle_and_is_replaced(
    process: LoaderProcess,
    make_loader: MakeLoader,
    store: BundleStore,
    publish: Publish,
    load_good: Callable[[], LoadedVersion],
) -> None:
    endless = store.path("tiny-dqn", publish(policy_pt=script(Endless())))
    with loading_endlessly(process, make_loader(), endless) as (loading, fork):
        os.kill(process.pid, signal.SIGKILL)
        with contextlib.suppress(psutil.NoSuchProcess):  # it ends with the loading process
            fork.kill()
        with pytest.raises(UnavailableError, match="loading process ended"):
            loading.result(PATIENCE_S)
    load_good()


def test_wait_for_a_slow_load_ends_when_the_server_stops(
    process: LoaderProcess,
    make_loader: MakeLoader,
    stopping: threading.Event,
    store: BundleStore,
    publish: Publish,
) -> None:
    endless = store.path("tiny-dqn", publish(policy_pt=script(Endless())))
    with loading_endlessly(process, make_loader(), endless) as (loading, fork):
        stopping.set()
        with pytest.raises(UnavailableError, match="the server stops"):
            loading.result(PATIENCE_S)
    assert psutil.wait_procs([fork], PATIENCE_S)[1] == []


def test_request_that_was_given_up_is_not_worked_off(
    process: LoaderProcess,
    make_loader: MakeLoader,
    stopping: threading.Event,
    store: BundleStore,
    publish: Publish,
    load_good: Callable[[], LoadedVersion],
) -> None:
    endless = store.path("tiny-dqn", publish(policy_pt=script(Endless())))
    zygote = psutil.Process(process.pid)
    zygote.suspend()
    stopping.set()
    with pytest.raises(UnavailableError, match="the server stops"):
        make_loader(timeout_s=600)(endless)
    zygote.resume()
    stopping.clear()
    load_good()  # in time, behind the one that would have taken ten minutes
