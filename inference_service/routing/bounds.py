"""Whether a challenger keeps the bounds that its own calls show; no I/O."""

from dataclasses import dataclass
from typing import Final

from inference_service.routing.routes import Counts
from tradewind.serving import VariantBounds

__all__ = ["Breach", "Window", "limit_ns"]

_NEVER_NS: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Breach:
    """A bound that was broken: the cause for programs, the reason for people."""

    cause: str
    reason: str


def limit_ns(bounds: VariantBounds | None) -> float:
    """Model compute that counts as too long."""
    if bounds is None or bounds.model_compute_us is None:
        return _NEVER_NS
    return bounds.model_compute_us * 1e3


class Window:
    """The calls of a challenger since the last whole window.

    A percentile over a limit is a share of calls over it, and so is judged without a histogram: of
    `window_calls` calls, at most 1 − percentile / 100 may be over the limit. That many are over it,
    or have failed, as soon as the window can no longer end within the bound; nobody has to wait.

    Args:
        start: The counts at its start.
    """

    def __init__(self, start: Counts) -> None:
        self._start = start

    def judge(self, now: Counts, bounds: VariantBounds) -> Breach | None:
        """The bound that is broken; None when there is none. Begins a new window after a whole one.

        Args:
            now: The counts now.
            bounds: The bounds.
        """
        answered = now.answered - self._start.answered
        over = now.over_limit - self._start.over_limit
        failed = now.failed - self._start.failed
        calls = answered + failed
        whole = max(calls, bounds.window_calls)
        slow_share = 1.0 - bounds.percentile / 100.0
        if bounds.model_compute_us is not None and _exceeds(over, slow_share, whole):
            return Breach(
                "MODEL_COMPUTE",
                f"{over} of {answered} answers took longer than {bounds.model_compute_us:g} µs, "
                f"which p{bounds.percentile:g} of {whole} calls must not",
            )
        if bounds.error_share is not None and _exceeds(failed, bounds.error_share, whole):
            return Breach(
                "ERROR_SHARE",
                f"{failed} of {calls} calls failed; {bounds.error_share:g} of {whole} may",
            )
        if calls >= bounds.window_calls:
            self._start = now
        return None


def _exceeds(count: int, share: float, whole: int) -> bool:
    # 10 of 100 are not more than the share of 1 - 0.9, though its float is below 0.1.
    return count > share * whole * (1.0 + 1e-9)
