"""When the next tick must come, by the machine's clock."""

import time

from orchestrator.feeds import Tick
from orchestrator.markets import Markets

__all__ = ["Expectation"]


class Expectation:
    """Says when a tick is overdue: no earlier than the market's next bar is late.

    Args:
        markets: Of what is traded; the one that is first counts.
        slack_ns: How late a bar may be.
    """

    def __init__(self, markets: Markets, slack_ns: int) -> None:
        self._markets = markets
        self._interval_ns = markets.interval_ns
        self._slack_ns = slack_ns

    def first(self) -> int:
        """When the first tick must have come, nanoseconds since the epoch."""
        return self._markets.first_due_ns(time.time_ns()) + self._slack_ns

    def after(self, tick: Tick) -> int:
        """When the one after a tick must: as long after it as the next bar closes after its own.

        The clock of past bars is behind by years, a feed that makes up for what was missed by less.
        """
        now_ns = time.time_ns()
        next_ns = self._markets.due_ns(tick.close_ns - self._interval_ns)
        soonest_ns = now_ns + self._interval_ns
        return max(next_ns + now_ns - tick.now_ns, soonest_ns) + self._slack_ns
