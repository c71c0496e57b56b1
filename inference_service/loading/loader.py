"""From a folder of the store to a version that can answer."""

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from inference_service.loading.executor import ExecutorGate, ExecutorNetwork, HangingError
from inference_service.loading.fork import Fork, describe_ending
from inference_service.loading.messages import (
    ExecuteRequest,
    LoadRequest,
    Need,
    read_bundle_frame,
)
from inference_service.loading.settings import ExecutorSettings, LoaderSettings
from inference_service.registry import LoadedVersion
from tradewind.bundle import Bundle, BundleFault, BundleLimits, TrustedKeys
from tradewind.errors import BundleError, BundleRuntimeError, UnavailableError
from tradewind.policy import BundlePolicy, CompiledNetwork, LoweredNetwork
from tradewind.policy.sealed.messages import read_error
from tradewind.policy.sealed.network import check_answers, hear_proof
from tradewind.sealing.wire import WireError, receive

__all__ = ["BundleLoader"]

_START_S = 60.0  # to start, and to answer others first; a later scan asks again
_MIB = 1024 * 1024
_MOST_LOWERED_BYTES = 1024 * _MIB


class _TorchScriptNeededError(Exception):
    """The loading process has not imported torch, and the bundle is of format 1."""


class BundleLoader:
    """Has the loading process verify and prove bundles, and makes versions of what comes back.

    Args:
        requests: Where the loading process takes requests.
        bounds: What loading may take.
        limits: Largest files accepted.
        trusted: Gives whose signatures are believed now; None when none is looked at.
        slo_us: Objective of one model compute, in microseconds.
        stopping: Ends the wait for the loading process.
        executor: What executing TorchScript may take.
        gate: Keeps slow networks from taking every thread.
    """

    def __init__(
        self,
        requests: socket.socket,
        bounds: LoaderSettings,
        limits: BundleLimits,
        trusted: Callable[[], TrustedKeys | None],
        slo_us: float,
        stopping: threading.Event,
        executor: ExecutorSettings | None = None,
        gate: ExecutorGate | None = None,
    ) -> None:
        self._requests = requests
        self._bounds = bounds
        self._limits = limits
        self._trusted = trusted
        self._slo_ns = round(slo_us * 1000.0)
        self._stopping = stopping
        self._executor = executor or ExecutorSettings()
        self._gate = gate

    def __call__(self, folder: Path, on_begun: Callable[[], object] = bool) -> LoadedVersion:
        """Loads the bundle of a folder.

        Args:
            folder: `<store>/<policy>/<version>`.
            on_begun: Called when the loading process has read it.

        Raises:
            BundleError: The bundle must not serve.
            VersionNotFoundError: The folder is gone.
            StorageError: The file system failed.
            UnavailableError: The loading process failed, or the server stops.
        """
        bundle, lowered, reason = self._prove(folder, on_begun)
        try:
            return self._make_version(bundle, lowered, reason)
        except HangingError:
            raise self._too_slow(folder) from None
        except BundleError as problem:
            raise type(problem)(
                f"{_refused(folder)}: {problem}", reason=problem.reason, metadata=problem.metadata
            ) from None

    def _make_version(
        self, bundle: Bundle, lowered: LoweredNetwork | None, reason: str
    ) -> LoadedVersion:
        if lowered is not None:
            compiled = CompiledNetwork(lowered)
            check_answers(compiled, bundle)
            return LoadedVersion(BundlePolicy(bundle, compiled, ""), self._slo_ns, time.time())
        network = ExecutorNetwork(
            self._requests,
            ExecuteRequest(
                bundle.policy_pt,
                bundle.golden.observations,
                self._executor,
                self._bounds.allow_unsealed,
            ),
            name=f"{bundle.metadata.name}/{bundle.metadata.version}",
        )
        check_answers(network, bundle)
        if self._gate is not None:  # not before: others that are slow are no fault of this one
            network.share(self._gate)
        policy = BundlePolicy(bundle, network, reason)
        return LoadedVersion(policy, self._slo_ns, time.time(), failure=network.failure)

    def _prove(
        self, folder: Path, on_begun: Callable[[], object]
    ) -> tuple[Bundle, LoweredNetwork | None, str]:
        request = LoadRequest(folder, self._limits, self._trusted(), self._bounds)
        try:
            return self._ask(request, Need.NOTHING, on_begun)
        except _TorchScriptNeededError:
            return self._ask(request, Need.TORCHSCRIPT, on_begun)

    def _ask(
        self, request: LoadRequest, need: bytes, on_begun: Callable[[], object]
    ) -> tuple[Bundle, LoweredNetwork | None, str]:
        folder = request.folder
        deadline = time.monotonic() + self._bounds.timeout_s + _START_S
        try:
            fork = Fork(self._requests, request, deadline, need)
        except OSError:  # of which TimeoutError is one
            raise UnavailableError("the loading process takes no request") from None
        with fork:
            try:
                heard = self._hear(fork, folder, deadline, on_begun)
                fork.finish()
                return heard
            except TimeoutError:
                raise UnavailableError("the loading process gives no answer") from None
            except WireError as problem:
                self._crash(folder, f"it gave an answer that is none: {problem}")
            except (EOFError, OSError):
                self._explain(fork, folder)

    def _hear(
        self, fork: Fork, folder: Path, deadline: float, on_begun: Callable[[], object]
    ) -> tuple[Bundle, LoweredNetwork | None, str]:
        fork.wait(self._stopping, deadline)
        file_bytes = 8 * self._limits.file_bytes  # golden answers unpack, but never so far
        message, arrays = receive(fork.connection, array_bytes=file_bytes, deadline=deadline)
        if "error" in message:
            raise read_error(message)
        if message.get("need") == Need.TORCHSCRIPT.decode():
            raise _TorchScriptNeededError
        bundle = read_bundle_frame(folder, message, arrays)
        on_begun()
        # From here on a fork that executes TorchScript is sealed and not believed.
        deadline = min(deadline, time.monotonic() + self._bounds.timeout_s + 1.0)
        try:
            fork.wait(self._stopping, deadline)
            most = min(self._bounds.memory_mb * _MIB, _MOST_LOWERED_BYTES)
            return bundle, *hear_proof(fork.connection, bundle, array_bytes=most, deadline=deadline)
        except TimeoutError:
            raise self._too_slow(folder) from None

    def _explain(self, fork: Fork, folder: Path) -> NoReturn:
        """Raises what the end of a fork that gave no answer means."""
        code = fork.ending()
        if code is None:
            raise UnavailableError("the loading process ended while it loaded")
        if describe_ending(code) == "SIGALRM":
            raise self._too_slow(folder)
        self._crash(folder, f"loading it ended the loading process by {describe_ending(code)}")

    def _too_slow(self, folder: Path) -> BundleRuntimeError:
        return BundleRuntimeError(
            f"{_refused(folder)}: loading it took longer than {self._bounds.timeout_s:g} s",
            reason=BundleFault.MODEL_LOAD_TIMEOUT,
        )

    def _crash(self, folder: Path, what: str) -> NoReturn:
        raise BundleRuntimeError(
            f"{_refused(folder)}: {what}", reason=BundleFault.MODEL_LOAD_CRASHED
        )


def _refused(folder: Path) -> str:
    return f"bundle {folder.parent.name}/{folder.name} is refused"
