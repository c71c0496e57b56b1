"""What keeps the store from being followed: counted each time, said once."""

import logging

from inference_service.telemetry import Telemetry
from tradewind.errors import TradewindError

__all__ = ["Troubles"]

_LOG = logging.getLogger(__name__)


class Troubles:
    """The failures of looking at the store.

    Args:
        telemetry: Where every failure is counted.

    Attributes:
        policies: Those in trouble; whoever looks at them anew clears it.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._said: dict[str, str] = {}
        self.policies: set[str] = set()

    def report(self, where: str, problem: Exception, policy: str = "") -> None:
        """Counts a failure, and logs it unless it is the one that was said there last.

        Args:
            where: What was looked at.
            problem: What went wrong.
            policy: The policy that has to be looked at again; "" where it is none's.
        """
        if policy:
            self.policies.add(policy)
        self._telemetry.store_failed()
        if self._said.get(where) != str(problem):
            self._said[where] = str(problem)
            defect = None if isinstance(problem, TradewindError) else problem
            _LOG.warning("%s; what serves goes on serving", problem, exc_info=defect)

    def end(self, where: str) -> None:
        """Says that what was looked at is well again, if it was not."""
        if self._said.pop(where, None) is not None:
            _LOG.info("no trouble any more with %s", where)
