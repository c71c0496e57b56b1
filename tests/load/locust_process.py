"""Locust as a child process, because it patches the standard library of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.load.questions import Questions
from tests.load.results import Calls
from tradewind.errors import UnavailableError

__all__ = ["LocustProcess"]

# 1: some calls failed, which is for the reader of the results to judge.
EXIT_CODES = (0, 1)
LOWEST_PRIORITY = 19
LOCUSTFILE = Path(__file__).with_name("locustfile.py")


class LocustProcess:
    """Starts `locustfile.py` against services, for a time.

    Args:
        folder: Where questions, results, report and log lie.
        addresses: Where each service listens.
        questions: What is asked.
        users: Orchestrators; each has a connection of its own to every service.
        rate: Tasks per second of each of them.
        seconds: How long it lasts.
        html: Locust's report; none without.
        niceness: Of the process. In production the callers have machines of their own: here they
            should not take the services' cores from them.

    Attributes:
        popen: The process.
    """

    def __init__(
        self,
        folder: Path,
        addresses: Mapping[str, str],
        questions: Questions,
        *,
        users: int,
        rate: float,
        seconds: float,
        html: Path | None = None,
        niceness: int = LOWEST_PRIORITY,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        asked = folder / "questions.json"
        questions.write(asked)
        self._results = folder / "calls.npz"
        self._log = folder / "locust.log"
        arguments = ["-f", str(LOCUSTFILE), "--headless", "--only-summary", "--reset-stats"]
        for name, address in addresses.items():
            arguments += [f"--{name.removesuffix('_service')}", address]
        arguments += ["--questions", str(asked), "--results", str(self._results)]
        arguments += ["--users", str(users), "--spawn-rate", str(users), "--rate", f"{rate:g}"]
        arguments += ["--run-time", f"{seconds:g}s", "--stop-timeout", "10s"]
        if html is not None:
            arguments += ["--html", str(html)]
        with self._log.open("wb") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "locust", *arguments], stdout=log, stderr=log
            )
        os.setpriority(os.PRIO_PROCESS, self.popen.pid, niceness)

    def stop(self) -> None:
        """Has it end now and write what it has."""
        self.popen.terminate()

    def wait(self, timeout_s: float) -> Calls:
        """Waits for its end; gives every call.

        Raises:
            UnavailableError: It broke, or did not end in time; the message has the end of its log.
        """
        try:
            code = self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            code = None
        if code not in EXIT_CODES or not self._results.exists():
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
            raise UnavailableError(f"locust ended with {code}:\n{tail}")
        return Calls.read(self._results)
