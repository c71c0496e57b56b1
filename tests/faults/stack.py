"""The three services as processes that can be broken one by one."""

import os
import random
import signal
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.faults.namespaces import Link
from tradewind.bundle import BundleStore
from tradewind.rpc import ServiceProcess

SERVICES = ("inference_service", "risk_service", "trainer_service")
# Below the ports that the kernel hands to clients: a server finds its own free when it comes back.
PORTS = range(20_000, 30_000)
RISK_POLICY = """\
limits:
  max_drawdown: {limit: 0.2}
rules:
  - {name: drawdown_halt, when: {metric: max_drawdown}, action: HALT, severity: critical}
...
"""


class Stack:
    """The three services on one folder; each keeps its address when it is started again.

    Args:
        folder: Where their state, settings and logs lie.
        settings: More settings by service; they replace whole keys of the file, but for `server`,
            whose own keys they replace.
        environment: More variables of their environment.
        risk_policy: Text of the risk policy.
        links: The network namespace of each service; without, all of them are on loopback.

    Attributes:
        folder: Where everything lies.
        store: The bundle store.
        risk_policy: The risk policy in force.
        database: URL of the audit trail.
        addresses: Where each service listens.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        environment: Mapping[str, str] | None = None,
        risk_policy: str = RISK_POLICY,
        links: Mapping[str, Link] | None = None,
    ) -> None:
        self.folder = folder
        self.store = BundleStore(folder / "store")
        settings = settings or {}
        own_database = f"sqlite:///{folder}/risk/audit.sqlite"
        self.database = settings.get("risk_service", {}).get("database", own_database)
        self._links = links or {}
        hosts = {name: link.host for name, link in self._links.items()}
        self.addresses = {
            name: f"{hosts.get(name, '127.0.0.1')}:{_free_port()}" for name in SERVICES
        }
        self._environment = {**os.environ, **(environment or {})}
        self._running: dict[str, ServiceProcess] = {}
        self._owned = ExitStack()
        self.risk_policy = folder / "risk_limits.yaml"
        self.risk_policy.write_text(risk_policy)
        own: dict[str, dict[str, Any]] = {
            "inference_service": {"store": str(self.store.root), "poll_s": 0.1},
            "risk_service": {"policy": str(self.risk_policy), "database": self.database},
            "trainer_service": {
                "store": str(self.store.root),
                "jobs": f"sqlite:///{folder}/jobs/jobs.sqlite",
                "checkpoints": {
                    "folder": str(folder / "checkpoints"),
                    "interval_s": None,
                    "interval_timesteps": 2000,
                },
                "tracking": {"tensorboard": str(folder / "tensorboard")},
                "lease_s": 2.0,
                "max_attempts": 20,  # kills come faster than checkpoints here
                "grace_s": 1.0,
            },
        }
        for name in SERVICES:
            given = settings.get(name, {})
            server = {
                "listen": self.addresses[name],
                "allow_plaintext": name in self._links,
                "drain_s": 0.0,
                **given.get("server", {}),
            }
            values = {**own[name], **given, "server": server}
            if name == "inference_service":  # nobody but this test writes to its store
                values.setdefault("require_signature", False)
            self._config(name).write_text(yaml.safe_dump(values))

    def start(self, name: str) -> ServiceProcess:
        """Starts a service and waits until it says where it listens."""
        process = ServiceProcess(
            name,
            ["--config", str(self._config(name))],
            log=self.folder / f"{name}.log",
            environment=self._environment,
            launcher=self._links[name].launcher if name in self._links else (),
        )
        self._running[name] = self._owned.enter_context(process)
        return process

    def start_all(self) -> None:
        """Starts every service."""
        for name in SERVICES:
            self.start(name)

    def process(self, name: str) -> ServiceProcess:
        """The process of a service that was started last."""
        return self._running[name]

    def kill(self, name: str) -> None:
        """Ends a service with SIGKILL, as a crash or the kernel's out-of-memory killer does."""
        self.process(name).popen.send_signal(signal.SIGKILL)
        self.process(name).popen.wait()

    def log(self, name: str) -> str:
        """What a service wrote to its log."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._owned.close()

    def _config(self, name: str) -> Path:
        return self.folder / f"{name}.yaml"


def _free_port() -> int:
    while True:
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
