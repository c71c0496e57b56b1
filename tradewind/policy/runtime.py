"""From a verified bundle to what executes its network: the compiled runtime where it is proved."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradewind.bundle import BoxSpace, Bundle, GoldenSet
from tradewind.errors import BundleError, LoweringError
from tradewind.policy.compiled_network import CompiledNetwork, LoweredNetwork
from tradewind.policy.golden import check_golden
from tradewind.policy.lowering import lower_network
from tradewind.policy.network import TorchScriptNetwork
from tradewind.policy.protocol import Network

__all__ = ["choose_network", "lower_and_prove", "open_network", "prove"]

_SPREADS: Final = (1.0, 4.0)  # the wide ones reach clipping and saturated activations
_ROWS_PER_SPREAD: Final = 128
_NUMBERS_PER_SPREAD: Final = 1 << 20  # fewer rows of very large observations bound the memory


def open_network(bundle: Bundle, *, loops: bool = False) -> TorchScriptNetwork:
    """Loads and warms up the network of a verified bundle and checks its golden answers.

    It is executed in this process, after nothing but the check of its operations.

    Args:
        bundle: The bundle.
        loops: As TorchScriptNetwork has it.

    Raises:
        BundleError: The network must not be used; `reason` and message name the cause.
    """
    try:
        network = TorchScriptNetwork(bundle.policy_pt, loops=loops)
        network.warm_up(bundle.golden.observations)
        check_golden(network, bundle.golden)
    except BundleError as problem:
        raise type(problem)(
            f"bundle {bundle.metadata.name}/{bundle.metadata.version} is refused: {problem}",
            reason=problem.reason,
            metadata=problem.metadata,
        ) from None
    return network


def choose_network(
    torchscript: TorchScriptNetwork, obs_space: BoxSpace, golden: GoldenSet
) -> tuple[Network, str]:
    """The fastest runtime that gives TorchScript's answers; see lower_and_prove.

    Returns:
        The network, and why it is not the compiled one; empty when it is.
    """
    try:
        return CompiledNetwork(lower_and_prove(torchscript, obs_space, golden)), ""
    except LoweringError as problem:
        return torchscript, str(problem)


def lower_and_prove(
    torchscript: TorchScriptNetwork, obs_space: BoxSpace, golden: GoldenSet
) -> LoweredNetwork:
    """Lowers a network for the compiled runtime, which must then give TorchScript's answers.

    It must do so on the golden observations and on random ones, alone and in a batch: the same
    discrete actions, and numbers within GOLDEN_TOLERANCE. The random ones are the same each time,
    so a bundle always gets the same runtime.

    Args:
        torchscript: The network; warm, its golden answers checked.
        obs_space: One observation.
        golden: Of the bundle.

    Raises:
        LoweringError: The compiled runtime cannot execute the network, or gives other answers.
    """
    try:
        lowered = lower_network(torchscript, obs_space.shape)
    except LoweringError as problem:
        raise LoweringError(f"not lowered: {problem}") from None
    prove(CompiledNetwork(lowered), torchscript, obs_space, golden)
    return lowered


def prove(
    compiled: CompiledNetwork,
    torchscript: TorchScriptNetwork,
    obs_space: BoxSpace,
    golden: GoldenSet,
) -> None:
    """Compares a compiled network with TorchScript; see lower_and_prove.

    Raises:
        LoweringError: It gives other answers.
    """
    observations = np.concatenate(
        [golden.observations, *_random_observations(golden.observations, obs_space)]
    )
    compiled.warm_up(golden.observations)
    try:
        answers = GoldenSet(
            observations=observations,
            actions=torchscript.act(observations)[0],
            distribution=torchscript.distribution(observations)[0],
        )
        with np.errstate(invalid="ignore"):  # infinite answers are compared too
            check_golden(compiled, answers, kind="observation")
    except BundleError as problem:
        raise LoweringError(f"the compiled network differs from TorchScript: {problem}") from None


def _random_observations(golden: NDArray[np.float32], space: BoxSpace) -> list[NDArray[np.float32]]:
    """Normal numbers about the mean of the golden ones, as wide as these and wider."""
    generator = np.random.default_rng(0)
    mean, deviation = golden.mean(axis=0, dtype=np.float64), golden.std(axis=0, dtype=np.float64)
    deviation = np.where(deviation > 0.0, deviation, 1.0)
    low = np.maximum(space.low_array(), np.finfo(np.float32).min)
    high = np.minimum(space.high_array(), np.finfo(np.float32).max)
    rows = max(1, min(_ROWS_PER_SPREAD, _NUMBERS_PER_SPREAD // space.size))
    shape = (rows, *space.shape)
    draws = (mean + spread * deviation * generator.normal(size=shape) for spread in _SPREADS)
    return [np.clip(draw, low, high).astype(np.float32) for draw in draws]
