"""How long something took: all that a library without a clock may know of the time."""

import time
from typing import Final

__all__ = ["stopwatch_ns"]

stopwatch_ns: Final = time.perf_counter_ns
"""Nanoseconds since some moment."""
