"""What a sealed process does: loads a network, proves and lowers it, answers calls of it."""

import codecs
import io
import socket
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tradewind.bundle import BoxSpace, Bundle, BundleFault, GoldenSet
from tradewind.errors import BundleRuntimeError, LoweringError, TradewindError
from tradewind.policy.network import TorchScriptNetwork, use_one_torch_thread
from tradewind.policy.runtime import lower_and_prove, open_network
from tradewind.policy.sealed.messages import error_message, lowered_message
from tradewind.sealing.wire import receive, send

__all__ = ["answer_calls", "load", "prepare", "prove"]

_MOST_BYTES: Final = 1 << 30  # of one call; the other side is trusted, its messages are bounded


def prepare() -> None:
    """Does once, before the seal, what the first load and the first calls do besides.

    What is imported or compiled when it is first needed could not be afterwards. No page becomes
    executable then, so oneDNN and NNPACK, which make code as they run, are switched off.
    """
    use_one_torch_thread()
    torch._C._set_mkldnn_enabled(False)
    torch._C._set_nnpack_enabled(False)
    codecs.lookup("cp437")  # of names in a zip file
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(_Smallest()), buffer)
    network = TorchScriptNetwork(buffer.getvalue(), loops=True)
    observations = np.zeros((2, 2), np.float32)
    golden = GoldenSet(
        observations, network.act(observations)[0], network.distribution(observations)[0]
    )
    lower_and_prove(network, BoxSpace(shape=(2,)), golden)
    try:
        TorchScriptNetwork(b"")
    except BundleRuntimeError as problem:
        error_message(problem)


def prove(connection: socket.socket, bundle: Bundle) -> TorchScriptNetwork | None:
    """Loads the network of a verified bundle, checks its golden answers, lowers it, and says so.

    Returns:
        The network; None when it was refused.
    """
    try:
        network = open_network(bundle, loops=True)
        try:
            lowered = lower_and_prove(network, bundle.metadata.obs_space, bundle.golden)
        except LoweringError as problem:
            send(connection, {"reason": str(problem)[:4_000]})
        else:
            send(connection, *lowered_message(lowered))
    except TradewindError as problem:
        send(connection, error_message(problem))
        return None
    except MemoryError:
        send(connection, error_message(_too_large()))
        return None
    return network


def load(
    connection: socket.socket, policy_pt: bytes, observations: NDArray[np.float32]
) -> TorchScriptNetwork | None:
    """Loads and warms up a network whose bundle was proved before, and says so; see prove."""
    try:
        network = TorchScriptNetwork(policy_pt, loops=True)
        network.warm_up(observations)
    except TradewindError as problem:
        send(connection, error_message(problem))
        return None
    except MemoryError:
        send(connection, error_message(_too_large()))
        return None
    send(connection, {"reason": ""})
    return network


def answer_calls(connection: socket.socket, network: TorchScriptNetwork) -> None:
    """Answers calls until the other side ends."""
    methods = {"act": network.act, "distribution": network.distribution}
    while True:
        message, (observations,) = receive(connection, array_bytes=_MOST_BYTES)
        try:
            answer, elapsed = methods[message["call"]](observations)
        except TradewindError as problem:
            send(connection, error_message(problem))
        except MemoryError:
            send(connection, error_message(_too_large()))
        else:
            try:
                send(connection, {"elapsed_ns": elapsed}, [answer])
            except ValueError:  # nothing of it is sent yet
                send(connection, error_message(_odd(answer)))


def _odd(answer: NDArray[Any]) -> BundleRuntimeError:
    return BundleRuntimeError(
        f"the network gives {answer.dtype} {answer.shape}", reason=BundleFault.MODEL_OUTPUT_INVALID
    )


def _too_large() -> BundleRuntimeError:
    return BundleRuntimeError(
        "the network takes more memory than it may", reason=BundleFault.MODEL_TOO_LARGE
    )


class _Smallest(nn.Module):
    """A network that does as little as one can."""

    def forward(self, obs: Tensor) -> Tensor:
        return self.distribution(obs).argmax(dim=1)

    @torch.jit.export
    def distribution(self, obs: Tensor) -> Tensor:
        return torch.relu(obs)
