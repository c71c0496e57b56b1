"""JSON and arrays over a stream socket; what comes from a sealed process is only ever data.

A frame is a head (magic, length of the JSON, number of arrays), a JSON object, and for each array
its type, shape and bytes. Every length is compared with a bound before anything of it is read.
"""

import json
import math
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Frame", "WireError", "receive", "send"]

_HEAD: Final = struct.Struct("<4sIB")
_ARRAY: Final = struct.Struct("<BB6I")
_MAGIC: Final = b"TWS1"
_TYPES: Final = tuple(np.dtype(name) for name in ("<f4", "<f8", "<i8", "|u1"))
_JSON_BYTES: Final = 2 * 1024 * 1024
_MOST_ARRAYS: Final = 16
_MOST_DIMENSIONS: Final = 6
_PIECE: Final = 1 << 20

Frame = tuple[dict[str, Any], list[NDArray[Any]]]
"""A JSON object and arrays."""


class WireError(Exception):
    """What came is no frame, or is larger than it may be."""


def send(
    connection: socket.socket,
    message: dict[str, Any],
    arrays: Sequence[NDArray[Any]] = (),
    *,
    deadline: float | None = None,
) -> None:
    """Sends a frame.

    Args:
        connection: A stream socket.
        message: What JSON can hold.
        arrays: float32, float64, int64 or bytes, of at most 6 dimensions.
        deadline: On the monotonic clock; None to wait for ever, which sets nothing on the socket.

    Raises:
        TimeoutError: The deadline has passed.
        OSError: The other side is gone.
        ValueError: An array is of another type; nothing is sent.
    """
    text = json.dumps(message).encode()
    kinds = [_TYPES.index(array.dtype) for array in arrays]
    _hurry(connection, deadline)
    connection.sendall(_HEAD.pack(_MAGIC, len(text), len(arrays)) + text)
    for kind, array in zip(kinds, arrays, strict=True):
        whole = np.ascontiguousarray(array)
        shape = array.shape  # a scalar's stays one
        padded = (*shape, *(0,) * (_MOST_DIMENSIONS - len(shape)))
        _hurry(connection, deadline)
        connection.sendall(_ARRAY.pack(kind, len(shape), *padded))
        if whole.nbytes:
            connection.sendall(whole.data.cast("B"))


def receive(connection: socket.socket, *, array_bytes: int, deadline: float | None = None) -> Frame:
    """Receives a frame.

    Args:
        connection: A stream socket.
        array_bytes: Most bytes of all arrays together.
        deadline: On the monotonic clock; None to wait for ever.

    Raises:
        EOFError: The other side is gone.
        TimeoutError: The deadline has passed.
        WireError: What came is no frame, or is larger than it may be.
        OSError: The connection failed.
    """
    magic, text_bytes, count = _HEAD.unpack(_exactly(connection, _HEAD.size, deadline))
    if magic != _MAGIC or text_bytes > _JSON_BYTES or count > _MOST_ARRAYS:
        raise WireError("no frame")
    try:
        message = json.loads(_exactly(connection, text_bytes, deadline))
    except (ValueError, RecursionError):
        raise WireError("no JSON") from None
    if not isinstance(message, dict):
        raise WireError("no JSON object")
    arrays: list[NDArray[Any]] = []
    for _ in range(count):
        array = _receive_array(connection, array_bytes, deadline)
        array_bytes -= array.nbytes
        arrays.append(array)
    return message, arrays


def _receive_array(
    connection: socket.socket, most_bytes: int, deadline: float | None
) -> NDArray[Any]:
    kind, dimensions, *shape = _ARRAY.unpack(_exactly(connection, _ARRAY.size, deadline))
    if kind >= len(_TYPES) or dimensions > _MOST_DIMENSIONS:
        raise WireError("no array")
    shape = shape[:dimensions]
    size = math.prod(shape) * _TYPES[kind].itemsize
    if size > most_bytes:
        raise WireError(f"an array of {size} bytes, where {most_bytes} are the most")
    data = _exactly(connection, size, deadline)
    try:
        return np.frombuffer(data, _TYPES[kind]).reshape(shape)
    except ValueError:  # of no elements, and yet so long that nothing could index it
        raise WireError(f"an array of shape {tuple(shape)}") from None


def _exactly(connection: socket.socket, size: int, deadline: float | None) -> bytearray:
    """So many bytes; memory is taken as they come, not as they are announced."""
    data = bytearray()
    while len(data) < size:
        _hurry(connection, deadline)
        piece = connection.recv(min(size - len(data), _PIECE))
        if not piece:
            raise EOFError
        data += piece
    return data


def _hurry(connection: socket.socket, deadline: float | None) -> None:
    if deadline is None:  # a sealed process may not even ask for another time-out
        return
    left = deadline - time.monotonic()
    if left <= 0.0:
        raise TimeoutError
    connection.settimeout(left)
