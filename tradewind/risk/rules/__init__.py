"""Rules: from risk metrics to the one action that an account must take."""

from tradewind.risk.rules.actions import LATCHING_ACTIONS, Action, Severity
from tradewind.risk.rules.checks import check_rules, rule_problems
from tradewind.risk.rules.engine import Breach, RuleEngine, RuleOutcome
from tradewind.risk.rules.readings import Readings
from tradewind.risk.rules.settings import (
    ActiveHours,
    ConditionSettings,
    RuleSettings,
    WindowSettings,
)
from tradewind.risk.rules.window import WindowState

__all__ = [
    "LATCHING_ACTIONS",
    "Action",
    "ActiveHours",
    "Breach",
    "ConditionSettings",
    "Readings",
    "RuleEngine",
    "RuleOutcome",
    "RuleSettings",
    "Severity",
    "WindowSettings",
    "WindowState",
    "check_rules",
    "rule_problems",
]
