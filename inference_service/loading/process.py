"""Keeps a loading process running."""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from types import TracebackType
from typing import Self

from tradewind.logs import LogSettings
from tradewind.sealing import environment_of_a_seal

__all__ = ["ONE_THREAD", "LoaderProcess"]

_LOG = logging.getLogger(__name__)
_RESTART_S = 1.0

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Environment of a process whose numerical libraries start no threads.

Such a process can fork, and leaves the other cores to the other processes.
"""


class LoaderProcess:
    """Runs inference_service.loading.child, and starts another one whenever it ends.

    Requests that no process has taken yet wait in the socket for the next one. The child ends with
    the last holder of `requests`, however that ended.

    Args:
        log: How the child logs.

    Attributes:
        requests: Where a BundleLoader asks; a worker process may inherit it.
    """

    def __init__(self, log: LogSettings | None = None) -> None:
        self._log = log or LogSettings()
        # Message by message, and with an end: what several processes write does not mix, and the
        # child sees when none of them is left.
        self.requests, self._taken = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._cores = sorted(os.sched_getaffinity(0))  # those of a server that may pin itself later
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._keeper = threading.Thread(target=self._keep_running, name="loader", daemon=True)

    def __enter__(self) -> Self:
        self._process = self._start()
        self._keeper.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._stopping.set()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # its fork too
        self._keeper.join()
        self.requests.close()
        self._taken.close()

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        return self._process.pid

    def _start(self) -> subprocess.Popen[bytes]:
        cores = ",".join(map(str, self._cores))
        taken = self._taken.fileno()
        log = LogSettings(format=self._log.format, level=self._log.level).model_dump_json()
        return subprocess.Popen(
            [sys.executable, "-m", "inference_service.loading.child", str(taken), cores, log],
            pass_fds=[taken],
            stdin=subprocess.DEVNULL,
            env=environment_of_a_seal(),
            process_group=0,  # so that Ctrl-C in a terminal drains the server first
        )

    def _keep_running(self) -> None:
        while True:
            code = self._process.wait()
            if self._stopping.is_set():
                return
            _LOG.error("the loading process ended with code %d; starting another", code)
            if self._stopping.wait(_RESTART_S):
                return
            with self._lock:
                if not self._stopping.is_set():
                    try:
                        self._process = self._start()
                    except OSError as problem:  # no memory, no process: the next round tries again
                        _LOG.error("the loading process cannot be started: %s", problem)
