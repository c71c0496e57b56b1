"""The TorchScript runtime: executes the network of a bundle."""

import io
import time
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from tradewind.bundle import BundleFault
from tradewind.errors import BundleRuntimeError
from tradewind.policy.program import UNDECIDED
from tradewind.policy.script import check_script
from tradewind.policy.script.faults import unloadable
from tradewind.policy.script.state import check_stateless

__all__ = ["TorchScriptNetwork", "use_one_torch_thread"]

_WARM_UP_CALLS: Final = 32  # the first two calls of a loaded script take 30 to 6000 times as long


def use_one_torch_thread() -> None:
    """Keeps torch off the other cores, for the whole process: a server's threads are its own.

    A program calls it once at its start; importing this package changes no setting of torch.
    """
    torch.set_num_threads(1)


class TorchScriptNetwork:
    """A scripted network on the CPU, frozen.

    Args:
        policy_pt: What `torch.jit.save` wrote. The module's `forward(obs[N, *shape])` gives int64
            [N] or float32 [N, *action shape]; its exported method `distribution(obs)` gives
            float32 as metadata.Distribution says.
        loops: Whether it may hold `while`: only where a time limit ends what does not end.

    Attributes:
        memory_bytes: Of its weights and other constants.

    Raises:
        BundleRuntimeError: The bytes are not such a module, or it holds an operation that no policy
            may; see check_script.
    """

    runtime: Final = "torchscript"

    def __init__(self, policy_pt: bytes, *, loops: bool = False) -> None:
        self.memory_bytes = len(policy_pt)  # which is nearly all weights
        checked = check_script(policy_pt, loops=loops)  # loading and freezing execute code of it
        try:
            module = torch.jit.load(  # type: ignore[no-untyped-call]
                io.BytesIO(checked), map_location="cpu"
            ).eval()
            # Frozen weights need no gradient, so no call builds or specialises a graph for one.
            frozen = torch.jit.freeze(module, preserved_attrs=["distribution"])
            self._forward = frozen.forward
            self._distribution = frozen.distribution
            check_stateless("forward", self._forward.graph)
            check_stateless("distribution", self._distribution.graph)
        except (
            RuntimeError,
            torch.jit.Error,
            AttributeError,
            ValueError,
            OSError,
            EOFError,
        ) as problem:
            raise unloadable(problem) from None

    def graphs(self) -> tuple[torch.Graph, torch.Graph]:
        """What `act` and `distribution` execute, with the weights as constants."""
        return self._forward.graph, self._distribution.graph

    def act(self, observations: NDArray[np.float32]) -> tuple[NDArray[Any], int]:
        """The actions in the mode of the distribution.

        Args:
            observations: [N, *shape], writable, finite.

        Returns:
            int64 [N] or float32 [N, *action shape], and the nanoseconds of the network alone. A
            discrete action is UNDECIDED where the number that it would be chosen for is not finite.

        Raises:
            BundleRuntimeError: The network failed.
        """
        actions, elapsed = _timed(self._forward, observations)
        if actions.dtype == np.int64:
            actions = self._leave_undecided(actions, observations)
        return actions, elapsed

    def distribution(self, observations: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
        """The parameters of the distribution, and the nanoseconds of the network alone.

        Args:
            observations: [N, *shape], writable, finite.

        Raises:
            BundleRuntimeError: The network failed.
        """
        return _timed(self._distribution, observations)

    def _leave_undecided(
        self, actions: NDArray[Any], observations: NDArray[np.float32]
    ) -> NDArray[Any]:
        """Takes back the choices among numbers that have overflowed; an argmax does not show it."""
        numbers, _ = self.distribution(observations)
        if actions.ndim != 1 or numbers.ndim != 2 or len(numbers) != len(actions):
            return actions  # what check_golden refuses
        return np.where(np.isfinite(numbers.max(axis=1)), actions, UNDECIDED)

    def warm_up(self, observations: NDArray[np.float32]) -> None:
        """Runs both methods until the first, slow calls are over.

        Args:
            observations: [N, *shape].
        """
        for rows in (observations, observations[:1]):
            for _ in range(_WARM_UP_CALLS):
                self.act(rows)
                self.distribution(rows)


def _timed(method: Any, observations: NDArray[np.float32]) -> tuple[NDArray[Any], int]:
    tensor = torch.from_numpy(observations)
    started = time.perf_counter_ns()
    try:
        output = method(tensor)
    except (RuntimeError, torch.jit.Error) as problem:
        raise BundleRuntimeError(
            f"the network fails on observations of shape {observations.shape}: {problem}",
            reason=BundleFault.MODEL_OUTPUT_INVALID,
        ) from None
    elapsed = time.perf_counter_ns() - started
    if not isinstance(output, torch.Tensor):
        raise BundleRuntimeError(
            f"the network gives a {type(output).__name__} instead of a tensor",
            reason=BundleFault.MODEL_OUTPUT_INVALID,
        )
    return output.numpy(), elapsed
