"""What a decision was made from, in one number."""

import hashlib
import struct
from collections.abc import Iterable, Sequence

from orchestrator.records import BarRecord

__all__ = ["inputs_digest"]

_VALUES = struct.Struct("<5d")


def inputs_digest(bars: Sequence[BarRecord], observations: Iterable[bytes]) -> str:
    """BLAKE2b-128 over the bars of a tick and its observations, hexadecimal.

    Args:
        bars: In the order of their arrival.
        observations: Of every policy that was asked, in their order: float32, little-endian.
    """
    digest = hashlib.blake2b(digest_size=16)
    for bar in bars:
        values = _VALUES.pack(bar.open, bar.high, bar.low, bar.close, bar.volume)
        digest.update(f"{bar.symbol} {bar.start_ns} ".encode() + values)
    for observation in observations:
        digest.update(observation)
    return digest.hexdigest()
