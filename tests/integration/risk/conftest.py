"""A real PostgreSQL, real risk services, and the inputs they are asked about."""

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psycopg
import pytest

from tradewind.api.risk.v1 import risk_pb2, risk_pb2_grpc
from tradewind.risk import RiskInputs
from tradewind.rpc import ServiceProcess
from tradewind.rpc.risk_codec import risk_inputs_to_message

POLICY = """\
limits:
  max_drawdown: {limit: 0.2}
rules:
  - {name: drawdown_warning, when: {metric: max_drawdown, of_limit: 0.5}, action: WARN}
  - {name: drawdown_halt, when: {metric: max_drawdown}, action: HALT, severity: critical}
"""


class PostgresServer:
    """Debian's PostgreSQL, on a free loopback port, in a folder of its own."""

    def __init__(self, binaries: Path, folder: Path, user: str | None) -> None:
        self._binaries = binaries
        self._data = folder / "data"
        self._folder = folder
        self._user = user
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._run("initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8")

    def start(self) -> None:
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "-w", "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-m", "immediate", "-w", "stop")

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._binaries / program, "-D", self._data, *arguments],
            check=True,
            user=self._user,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )


def _postgres_binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if found or on_path:
        return (found[-1] if found else Path(str(on_path))).parent
    if os.environ.get("TRADEWIND_SKIP_POSTGRES") == "1":
        pytest.skip("PostgreSQL is not installed and TRADEWIND_SKIP_POSTGRES is 1")
    pytest.fail(
        "PostgreSQL's server is not installed: apt-get install postgresql, "
        "or set TRADEWIND_SKIP_POSTGRES=1 to go without"
    )


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    binaries = _postgres_binaries()
    folder = Path(tempfile.mkdtemp(prefix="tradewind-postgres-"))
    user = "postgres" if os.getuid() == 0 else None  # it refuses to run as root
    if user:
        shutil.chown(folder, user)
    try:
        server = PostgresServer(binaries, folder, user)
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/audit.sqlite"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.create_database()


@dataclass
class RunningService:
    """A risk service and a way to call it."""

    process: ServiceProcess
    stub: risk_pb2_grpc.RiskServiceStub

    def evaluate(self, message: risk_pb2.RiskInputs, **fields: Any) -> risk_pb2.EvaluateResponse:
        return self.stub.Evaluate(risk_pb2.EvaluateRequest(inputs=message, **fields), timeout=20)

    def all_decisions(self) -> list[risk_pb2.Decision]:
        """The whole audit trail, oldest first."""
        decisions: list[risk_pb2.Decision] = []
        token = ""
        while True:
            page = self.stub.ListDecisions(
                risk_pb2.ListDecisionsRequest(page_size=200, page_token=token), timeout=20
            )
            decisions.extend(page.decisions)
            token = page.next_page_token
            if not token:
                return decisions[::-1]


StartRisk = Callable[..., RunningService]


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def start_risk(
    tmp_path: Path, policy_file: Path, start_service: Callable[..., ServiceProcess]
) -> Iterator[StartRisk]:
    """Starts `python -m risk_service`; by default on an SQLite file below tmp_path."""
    with ExitStack() as stack:

        def start(*flags: str, database: str = "") -> RunningService:
            process = start_service(
                "risk_service",
                "--policy", str(policy_file),
                "--database", database or f"sqlite:///{tmp_path}/audit.sqlite",
                "--journal", str(tmp_path / "audit.journal"),
                *flags,
            )  # fmt: skip
            channel = stack.enter_context(grpc.insecure_channel(process.address))
            return RunningService(process, risk_pb2_grpc.RiskServiceStub(channel))

        yield start


def _account(*values: float) -> risk_pb2.RiskInputs:
    return risk_inputs_to_message(RiskInputs(portfolio_values=np.array(values)))


@pytest.fixture
def calm() -> risk_pb2.RiskInputs:
    """An account that breaks no rule."""
    return _account(100.0, 101.0, 100.5)


@pytest.fixture
def crashed() -> risk_pb2.RiskInputs:
    """An account over the limit that halts it."""
    return _account(100.0, 70.0)
