"""Return and risk of a logged account, under the risk policy and on the market of its log."""

import json
from collections.abc import Mapping
from typing import Any

from orchestrator.account.portfolio import read_allocations
from orchestrator.markets import Markets
from tradewind.risk import FloatArray
from tradewind.risk.curve import CurveSummary, summarize_curve
from tradewind.risk.policy import RiskPolicy

__all__ = ["logged_risk_policy", "summarize_account"]


def logged_risk_policy(facts: Mapping[str, Any]) -> RiskPolicy:
    """The risk policy that was in force, of the facts of a log."""
    return RiskPolicy.parse(json.loads(facts["risk_policy"]))


def summarize_account(
    equity: FloatArray, seconds: FloatArray, facts: Mapping[str, Any]
) -> CurveSummary:
    """Summarises a curve of the account, or of another one on the same bars.

    Args:
        equity: Account values. Shape [n].
        seconds: Their times, seconds since the epoch. Shape [n].
        facts: Of the log: risk policy, allocations, markets and length of a bar.

    Raises:
        RiskInputError: The curve has no drawdown.
        MarketDataError: A market of the log is not known here.
    """
    symbols = [symbol for item in read_allocations(facts) for symbol in item.symbols]
    periods = Markets.of_log(symbols, facts).periods_per_year
    return summarize_curve(equity, seconds, logged_risk_policy(facts), periods)
