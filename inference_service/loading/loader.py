"""From a folder of the store to a version that can answer."""

import socket
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

from inference_service.loading.executor import ExecutorNetwork
from inference_service.loading.messages import (
    ExecuteRequest,
    LoadOutcome,
    LoadRequest,
    ProvedBundle,
)
from inference_service.loading.settings import LoaderSettings
from inference_service.registry import LoadedVersion
from tradewind.bundle import BundleLimits, TrustedKeys
from tradewind.errors import TradewindError, UnavailableError
from tradewind.policy import BundlePolicy, CompiledNetwork, Network

__all__ = ["BundleLoader"]

_START_S = 60.0  # to start, and to answer others first; a later scan asks again
_POLL_S = 0.05


class BundleLoader:
    """Has the loading process verify and prove bundles, and makes versions of what comes back.

    Args:
        requests: Where the loading process takes requests.
        bounds: What loading may take.
        limits: Largest files accepted.
        trusted: Whose signatures are believed; None when none is looked at.
        slo_us: Objective of one model compute, in microseconds.
        stopping: Ends the wait for the loading process.
    """

    def __init__(
        self,
        requests: socket.socket,
        bounds: LoaderSettings,
        limits: BundleLimits,
        trusted: TrustedKeys | None,
        slo_us: float,
        stopping: threading.Event,
    ) -> None:
        self._requests = requests
        self._bounds = bounds
        self._limits = limits
        self._trusted = trusted
        self._slo_ns = round(slo_us * 1000.0)
        self._stopping = stopping

    def __call__(self, folder: Path) -> LoadedVersion:
        """Loads the bundle of a folder.

        Raises:
            BundleError: The bundle must not serve.
            VersionNotFoundError: The folder is gone.
            StorageError: The file system failed.
            UnavailableError: The loading process failed, or the server stops.
        """
        proved = self._prove(folder)
        network: Network
        if proved.lowered is not None:
            network = CompiledNetwork(proved.lowered)
            network.warm_up(proved.bundle.golden.observations[:1])
        else:
            bundle = proved.bundle
            network = ExecutorNetwork(
                self._requests, ExecuteRequest(bundle.policy_pt, bundle.golden.observations)
            )
        policy = BundlePolicy(proved.bundle, network, proved.runtime_reason)
        return LoadedVersion(policy, self._slo_ns, time.time())

    def _prove(self, folder: Path) -> ProvedBundle:
        mine, theirs = socket.socketpair()
        with Connection(mine.detach()) as answers:
            with theirs:
                answers.send(LoadRequest(folder, self._limits, self._trusted, self._bounds))
                socket.send_fds(self._requests, [b"\0"], [theirs.fileno()])
            outcome = self._wait(answers)
        if isinstance(outcome, TradewindError):
            raise outcome
        return outcome

    def _wait(self, answers: "Connection[LoadRequest, LoadOutcome]") -> LoadOutcome:
        deadline = time.monotonic() + self._bounds.timeout_s + _START_S
        while not answers.poll(_POLL_S):
            if self._stopping.is_set():
                raise UnavailableError("the server stops")
            if time.monotonic() > deadline:
                raise UnavailableError("the loading process gives no answer")
        try:
            return answers.recv()
        except (EOFError, ConnectionError):
            raise UnavailableError("the loading process ended while it loaded") from None
