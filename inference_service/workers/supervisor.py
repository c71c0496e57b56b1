"""Several worker processes behind one port: started, watched, restarted and drained together."""

import contextlib
import dataclasses
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from prometheus_client import CollectorRegistry

from inference_service.loading.process import ONE_THREAD, LoaderProcess
from inference_service.settings import InferenceSettings
from inference_service.workers.metrics import WorkerMetrics
from inference_service.workers.order import WorkerOrder
from tradewind.address import UNIX, host_and_port, loopback_dial_address
from tradewind.errors import UnavailableError
from tradewind.ports import reserve_port
from tradewind.rpc.server.server import announce_ready, on_signals, serve_metrics

__all__ = ["supervise"]

_LOG = logging.getLogger(__name__)
_LOOK_S = 0.1
_START_S = 120.0
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_STEADY_S = 60.0  # a worker that has served so long failed for a new reason


def supervise(settings: InferenceSettings) -> None:
    """Runs `settings.workers` workers until a signal arrives, then drains them.

    They share each TCP port by SO_REUSEPORT, one loading process and one metrics endpoint. One that
    ends is replaced, after a pause that doubles while it keeps ending.

    Raises:
        SettingsError: An address cannot be listened on.
        UnavailableError: A worker does not start.
    """
    stopping = threading.Event()
    on_signals(stopping.set)
    with contextlib.ExitStack() as stack:
        addresses = [stack.enter_context(_reserve(each)) for each in settings.server.listen]
        loader = stack.enter_context(LoaderProcess(settings.server.logging))
        workers: list[Worker] = []
        stack.callback(_drain, workers, settings)
        # One by one: those that run already are drained when another one cannot be started.
        workers.extend(
            Worker(order, loader.requests.fileno()) for order in _orders(settings, addresses)
        )
        if not _wait_until_ready(workers, stopping):
            return
        metrics_address = stack.enter_context(_metrics(settings, workers))
        announce_ready("inference_service", _dialled(addresses, settings.workers), metrics_address)
        while not stopping.wait(_LOOK_S):
            for worker in workers:
                worker.look_after()


class Worker:
    """One worker process, and the next one when it ends.

    Args:
        order: What it is told.
        load_requests: Descriptor that the loading process takes requests from.

    Attributes:
        metrics_address: Where it serves Prometheus; empty until it is ready.
        restart_count: Processes started after the first one.
    """

    def __init__(self, order: WorkerOrder, load_requests: int) -> None:
        self.index = order.index
        self.metrics_address = ""
        self.restart_count = 0
        self._order = order
        self._load_requests = load_requests
        self._pause_s = _FIRST_PAUSE_S
        self._restart_at: float | None = None
        self._start()

    def look_after(self) -> None:
        """Hears whether it is ready, and replaces it when it has ended."""
        if self._restart_at is not None:
            if time.monotonic() >= self._restart_at:
                self._restart()
            return
        code = self.process.poll()
        if code is None:
            self._hear()
            return
        self._connection.close()
        self.metrics_address = ""
        if time.monotonic() - self._started_at > _STEADY_S:
            self._pause_s = _FIRST_PAUSE_S
        _LOG.error(
            "worker %d ended with code %d; starting another in %g s",
            self.index,
            code,
            self._pause_s,
        )
        self._restart_later()

    def is_ready(self) -> bool:
        """Whether it has said that it is ready.

        Raises:
            UnavailableError: It ended instead.
        """
        if self.process.poll() is not None:
            raise UnavailableError(
                f"worker {self.index} ended with code {self.process.returncode} before it was "
                "ready; the log above says why"
            )
        self._hear()
        return bool(self.metrics_address)

    def terminate(self) -> None:
        """Asks it to drain."""
        self.process.terminate()

    def join(self, timeout_s: float) -> None:
        """Waits until it has ended, and kills it when it does not."""
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            _LOG.error("worker %d does not end; killing it", self.index)
            self.process.kill()
            self.process.wait()
        self._connection.close()

    def _restart_later(self) -> None:
        self._restart_at = time.monotonic() + self._pause_s
        self._pause_s = min(2.0 * self._pause_s, _LONGEST_PAUSE_S)

    def _restart(self) -> None:
        self._order = dataclasses.replace(self._order, listen_late=True)
        try:
            self._start()
        except OSError as problem:  # no memory, no process: the others go on
            _LOG.error("worker %d cannot be started: %s", self.index, problem)
            self._restart_later()
        else:
            self.restart_count += 1

    def _start(self) -> None:
        connection: Connection[WorkerOrder, str]
        connection, theirs = Pipe()
        with theirs, contextlib.ExitStack() as on_failure:
            on_failure.callback(connection.close)
            descriptors = (theirs.fileno(), self._load_requests)
            self.process = subprocess.Popen(
                [sys.executable, "-m", "inference_service.workers.worker", *map(str, descriptors)],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **ONE_THREAD},
                process_group=0,  # so that Ctrl-C in a terminal reaches it through us, once
            )
            on_failure.pop_all()
        self._connection = connection
        self._started_at = time.monotonic()
        self._restart_at = None
        with contextlib.suppress(BrokenPipeError):  # it has ended; the next look finds out
            connection.send(self._order)

    def _hear(self) -> None:
        if not self.metrics_address and self._connection.poll():
            with contextlib.suppress(EOFError, OSError):  # it has ended; the next look finds out
                self.metrics_address = self._connection.recv()


@contextlib.contextmanager
def _reserve(listen: str) -> Iterator[str]:
    if listen.startswith(UNIX):
        yield listen
    else:
        with reserve_port(listen) as address:
            yield address


def _orders(settings: InferenceSettings, addresses: Sequence[str]) -> list[WorkerOrder]:
    orders = []
    for index in range(settings.workers):
        server = settings.server.model_copy(
            update={
                "listen": tuple(_of_worker(address, index) for address in addresses),
                "metrics_listen": "127.0.0.1:0",
            }
        )
        own = settings.model_copy(update={"server": server})
        orders.append(WorkerOrder(index, own))
    return orders


def _of_worker(address: str, index: int) -> str:
    return address.replace("{worker}", str(index)) if address.startswith(UNIX) else address


def _dialled(addresses: Sequence[str], workers: int) -> list[str]:
    dialled = []
    for address in addresses:
        if address.startswith(UNIX):
            dialled += [_of_worker(address, index) for index in range(workers)]
        else:
            dialled.append(loopback_dial_address(*host_and_port(address)))
    return dialled


def _wait_until_ready(workers: Sequence[Worker], stopping: threading.Event) -> bool:
    """False when a signal came first."""
    deadline = time.monotonic() + _START_S
    while not all(worker.is_ready() for worker in workers):
        if time.monotonic() > deadline:
            raise UnavailableError(f"the workers were not ready within {_START_S:g} s")
        if stopping.wait(_LOOK_S / 4):
            return False
    return True


@contextlib.contextmanager
def _metrics(settings: InferenceSettings, workers: Sequence[Worker]) -> Iterator[str]:
    """One endpoint for all workers; gives its address, empty when there is none."""
    if not settings.server.metrics_listen:
        yield ""
        return
    registry = CollectorRegistry()
    registry.register(WorkerMetrics(workers))
    address, stop = serve_metrics(settings.server.metrics_listen, registry)
    try:
        yield address
    finally:
        stop()


def _drain(workers: Sequence[Worker], settings: InferenceSettings) -> None:
    for worker in workers:
        worker.terminate()
    patience_s = settings.server.drain_s + settings.server.grace_s + 5.0
    for worker in workers:
        worker.join(patience_s)
