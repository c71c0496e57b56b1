"""The compose file, really brought up: `make compose-test` builds the images and runs the tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.waiting import wait_until
from tradewind.address import host_and_port
from tradewind.ports import reserve_port
from tradewind.rpc.access import read_token
from tradewind.rpc.clients import InferenceClient, RiskClient, TrainerClient
from tradewind.rpc.tls import ClientTls, client_credentials

ROOT = Path(__file__).parents[2]
SERVICES = ("trainer", "inference", "risk")
ClientT = TypeVar("ClientT", InferenceClient, RiskClient, TrainerClient)


class ComposeStack:
    """A compose project of its own: its containers, volumes and ports.

    Attributes:
        addresses: Where each service is published on this machine.
    """

    def __init__(self, project: str) -> None:
        self.addresses: dict[str, str] = {}
        self._clients = Path()
        self._environment = dict(os.environ)
        for service in SERVICES:
            with reserve_port("127.0.0.1:0") as address:
                self.addresses[service] = address
            _, port = host_and_port(self.addresses[service])
            self._environment[f"{service.upper()}_PORT"] = str(port)
        self._command = ["docker", "compose", "--project-name", project]

    def connect(self, client: type[ClientT], identity: str, timeout_s: float = 5.0) -> ClientT:
        """A client of a service, with what the stack made for an identity at its start."""
        tls = ClientTls(ca=self._clients / "ca.crt")
        return client(
            self.addresses[client.__name__.removesuffix("Client").lower()],
            timeout_s=timeout_s,
            credentials=client_credentials(tls),
            token=read_token(self._clients / f"{identity}.token"),
        )

    def take_credentials(self, folder: Path) -> None:
        """Copies out of the stack what callers need, as an operator does."""
        self.run("cp", "keys:/clients", str(folder))
        self._clients = folder

    def run(self, *arguments: str, timeout_s: float = 300.0) -> str:
        """Runs `docker compose` and gives what it printed."""
        done = subprocess.run(
            [*self._command, *arguments],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"docker compose {' '.join(arguments)}:\n{done.stderr}"
        return done.stdout

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container, one that has ended too."""
        container = self.run("ps", "--all", "--quiet", service).strip()
        done = subprocess.run(
            ["docker", "inspect", container], capture_output=True, text=True, check=True
        )
        (found,) = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found

    def execute(self, service: str, *command: str) -> str:
        """Runs a command in a service's container."""
        return self.run("exec", "-T", service, *command).strip()

    def kill(self, service: str) -> None:
        """Kills a service's process with SIGKILL, as the kernel would when memory runs out.

        Not `docker kill`: a container that an operator has killed is not started again.
        """
        before = self.inspect(service)
        os.kill(before["State"]["Pid"], signal.SIGKILL)
        wait_until(
            lambda: self.inspect(service)["RestartCount"] > before["RestartCount"],
            f"a restart of {service}",
        )


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    """The three services, healthy; taken down with its volumes."""
    stack = ComposeStack(f"tradewind-test-{os.getpid()}")
    try:
        stack.run("up", "--detach", "--wait", *SERVICES)
        stack.take_credentials(tmp_path_factory.mktemp("clients") / "clients")
        yield stack
    finally:
        stack.run("down", "--volumes", "--timeout", "5")
