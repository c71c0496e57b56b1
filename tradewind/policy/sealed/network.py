"""The trusted side of a sealed process: asks it, and believes nothing but numbers that fit."""

import math
import socket
import time
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from tradewind.bundle import Bundle, BundleFault
from tradewind.errors import BundleRuntimeError
from tradewind.policy.compiled_network import CompiledNetwork, LoweredNetwork
from tradewind.policy.golden import compare_answers
from tradewind.policy.protocol import Network
from tradewind.policy.sealed.messages import read_error, read_lowered, read_text
from tradewind.sealing.wire import WireError, receive, send

__all__ = ["Method", "SealedCalls", "check_answers", "hear_loaded", "hear_proof"]

Method = Literal["act", "distribution"]
"""What a network is asked for."""

_LONGEST_NS: Final = 10**13
_SMALLEST_ANSWER_BYTES: Final = 1 << 20
_ANSWER_PER_OBSERVATION: Final = 64


def hear_proof(
    connection: socket.socket, bundle: Bundle, *, array_bytes: int, deadline: float
) -> tuple[LoweredNetwork | None, str]:
    """What a sealed process made of a bundle.

    Args:
        connection: To it.
        bundle: The bundle.
        array_bytes: Most bytes of the lowered network.
        deadline: On the monotonic clock.

    Returns:
        The lowered network, and why there is none.

    Raises:
        BundleError: It is refused.
        WireError: The answer is none.
        EOFError: The process ended.
        TimeoutError: The deadline has passed.
    """
    message, arrays = receive(connection, array_bytes=array_bytes, deadline=deadline)
    if "error" in message:
        raise read_error(message)
    reason = read_text(message.get("reason"))
    if "programs" not in message:
        return None, reason or "not lowered"
    return read_lowered(message, arrays, bundle.metadata), ""


def hear_loaded(connection: socket.socket, *, deadline: float) -> None:
    """Waits until a sealed process has loaded a network; raises as hear_proof does."""
    message, _ = receive(connection, array_bytes=0, deadline=deadline)
    if "error" in message:
        raise read_error(message)


def check_answers(network: Network, bundle: Bundle) -> None:
    """Compares the answers to the golden observations, in this process.

    What a sealed process says about its own network proves nothing.

    Raises:
        BundleError: They differ.
    """
    golden = bundle.golden
    if isinstance(network, CompiledNetwork):
        network.warm_up(golden.observations[:1])
    observations = golden.observations.copy()
    compare_answers("action", network.act(observations)[0], golden.actions)
    compare_answers("distribution", network.distribution(observations)[0], golden.distribution)


class SealedCalls:
    """Calls of the network in one sealed process, one at a time.

    Args:
        connection: To the process.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._kinds: dict[Method, tuple[np.dtype[Any], tuple[int, ...]]] = {}

    def ask(
        self, method: Method, observations: NDArray[np.float32], timeout_s: float
    ) -> tuple[NDArray[Any], int]:
        """What the network gives, and the nanoseconds that its process says it took.

        Raises:
            BundleRuntimeError: The network failed.
            WireError: The answer is none; the process is not to be asked again.
            EOFError: It ended.
            TimeoutError: It does not answer in time; nor is it then to be asked again.
        """
        deadline = time.monotonic() + timeout_s
        most = max(_SMALLEST_ANSWER_BYTES, _ANSWER_PER_OBSERVATION * observations.nbytes)
        send(self._connection, {"call": method}, [observations], deadline=deadline)
        message, arrays = receive(self._connection, array_bytes=most, deadline=deadline)
        if "error" in message:
            raise read_error(message)
        elapsed = message.get("elapsed_ns")
        if type(elapsed) is not int or not 0 <= elapsed < _LONGEST_NS or len(arrays) != 1:
            raise WireError("no answer")
        (answer,) = arrays
        self._check(method, answer, len(observations))
        return answer, elapsed

    def _check(self, method: Method, answer: NDArray[Any], rows: int) -> None:
        if answer.ndim == 0 or len(answer) != rows or math.prod(answer.shape) == 0:
            raise self._misfit(method, answer)
        kind = self._kinds.setdefault(method, (answer.dtype, answer.shape[1:]))
        if kind != (answer.dtype, answer.shape[1:]):
            raise self._misfit(method, answer)

    def _misfit(self, method: Method, answer: NDArray[Any]) -> BundleRuntimeError:
        return BundleRuntimeError(
            f"the network gives {method} as {answer.dtype} {answer.shape}",
            reason=BundleFault.MODEL_OUTPUT_INVALID,
        )
