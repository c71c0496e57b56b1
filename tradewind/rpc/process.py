"""A service as a child process of a demo, a benchmark or a test."""

import contextlib
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tradewind.errors import UnavailableError

__all__ = ["ServiceProcess"]

_READY = re.compile(r" ready on (?P<addresses>\S+?(?:, \S+?)*)(?:, metrics on (?P<metrics>\S+))?$")


class ServiceProcess:
    """Starts `python -m <module>`, waits for its ready line, and stops it with SIGTERM.

    Nothing of it is left when waiting or stopping is interrupted.

    Args:
        module: Package of the service.
        arguments: Its command line.
        log: File that its standard error is appended to.
        environment: Its environment; that of this process by default.
        launcher: Command that ends by executing the one it is given, such as `ip netns exec NAME`.
        timeout_s: How long the ready line may take.
        wait: Whether to wait for it; without, `wait_ready` does.

    Attributes:
        address: Where it serves gRPC, as the ready line said; the first of several.
        addresses: All of them.
        metrics_address: Where it serves Prometheus; empty for nowhere.
        popen: The process.

    Raises:
        UnavailableError: It ended, or said nothing in time; the message has the end of its log.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        launcher: Sequence[str] = (),
        timeout_s: float = 120.0,
        wait: bool = True,
    ) -> None:
        self._module = module
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as errors:
            self.popen = subprocess.Popen(
                [*launcher, sys.executable, "-m", module, *arguments],
                stdout=subprocess.PIPE,
                stderr=errors,
                env=None if environment is None else dict(environment),
                text=True,
            )
        self.address = ""
        self.addresses: tuple[str, ...] = ()
        self.metrics_address = ""
        self._heard = threading.Event()
        self._reader = threading.Thread(target=self._read, name=f"{module}-output", daemon=True)
        self._reader.start()
        if wait:
            self.wait_ready(timeout_s)

    def wait_ready(self, timeout_s: float = 120.0) -> None:
        """Waits for the ready line.

        Raises:
            UnavailableError: It ended, or said nothing in time; the message has the end of its log.
        """
        try:
            if self._heard.wait(timeout_s) and self.address:
                return
        except BaseException:
            self._kill()
            raise
        self._kill()
        raise UnavailableError(f"{self._module} did not become ready:\n{self.log_tail()}")

    def stop(self, timeout_s: float = 30.0) -> int:
        """Asks the process to drain, kills it when it does not end in time.

        Returns:
            Its exit code; negative for the signal that ended it.
        """
        self.popen.terminate()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(timeout_s)
        finally:
            code = self._kill()
        return code

    def log_tail(self, lines: int = 20) -> str:
        """The end of what the process wrote to standard error."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _kill(self) -> int:
        self.popen.kill()
        code = self.popen.wait()
        self._reader.join()
        assert self.popen.stdout is not None
        self.popen.stdout.close()
        return code

    def _read(self) -> None:
        # Reads to the end, so that the process never blocks on a full pipe.
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            match = _READY.search(line.rstrip())
            if match and not self.address:
                self.addresses = tuple(match["addresses"].split(", "))
                self.address = self.addresses[0]
                self.metrics_address = match["metrics"] or ""
                self._heard.set()
        self._heard.set()
