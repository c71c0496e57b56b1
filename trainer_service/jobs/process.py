"""The child process of one job."""

import collections
import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

from pydantic import ValidationError

from tradewind.errors import TrainingError
from trainer_service.jobs.messages import WorkerEvent, parse_event

__all__ = ["JobProcess"]

_LOG = logging.getLogger(__name__)
_OUTPUT_LINES_KEPT = 20


class JobProcess:
    """Runs a training in a process of its own, whatever happens to it.

    The child reads its configuration from standard input, which stays open: when the service
    dies, even by SIGKILL, the child reads the end of the file and ends. It reports on a pipe that
    nothing else writes to. What it prints goes to the service's log.

    Args:
        job_id: The job, for the log.
        config_json: Its configuration.
        grace_s: Seconds between SIGTERM and SIGKILL when it is terminated.

    Raises:
        TrainingError: No process can be started.
    """

    def __init__(self, job_id: str, config_json: str, grace_s: float) -> None:
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
            )
        except OSError as problem:
            os.close(read_end)
            raise TrainingError(f"no process for the training: {problem}") from problem
        finally:
            os.close(write_end)
        self._events = os.fdopen(read_end, "rb")
        self._reader = threading.Thread(target=self._read_output, name=f"job-{job_id}", daemon=True)
        self._reader.start()
        assert self._popen.stdin is not None
        try:
            self._popen.stdin.write(config_json.encode() + b"\n")
            self._popen.stdin.flush()
        except BrokenPipeError:
            _LOG.warning("job %s ended before it read its configuration", job_id)

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

    def wait(self) -> str:
        """Waits for the end.

        Returns:
            How the process ended and the last it printed, for people.
        """
        code = self._popen.wait()
        with self._lock:
            if self._killer is not None:
                self._killer.cancel()
        self._reader.join()
        for pipe in (self._events, self._popen.stdin, self._popen.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):  # a configuration that nobody read
                pipe.close()
        last_output = "".join(f"\n  {line}" for line in self._output)
        return f"{_describe_exit(code)}; its last output:{last_output or ' none'}"

    def _read_output(self) -> None:
        assert self._popen.stdout is not None
        for raw in self._popen.stdout:
            line = raw.decode(errors="replace").rstrip()
            self._output.append(line)
            _LOG.info("job %s: %s", self._job_id, line)


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"the training process ended with exit code {code}"
    name = signal.Signals(-code).name
    hint = ", which is also how the system ends a process when memory runs out"
    return f"the training process was killed by {name}{hint if name == 'SIGKILL' else ''}"
