"""Stochastic actions that depend on the seed and the distribution alone: no global generator.

Random numbers are outputs of splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom
number generators", OOPSLA 2014). Row i of a batch draws from a stream of its own, whose state is
the (i + 1)-th output of a splitmix64 that starts at the first output for the seed. A single
observation is row 0, so it gets the same action alone as at the head of a batch.
"""

import secrets
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tradewind.bundle import BoxSpace, BundleMetadata
from tradewind.errors import FieldViolation, InvalidInputError

__all__ = ["ActionSampler", "check_seed", "fresh_seed", "uniforms"]

Sampler = Callable[[NDArray[np.float64], int], NDArray[Any]]

_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2: Final = np.uint64(0x94D049BB133111EB)
_MAX_SEED: Final = (1 << 64) - 1


def fresh_seed() -> int:
    """An unpredictable seed."""
    return secrets.randbits(64)


def check_seed(seed: int) -> int:
    """Gives the seed back.

    Raises:
        InvalidInputError: It does not fit 64 bits.
    """
    if not 0 <= seed <= _MAX_SEED:
        raise InvalidInputError(
            "seed is refused", [FieldViolation("seed", f"{seed} is not within 0 to 2^64 − 1")]
        )
    return seed


def uniforms(seed: int, rows: int, draws: int) -> NDArray[np.float64]:
    """Random numbers, uniform on the open interval (0, 1), 52 bits each.

    Args:
        seed: Any 64-bit number.
        rows: Number of streams.
        draws: Numbers from each stream.

    Returns:
        Shape [rows, draws]; an element does not depend on how many others are asked for.
    """
    start = _mix(np.array([seed], np.uint64) + _GAMMA)
    states = _mix(start + np.arange(1, rows + 1, dtype=np.uint64) * _GAMMA)
    outputs = _mix(states[:, None] + np.arange(1, draws + 1, dtype=np.uint64) * _GAMMA)
    # Half a step off zero; with 53 bits the largest one would round to 1.
    return ((outputs >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


class ActionSampler:
    """Draws actions from what a network's `distribution` method gives.

    Args:
        metadata: Says what the distribution's numbers mean and where actions are bounded.
    """

    def __init__(self, metadata: BundleMetadata) -> None:
        distribution, space = metadata.distribution, metadata.action_space
        self._sample: Sampler
        if distribution.kind == "q_values":
            assert distribution.exploration_rate is not None
            self._sample = _epsilon_greedy(distribution.exploration_rate)
        elif distribution.kind == "categorical_logits":
            self._sample = _categorical
        elif distribution.kind == "deterministic":
            assert isinstance(space, BoxSpace)
            self._sample = _certain(space)
        else:
            assert isinstance(space, BoxSpace)
            squashed = distribution.kind == "squashed_gaussian"
            self._sample = _gaussian(space, squashed=squashed)

    def sample(self, parameters: NDArray[np.float32], seed: int) -> NDArray[Any]:
        """Draws one action per row.

        Args:
            parameters: Shaped as metadata.Distribution says, finite.
            seed: 0 to 2^64 − 1; the same seed and parameters give the same actions.

        Returns:
            int64 [N] or float32 [N, *action shape].

        Raises:
            InvalidInputError: The seed is out of range.
        """
        return self._sample(parameters.astype(np.float64), check_seed(seed))


def _epsilon_greedy(exploration_rate: float) -> Sampler:
    """With probability `exploration_rate` any action, all alike; else the best one."""

    def sample(q_values: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
        count, choices = q_values.shape
        draws = uniforms(seed, count, 2)
        anything = np.minimum((draws[:, 1] * choices).astype(np.int64), choices - 1)
        explore = draws[:, 0] < exploration_rate
        actions: NDArray[np.int64] = np.where(explore, anything, q_values.argmax(axis=1))
        return actions

    return sample


def _categorical(logits: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """Inverse of the cumulative softmax: the first action whose cumulative weight reaches u."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    cumulative = weights.cumsum(axis=1)
    target = uniforms(seed, len(logits), 1) * cumulative[:, -1:]
    actions: NDArray[np.int64] = (cumulative < target).sum(axis=1)
    return actions


def _gaussian(space: BoxSpace, *, squashed: bool) -> Sampler:
    """Box–Muller, then clipped to the bounds, or squashed by tanh and scaled onto them."""
    low = space.low_array().astype(np.float64).ravel()
    high = space.high_array().astype(np.float64).ravel()

    def sample(parameters: NDArray[np.float64], seed: int) -> NDArray[np.float32]:
        mean, log_std = parameters[:, 0], parameters[:, 1]
        draws = uniforms(seed, len(mean), 2 * space.size).reshape(len(mean), space.size, 2)
        normal = np.sqrt(-2.0 * np.log(draws[..., 0])) * np.cos(2.0 * np.pi * draws[..., 1])
        value = mean + np.exp(log_std) * normal
        if squashed:
            value = low + 0.5 * (np.tanh(value) + 1.0) * (high - low)
        actions: NDArray[np.float32] = np.clip(value, low, high).astype(np.float32)
        return actions.reshape(-1, *space.shape)

    return sample


def _certain(space: BoxSpace) -> Sampler:
    """The action that the network has chosen, whatever the seed."""

    def sample(actions: NDArray[np.float64], _seed: int) -> NDArray[np.float32]:
        return actions.astype(np.float32).reshape(-1, *space.shape)

    return sample


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Output function of splitmix64; array arithmetic wraps around at 64 bits."""
    state = (state ^ (state >> np.uint64(30))) * _MULTIPLIER_1
    state = (state ^ (state >> np.uint64(27))) * _MULTIPLIER_2
    return state ^ (state >> np.uint64(31))
