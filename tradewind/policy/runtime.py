"""Chooses what executes a bundle's network: the compiled runtime where it is proved equal."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradewind.bundle import BoxSpace, BundleMetadata, GoldenSet
from tradewind.errors import BundleError, LoweringError
from tradewind.policy.compiled_network import CompiledNetwork
from tradewind.policy.golden import check_golden
from tradewind.policy.lowering import lower_network
from tradewind.policy.network import TorchScriptNetwork
from tradewind.policy.protocol import Network

__all__ = ["choose_network"]

_SPREADS: Final = (1.0, 4.0)  # the wide ones reach clipping and saturated activations
_ROWS_PER_SPREAD: Final = 128
_NUMBERS_PER_SPREAD: Final = 1 << 20  # fewer rows of very large observations bound the memory


def choose_network(
    torchscript: TorchScriptNetwork, metadata: BundleMetadata, golden: GoldenSet
) -> tuple[Network, str]:
    """The fastest runtime that gives TorchScript's answers.

    The compiled runtime must do so on the golden observations and on random ones, alone and in a
    batch: the same discrete actions, and numbers within GOLDEN_TOLERANCE. The random ones are the
    same each time, so a bundle always gets the same runtime.

    Args:
        torchscript: The network; warm, its golden answers checked.
        metadata: Of the bundle.
        golden: Of the bundle.

    Returns:
        The network, and why it is not the compiled one; empty when it is.
    """
    observations = np.concatenate(
        [golden.observations, *_random_observations(golden.observations, metadata.obs_space)]
    )
    try:
        compiled = CompiledNetwork(lower_network(torchscript, metadata.obs_space.shape))
        compiled.warm_up(golden.observations)
        answers = GoldenSet(
            observations=observations,
            actions=torchscript.act(observations)[0],
            distribution=torchscript.distribution(observations)[0],
        )
        with np.errstate(invalid="ignore"):  # infinite answers are compared too
            check_golden(compiled, metadata, answers, kind="observation")
    except LoweringError as problem:
        return torchscript, f"not lowered: {problem}"
    except BundleError as problem:
        return torchscript, f"the compiled network differs from TorchScript: {problem}"
    return compiled, ""


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
