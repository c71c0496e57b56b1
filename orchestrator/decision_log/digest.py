"""What a decision was made from, in one number."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from orchestrator.decision_log.records import BarRecord

__all__ = ["inputs_digest"]


def inputs_digest(bars: Sequence[BarRecord], observations: Iterable[bytes]) -> str:
    """BLAKE2b-128 over the bars of a tick and its observations, hexadecimal.

    Args:
        bars: In the order of their arrival.
        observations: Of every policy that was asked, in their order: float32, little-endian.
    """
    digest = hashlib.blake2b(digest_size=16)
    for bar in bars:
        values = np.array([bar.open, bar.high, bar.low, bar.close, bar.volume], dtype="<f8")
        digest.update(f"{bar.symbol} {bar.start_ns} ".encode() + values.tobytes())
    for observation in observations:
        digest.update(observation)
    return digest.hexdigest()
