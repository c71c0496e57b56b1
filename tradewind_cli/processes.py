"""Services and orchestrator as child processes of one terminal."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TextIO

from orchestrator.agents.services import open_inference
from orchestrator.settings import OrchestratorSettings
from tradewind.errors import NotFoundError, UnavailableError
from tradewind.rpc.clients import AsyncInferenceClient
from tradewind.settings import load_settings

__all__ = ["Stack"]

_SERVICES: Final = ("risk", "inference", "trainer")
_ORCHESTRATOR: Final = "orchestrator"
_READY: Final = " ready on "
_LOOK_S: Final = 0.5
_STOP_S: Final = 30.0
_TOLD: Final = (
    "not served yet: {missing}. The orchestrator starts once they are; in another terminal: "
    "tradewind train config/training/NAME.yaml --policy {first}"
)


class _Child:
    """One process, whose lines come out with its name before them.

    A session of its own: Ctrl-C is for who started it, and stops it in its turn.
    """

    def __init__(self, name: str, module: str, arguments: list[str], output: "_Output") -> None:
        self.name = name
        self.is_ready = threading.Event()
        self._output = output
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"{name}-output", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if _READY in line:
                self.is_ready.set()
            self._output.say(self.name, line)

    def stop(self) -> None:
        """Asks it to end, and sees to it that it does."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._output.say("up", f"{self.name} does not end: it is killed")
            self.process.kill()
            self.process.wait()
        self._reader.join(_LOOK_S)


class _Output:
    """Lines of several processes, one at a time."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def say(self, name: str, line: str) -> None:
        """Writes a line; nobody who reads it any more is no reason to stop."""
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._stream.write(f"{name:<12} | {line.rstrip()}\n")
            self._stream.flush()


class Stack:
    """The processes, as a context: leaving it stops all of them, the orchestrator first.

    Args:
        config: Folder of the settings.
        stream: Where everything is said.
    """

    def __init__(self, config: Path, stream: TextIO) -> None:
        self._config = config
        self._output = _Output(stream)
        self._children: list[_Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stops them in the opposite order of their start; a second Ctrl-C does not leave half."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        for child in reversed(self._children):
            child.stop()
        self._output.say("up", "everything is stopped")

    def run(self, live: str) -> bool:
        """Starts everything and watches it.

        Args:
            live: `HOST:PORT` of the live view.

        Returns:
            Whether a service ended by itself. It returns with the first one that does, and else
            never: an orchestrator that ends with its feed leaves the services running.

        Raises:
            NotFoundError: A settings file is not there.
            SettingsError: The orchestrator's settings are refused.
        """
        settings = load_settings(self._settings_of(_ORCHESTRATOR), OrchestratorSettings)
        for name in _SERVICES:
            self._start(name, f"{name}_service", [])
        services = tuple(self._children)
        while not all(child.is_ready.wait(_LOOK_S) for child in services):
            if self._tell_ended(services):
                return True
        self._output.say("up", "the services are ready")
        if not asyncio.run(self._wait_for_policies(settings, services)):
            return True
        trading: _Child | None = self._start(_ORCHESTRATOR, _ORCHESTRATOR, ["--live", live])
        while not self._tell_ended(services):
            if trading is not None and trading.process.poll() is not None:
                code = trading.process.returncode
                self._output.say("up", f"the orchestrator ended with {code}; the services go on")
                trading = None
            time.sleep(_LOOK_S)
        return True

    def _settings_of(self, name: str) -> Path:
        path = self._config / f"{name}.yaml"
        if not path.is_file():
            raise NotFoundError(f"there is no {path}: `tradewind init DIR` writes a project")
        return path

    def _start(self, name: str, module: str, arguments: list[str]) -> _Child:
        given = ["--config", str(self._settings_of(name)), *arguments]
        child = _Child(name, module, given, self._output)
        self._children.append(child)
        return child

    def _tell_ended(self, children: tuple[_Child, ...]) -> bool:
        """Whether one of them has ended, which is then said."""
        for child in children:
            code = child.process.poll()
            if code is not None:
                self._output.say("up", f"the {child.name} service ended with {code}: all stop")
                return True
        return False

    async def _wait_for_policies(
        self, settings: OrchestratorSettings, services: tuple[_Child, ...]
    ) -> bool:
        """Waits until every policy is served that is traded; False where a service ended."""
        wanted = {allocation.policy for allocation in settings.allocations}
        told: set[str] = set()
        async with open_inference(settings.services) as inference:
            while missing := wanted - await _served(inference):
                if self._tell_ended(services):
                    return False
                if missing != told:
                    told = missing
                    self._output.say(
                        "up", _TOLD.format(missing=", ".join(sorted(missing)), first=min(missing))
                    )
                await asyncio.sleep(_LOOK_S)
        return True


async def _served(inference: AsyncInferenceClient) -> set[str]:
    try:
        listing = await inference.list_policies()
    except UnavailableError:
        return set()
    return {each.policy for each in listing.policy_versions}
