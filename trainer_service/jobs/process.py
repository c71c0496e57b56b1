"""The child process of one job."""

import collections
import contextlib
import contextvars
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from tradewind.errors import TrainingError
from tradewind.logs import read_record
from trainer_service.jobs.messages import JobOrder, WorkerEvent, parse_event

__all__ = ["JobProcess", "ProcessEnd"]

_LOG = logging.getLogger(__name__)
_OUTPUT_LINES_KEPT = 20
# Arrow's own allocator reserves a GiB at once where it can, which would count against the limit.
_ALLOCATION = {"ARROW_DEFAULT_MEMORY_POOL": "system"}


@dataclass(frozen=True)
class ProcessEnd:
    """How a process ended.

    Attributes:
        code: Its exit code, or minus the signal that killed it.
        last_output: The last lines it printed.
    """

    code: int
    last_output: tuple[str, ...] = ()

    @property
    def killed(self) -> bool:
        """SIGKILL ended it: that is how the kernel frees memory, and nobody else's accident."""
        return self.code == -signal.SIGKILL

    def __str__(self) -> str:
        printed = "".join(f"\n  {line}" for line in self.last_output)
        return f"{self._cause()}; its last output:{printed or ' none'}"

    def _cause(self) -> str:
        if self.code >= 0:
            return f"the training process ended with exit code {self.code}"
        name = signal.Signals(-self.code).name
        hint = ", which is how the system ends a process when memory runs out"
        return f"the training process was killed by {name}{hint if self.killed else ''}"


class JobProcess:
    """Runs a training in a process of its own, whatever happens to it.

    The child reads its order from standard input, which stays open: when the service dies, even
    by SIGKILL, the child reads the end of the file and ends. It reports on a pipe that nothing
    else writes to. What it logs and prints goes to the service's log.

    Args:
        job_id: The job, for the log.
        order: What to do.
        grace_s: Seconds between SIGTERM and SIGKILL when it is terminated.
        environment: Environment variables that differ from the service's.

    Raises:
        TrainingError: No process can be started.
    """

    def __init__(
        self, job_id: str, order: JobOrder, grace_s: float, environment: Mapping[str, str]
    ) -> None:
        self._job_id = job_id
        self._grace_s = grace_s
        self._output: collections.deque[str] = collections.deque(maxlen=_OUTPUT_LINES_KEPT)
        self._killer: threading.Timer | None = None
        self._lock = threading.Lock()
        read_end, write_end = os.pipe()
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "trainer_service.jobs.worker", str(write_end)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[write_end],
                env={**os.environ, **_ALLOCATION, **environment},
            )
        except OSError as problem:
            os.close(read_end)
            raise TrainingError(f"no process for the training: {problem}") from problem
        finally:
            os.close(write_end)
        self._events = os.fdopen(read_end, "rb")
        in_context = contextvars.copy_context().run  # what the job logs is about the job
        self._reader = threading.Thread(
            target=in_context, args=(self._read_output,), name=f"job-{job_id}", daemon=True
        )
        self._reader.start()
        assert self._popen.stdin is not None
        try:
            self._popen.stdin.write(order.model_dump_json().encode() + b"\n")
            self._popen.stdin.flush()
        except BrokenPipeError:
            _LOG.warning("job %s ended before it read its order", job_id)

    def events(self) -> Iterator[WorkerEvent]:
        """What the process reports, until it ends."""
        for line in self._events:
            try:
                yield parse_event(line)
            except ValidationError:
                _LOG.warning("job %s reported an unreadable line: %r", self._job_id, line[:200])

    def terminate(self) -> None:
        """Asks the process to end, and kills it when it has not within the grace period."""
        with self._lock:
            if self._killer is not None:
                return
            self._killer = threading.Timer(self._grace_s, self._popen.kill)
            self._killer.daemon = True
            self._killer.start()
        self._popen.terminate()

    def kill(self) -> None:
        """Ends the process at once."""
        self._popen.kill()

    def wait(self) -> ProcessEnd:
        """Waits for the end."""
        code = self._popen.wait()
        with self._lock:
            if self._killer is not None:
                self._killer.cancel()
        self._reader.join()
        for pipe in (self._events, self._popen.stdin, self._popen.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):  # an order that nobody read
                pipe.close()
        return ProcessEnd(code, tuple(self._output))

    def _read_output(self) -> None:
        assert self._popen.stdout is not None
        for raw in self._popen.stdout:
            line = raw.decode(errors="replace").rstrip()
            record = read_record(line)
            if record is None:
                self._output.append(line)
                _LOG.info("job %s: %s", self._job_id, line)
                continue
            said = f"{record.levelname} {record.name}: {record.getMessage()}"
            self._output.extend((said, *(record.exc_text or "").splitlines()))
            logger = logging.getLogger(record.name)
            if logger.isEnabledFor(record.levelno):
                logger.handle(record)
