"""`tradewind up` in a project: services first, the orchestrator once its policy is there."""

import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.integration.cli.conftest import Run
from tests.ports import free_ports
from tests.waiting import wait_until
from tradewind.settings import read_yaml

RELEASED = Path(__file__).parents[2] / "contract" / "bundle" / "store_v1"
NAMES = ("trainer", "inference", "risk")


class Up:
    """The command as a process, with what it says."""

    def __init__(self, folder: Path, live: int) -> None:
        command = [sys.executable, "-m", "tradewind_cli", "up", "--live", f"127.0.0.1:{live}"]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as said:
            for line in said:
                self.lines.append(line)

    def says(self, pattern: str) -> bool:
        return any(re.search(pattern, line) for line in list(self.lines))

    def wait_for(self, pattern: str) -> None:
        wait_until(
            lambda: self.says(pattern) or self.process.poll() is not None,
            f"{pattern} in {self.lines[-20:]}",
            patience_s=200,
        )
        assert self.says(pattern), "".join(self.lines)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(120)
        self._reader.join(60)
        return code


@pytest.fixture
def project(run: Run, tmp_path: Path) -> Path:
    """A project of its own on ports that are free."""
    folder = tmp_path / "mine"
    assert run("init", folder).code == 0
    ports = dict(zip(NAMES, free_ports(len(NAMES)), strict=True))
    for name in NAMES:
        change(folder, name, server={"listen": f"127.0.0.1:{ports[name]}", "metrics_listen": ""})
    addresses = {name: f"127.0.0.1:{ports[name]}" for name in ("inference", "risk")}
    change(folder, "orchestrator", services=addresses)
    return folder


def change(folder: Path, name: str, **values: object) -> None:
    path = folder / "config" / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**read_yaml(path)[0], **values}))


@pytest.fixture
def ups() -> Iterator[list[Up]]:
    started: list[Up] = []
    yield started
    for up in started:
        up.stop()


def is_listening(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.slow
def test_up_without_a_policy_says_what_is_missing_and_trades_once_it_is_there(
    project: Path, ups: list[Up]
) -> None:
    # A policy that is not of these features: the orchestrator must come up, and say so.
    change(
        project,
        "orchestrator",
        allocations=[{"symbol": "BTC", "policy": "tiny-dqn"}],
        ready_timeout_s=60,
    )
    ups.append(up := Up(project, free_ports(1)[0]))
    up.wait_for(r"up +\| the services are ready")
    up.wait_for(r"not served yet: tiny-dqn.* --policy tiny-dqn")
    assert not up.says(r"^orchestrator ")
    copied = project / "bundles" / "tiny-dqn"
    subprocess.run(["cp", "-r", RELEASED / "tiny-dqn", project / "coming"], check=True)
    copied.parent.mkdir(exist_ok=True)
    (project / "coming").rename(copied)
    up.wait_for(r"up +\| the orchestrator ended with 1; the services go on")
    assert up.says(r"^orchestrator +\| .*tiny-dqn")
    listen = read_yaml(project / "config" / "risk.yaml")[0]["server"]["listen"]
    assert is_listening(listen)
    assert up.stop(signal.SIGINT) == 0
    up.wait_for("everything is stopped")
    assert not is_listening(listen)


@pytest.mark.slow
def test_up_with_a_busy_port_stops_everything_and_names_it(project: Path, ups: list[Up]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = f"127.0.0.1:{taken.getsockname()[1]}"
        change(project, "risk", server={"listen": busy, "metrics_listen": ""})
        ups.append(up := Up(project, free_ports(1)[0]))
        assert up.process.wait(200) == 1
    up.wait_for("everything is stopped")
    assert up.says(rf"risk +\| .*cannot listen on {re.escape(busy)}")
    assert up.says(r"the risk service ended with 1: all stop")


def test_up_without_settings_says_how_to_make_some(run: Run, tmp_path: Path) -> None:
    done = run("up", "--config", tmp_path)
    assert done.code != 0
    assert "tradewind init DIR" in done.err
