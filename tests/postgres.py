"""A real PostgreSQL, for every service that keeps its state in one."""

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest


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

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Inside the block it accepts connections, as the kernel does, but answers nothing."""
        postmaster = psutil.Process(int((self._data / "postmaster.pid").read_text().split()[0]))
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def _run(self, program: str, *arguments: str) -> None:
        # Not subprocess's own `user`: that forks, and gRPC does not bear a fork amid calls.
        user = self._user
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        subprocess.run(
            [*become, self._binaries / program, "-D", self._data, *arguments],
            check=True,
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
