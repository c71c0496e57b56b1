"""What is said of a port that cannot be had."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tradewind import ports
from tradewind.ports import is_ephemeral, owner_of, why_not

LISTENING = """
import socket, sys
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
sys.stdin.read()
"""


def test_port_that_another_process_has_names_it_and_the_cure() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LISTENING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        said = why_not(f"127.0.0.1:{port}", RuntimeError("no"))
        assert f"in use by PID {other.pid} (" in said
        assert "listen elsewhere" in said
        other.communicate()
    assert why_not(f"127.0.0.1:{port}", RuntimeError("no")) == "no"


def test_port_of_this_process_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert owner_of(listening.getsockname()[1]) == " by this process"


def test_address_that_is_no_port_keeps_what_the_attempt_ended_with() -> None:
    assert why_not("unix:/tmp/x", RuntimeError("too long")) == "too long"


@pytest.mark.parametrize(
    ("reserved", "port", "expected"),
    [
        ("", 50051, True),
        ("", 9101, False),
        ("8080,50051-50053", 50052, False),
        ("8080,50051-50053", 50054, True),
    ],
)
def test_ports_that_the_system_lends_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reserved: str, port: int, expected: bool
) -> None:
    (tmp_path / "range").write_text("32768\t60999\n")
    (tmp_path / "reserved").write_text(f"{reserved}\n")
    monkeypatch.setattr(ports, "_RANGE", tmp_path / "range")
    monkeypatch.setattr(ports, "_RESERVED", tmp_path / "reserved")
    assert is_ephemeral(port) is expected
