"""What a sealed process sends is a frame within its bounds, or nothing."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tradewind.sealing.wire import WireError, receive, send

Pair = tuple[socket.socket, socket.socket]
HEAD = struct.Struct("<4sIB")
ARRAY = struct.Struct("<BB6I")


@pytest.fixture
def pair() -> Iterator[Pair]:
    mine, theirs = socket.socketpair()
    with mine, theirs:
        yield mine, theirs


def test_frame_arrives_as_it_was_sent(pair: Pair) -> None:
    arrays: list[np.ndarray[Any, Any]] = [
        np.arange(6, dtype=np.float32).reshape(2, 3).T,
        np.array([1, -1], np.int64),
        np.empty((0, 4), np.float64),
        np.frombuffer(b"bytes", np.uint8),
        np.array(7, np.int64),
    ]
    send(pair[0], {"a": [1, "x"]}, arrays, deadline=time.monotonic() + 10.0)
    message, found = receive(pair[1], array_bytes=1_000, deadline=time.monotonic() + 10.0)
    assert message == {"a": [1, "x"]}
    for array, again in zip(arrays, found, strict=True):
        np.testing.assert_array_equal(array, again, strict=True)
        assert again.flags.writeable


@pytest.mark.parametrize(
    "data",
    [
        HEAD.pack(b"TWS2", 2, 0) + b"{}",
        HEAD.pack(b"TWS1", 1 << 31, 0),
        HEAD.pack(b"TWS1", 2, 200) + b"{}",
        HEAD.pack(b"TWS1", 2, 0) + b"[]",
        HEAD.pack(b"TWS1", 2, 0) + b"\xff\xff",
        HEAD.pack(b"TWS1", 90_000, 0) + b"[" * 90_000,
        HEAD.pack(b"TWS1", 2, 1) + b"{}" + ARRAY.pack(9, 1, 1, 0, 0, 0, 0, 0),
        HEAD.pack(b"TWS1", 2, 1) + b"{}" + ARRAY.pack(0, 9, 1, 0, 0, 0, 0, 0),
        HEAD.pack(b"TWS1", 2, 1) + b"{}" + ARRAY.pack(0, 1, 1_000, 0, 0, 0, 0, 0),
        HEAD.pack(b"TWS1", 2, 1) + b"{}" + ARRAY.pack(1, 6, *(2**32 - 1,) * 6),
        HEAD.pack(b"TWS1", 2, 1) + b"{}" + ARRAY.pack(0, 6, 0, *(2**32 - 1,) * 5),
        HEAD.pack(b"TWS1", 2, 1) + b"{}" + ARRAY.pack(0, 3, *(2**32 - 1,) * 2, 0, 0, 0, 0),
        HEAD.pack(b"TWS1", 2, 2) + b"{}" + (ARRAY.pack(0, 1, 20, 0, 0, 0, 0, 0) + bytes(80)) * 2,
    ],
)
def test_what_is_no_frame_or_too_large_is_refused(pair: Pair, data: bytes) -> None:
    sender = threading.Thread(target=pair[0].sendall, args=(data,))
    sender.start()
    with pytest.raises(WireError):
        receive(pair[1], array_bytes=100, deadline=time.monotonic() + 10.0)
    sender.join()


def test_frame_that_ends_early_or_comes_late_is_told_apart(pair: Pair) -> None:
    pair[0].sendall(b"TWS1")
    with pytest.raises(TimeoutError):
        receive(pair[1], array_bytes=0, deadline=time.monotonic() + 0.05)
    pair[0].close()
    with pytest.raises(EOFError):
        receive(pair[1], array_bytes=0, deadline=time.monotonic() + 10.0)


def test_frame_that_nobody_reads_is_given_up(pair: Pair) -> None:
    with pytest.raises(TimeoutError):
        send(pair[0], {}, [np.zeros(1 << 24, np.uint8)], deadline=time.monotonic() + 0.05)


def test_array_of_another_type_is_refused_before_anything_is_sent(pair: Pair) -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        send(pair[0], {}, [np.zeros(1, np.int32)])
    pair[0].close()
    assert pair[1].recv(1) == b""
