"""Does a network still give the answers that were recorded when it was exported?"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tradewind.bundle import BundleFault, GoldenSet
from tradewind.errors import BundleGoldenError, BundleRuntimeError
from tradewind.policy.protocol import Network

__all__ = ["GOLDEN_TOLERANCE", "check_golden", "compare_answers"]

GOLDEN_TOLERANCE: Final = 1e-5
"""Largest difference of a continuous answer, relative to the recorded one where that exceeds 1."""


def check_golden(network: Network, golden: GoldenSet, *, kind: str = "golden observation") -> None:
    """Compares the answers to the golden observations, all at once and one by one.

    Discrete actions must be equal; continuous ones and the distribution's parameters may differ by
    GOLDEN_TOLERANCE.

    Args:
        network: The network.
        golden: Observations and the answers they must give.
        kind: What an observation is called in an error.

    Raises:
        BundleRuntimeError: The network fails, or its output has the wrong type or shape.
        BundleGoldenError: An answer differs; names the observation.
    """
    rows = [golden.observations[index : index + 1] for index in range(len(golden.observations))]
    for name, method, expected in (
        ("action", network.act, golden.actions),
        ("distribution", network.distribution, golden.distribution),
    ):
        together, _ = method(golden.observations)
        compare_answers(name, together, expected, kind)
        for index, row in enumerate(rows):
            alone, _ = method(row)
            compare_answers(name, alone, expected[index : index + 1], kind, first=index)


def compare_answers(
    name: str,
    found: NDArray[Any],
    expected: NDArray[Any],
    kind: str = "golden observation",
    first: int = 0,
) -> None:
    """Compares some answers; see check_golden.

    Args:
        name: What they are.
        found: Those of the network.
        expected: Those recorded.
        kind: What an observation is called in an error.
        first: Number of the first observation.

    Raises:
        BundleRuntimeError: They have the wrong type or shape.
        BundleGoldenError: One differs; names the observation.
    """
    if found.dtype != expected.dtype or found.shape != expected.shape:
        raise BundleRuntimeError(
            f"the network gives {name} as {found.dtype} {found.shape} "
            f"instead of {expected.dtype} {expected.shape}",
            reason=BundleFault.MODEL_OUTPUT_INVALID,
        )
    if expected.dtype == np.int64:
        same = found == expected
    else:
        allowed = GOLDEN_TOLERANCE * np.maximum(1.0, np.abs(expected))
        same = np.abs(found.astype(np.float64) - expected) <= allowed
    if same.all():
        return
    row = int(np.argwhere(~same)[0][0])
    raise BundleGoldenError(
        f"{kind} {first + row} gives {name} {found[row].tolist()} "
        f"instead of {expected[row].tolist()}",
        reason=BundleFault.GOLDEN_MISMATCH,
        metadata={"observation": str(first + row), "what": name},
    )
