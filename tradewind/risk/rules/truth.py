"""Logic with a third value for what is not known, and a fourth for what does not apply."""

from collections.abc import Iterable
from enum import IntEnum
from typing import Final

__all__ = ["Truth", "all_of", "any_of"]


class Truth(IntEnum):
    """Whether a condition holds.

    TRUE, UNKNOWN and FALSE are Kleene's strong logic: UNKNOWN means that some value of what is
    missing would make the condition hold and another would not. NOT_APPLICABLE stands below
    them: the condition is about an order, and there is none. Neither such a condition nor its
    negation holds, so that a negation of whole conditions is taken threshold by threshold.

    Source: S. C. Kleene, Introduction to Metamathematics (1952), §64.
    """

    NOT_APPLICABLE = 0
    FALSE = 1
    UNKNOWN = 2
    TRUE = 3

    @property
    def triggers(self) -> bool:
        """Whether a rule must act: unless it is certain that its condition does not hold."""
        return self >= _UNKNOWN


# Asked for many times an evaluation: a member is looked up through its class more slowly.
_UNKNOWN: Final = Truth.UNKNOWN


def all_of(truths: Iterable[Truth]) -> Truth:
    """The conjunction: the least of at least one truth."""
    return min(truths)


def any_of(truths: Iterable[Truth]) -> Truth:
    """The disjunction: the greatest of at least one truth."""
    return max(truths)
