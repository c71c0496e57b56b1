"""Peers that do not speak HTTP/2 as they should, at every service, under load."""

import contextlib
import socket
import struct
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tests.faults.scenario import Scenario
from tests.faults.stack import SERVICES

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HELD_CONNECTIONS = 200


def frame(kind: int, flags: int, stream: int, payload: bytes, length: int | None = None) -> bytes:
    """An HTTP/2 frame (RFC 9113, section 4.1); `length` says another one than the payload's."""
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


DATA, HEADERS, RST, SETTINGS, PING, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
ATTACKS = {
    "nothing": b"",
    "another protocol": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a broken preface": PREFACE[:-3] + b"XXX",
    "random bytes": PREFACE + np.random.default_rng(7).bytes(65_536),
    "a frame longer than allowed": PREFACE + frame(DATA, 0, 1, bytes(100), length=(1 << 24) - 1),
    "data on a stream that was never opened": PREFACE
    + frame(SETTINGS, 0, 0, b"")
    + frame(DATA, 0, 99, bytes(16)),
    "headers that are no HPACK": PREFACE
    + frame(SETTINGS, 0, 0, b"")
    + frame(HEADERS, 5, 1, b"\xff" * 64),
    "settings of a wrong length": PREFACE + frame(SETTINGS, 0, 0, bytes(5)),
    "a window update of zero": PREFACE + frame(SETTINGS, 0, 0, b"") + frame(WINDOW, 0, 0, bytes(4)),
    "continuations without an end": PREFACE
    + frame(SETTINGS, 0, 0, b"")
    + frame(HEADERS, 0, 1, b"\x82")
    + frame(CONTINUATION, 0, 1, b"\x82" * 1000) * 100,
    "resets in a row": PREFACE
    + frame(SETTINGS, 0, 0, b"")
    + b"".join(
        frame(HEADERS, 4, stream, b"\x83\x86\x84") + frame(RST, 0, stream, bytes(4))
        for stream in range(1, 20_001, 2)
    ),
    "pings in a row": PREFACE + frame(SETTINGS, 0, 0, b"") + frame(PING, 0, 0, bytes(8)) * 10_000,
}


@pytest.fixture
def connect(scenario: Scenario) -> Iterator[Callable[[str], socket.socket]]:
    """Plain connections to a service, closed at the end."""
    with contextlib.ExitStack() as opened:

        def connect(name: str) -> socket.socket:
            host, port = scenario.stack.addresses[name].split(":")
            return opened.enter_context(socket.create_connection((host, int(port)), timeout=10))

        yield connect


def test_malformed_http2_at_every_service_leaves_other_callers_alone(
    scenario: Scenario, connect: Callable[[str], socket.socket]
) -> None:
    refused = scenario.load.refused.total()
    for name in SERVICES:
        for attack in ATTACKS.values():
            peer = connect(name)
            with contextlib.suppress(OSError):  # the server may hang up on us meanwhile
                peer.sendall(attack)
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(65_536):
                    pass
    with scenario.recovery("malformed HTTP/2 at every service"):
        pass
    assert scenario.load.refused.total() == refused
    scenario.check()


def test_connections_that_say_nothing_do_not_keep_others_out(
    scenario: Scenario, connect: Callable[[str], socket.socket]
) -> None:
    for name in SERVICES:
        for serial in range(HELD_CONNECTIONS):
            connect(name).sendall(PREFACE[: serial % len(PREFACE)])
    with scenario.recovery(f"{HELD_CONNECTIONS} silent connections at every service"):
        pass
    for name in SERVICES:
        assert scenario.stack.process(name).popen.poll() is None
    scenario.check()
