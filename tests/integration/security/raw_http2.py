"""A peer that speaks just enough HTTP/2 to leave calls half open; no client library would."""

import contextlib
import socket
import struct
import threading
from collections.abc import Sequence

__all__ = ["PREFACE", "RawPeer", "connect", "frame"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0, 1, 3, 4, 6, 9
Fields = Sequence[tuple[str, str]]


def connect(address: str) -> socket.socket:
    """A connection that has said nothing yet."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=20.0)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    head = struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream)
    return head + payload


def _literal(name: str, value: str) -> bytes:
    """A header field that goes into no table."""
    parts = b"\x00"
    for text in (name.encode(), value.encode()):
        assert len(text) < 127
        parts += bytes([len(text)]) + text
    return parts


class RawPeer:
    """One connection that answers what keeps it alive, in a thread, and nothing else.

    Args:
        address: `HOST:PORT`.
        reads: Whether it lets the server send; else its windows are closed.
    """

    def __init__(self, address: str, *, reads: bool = True) -> None:
        self.socket = connect(address)
        self._lock = threading.Lock()
        self._next = 1
        self.ended: set[int] = set()
        settings = b"" if reads else struct.pack(">HI", 4, 0)  # INITIAL_WINDOW_SIZE
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings))
        self._pump = threading.Thread(target=self._answer, daemon=True)
        self._pump.start()

    def send(self, data: bytes) -> None:
        """Sends bytes; a server that has hung up is no error."""
        with self._lock, contextlib.suppress(OSError):
            self.socket.sendall(data)

    def headers(self, method: str, fields: Fields = ()) -> bytes:
        """The header block of a call."""
        own = (
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", "x"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        )
        return b"".join(_literal(*field) for field in (*own, *fields))

    def open(self, method: str, fields: Fields = (), data: bytes = b"", flags: int = 0) -> int:
        """Opens a call, and sends the beginning of its message."""
        stream, self._next = self._next, self._next + 2
        sent = frame(HEADERS, 4, stream, self.headers(method, fields))
        if data or flags:
            sent += frame(DATA, flags, stream, data)
        self.send(sent)
        return stream

    def call(self, method: str, message: bytes, fields: Fields = ()) -> int:
        """A whole call; nobody waits for its answer."""
        return self.open(method, fields, b"\0" + struct.pack(">I", len(message)) + message, 1)

    def close(self) -> None:
        """Vanishes."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self._pump.join()
        self.socket.close()

    def _answer(self) -> None:
        received = b""
        self.socket.settimeout(None)
        with contextlib.suppress(OSError):
            while data := self.socket.recv(65536):
                received += data
                while len(received) >= 9:
                    size = int.from_bytes(received[:3], "big")
                    if len(received) < 9 + size:
                        break
                    kind, flags = received[3], received[4]
                    stream, payload = int.from_bytes(received[5:9], "big"), received[9 : 9 + size]
                    received = received[9 + size :]
                    if kind == SETTINGS and not flags & 1:
                        self.send(frame(SETTINGS, 1, 0))
                    elif kind == PING and not flags & 1:
                        self.send(frame(PING, 1, 0, payload))
                    elif kind == RST_STREAM or (kind == HEADERS and flags & 1):
                        self.ended.add(stream)
