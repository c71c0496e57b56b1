"""What a rule may demand, in order of severity."""

from enum import IntEnum, StrEnum

__all__ = ["LATCHING_ACTIONS", "Action", "Severity"]


class Action(IntEnum):
    """What the account must do; a larger number is more severe.

    The names are those of a rule's `action` in the policy YAML.
    """

    ALLOW = 1
    WARN = 2
    THROTTLE = 3
    HEDGE = 4
    REDUCE_POSITION = 5
    BLOCK = 6
    HALT = 7
    LIQUIDATE = 8


LATCHING_ACTIONS = frozenset({Action.HALT, Action.LIQUIDATE})
"""Actions that stay in force until a person resumes the account."""


class Severity(StrEnum):
    """How urgently a person should look at a breach; changes nothing in what is enforced."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"
