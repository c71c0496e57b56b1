"""The list of all calculators."""

from typing import Final

from tradewind.risk.calculators.adv_participation import ADV_PARTICIPATION
from tradewind.risk.calculators.concentration import CONCENTRATION
from tradewind.risk.calculators.depth_shock import DEPTH_SHOCK
from tradewind.risk.calculators.drawdown import DRAWDOWN
from tradewind.risk.calculators.drawdown_velocity import DRAWDOWN_VELOCITY
from tradewind.risk.calculators.expected_shortfall import EXPECTED_SHORTFALL
from tradewind.risk.calculators.feed_staleness import FEED_STALENESS
from tradewind.risk.calculators.greeks import GREEKS
from tradewind.risk.calculators.kyle_lambda import KYLE_LAMBDA
from tradewind.risk.calculators.latency_drift import LATENCY_DRIFT
from tradewind.risk.calculators.leverage import LEVERAGE
from tradewind.risk.calculators.stress import STRESS
from tradewind.risk.calculators.turnover import TURNOVER
from tradewind.risk.calculators.ulcer_index import ULCER_INDEX
from tradewind.risk.calculators.var import VAR
from tradewind.risk.calculators.volatility import VOLATILITY

__all__ = ["CALCULATORS"]

CALCULATORS: Final = (
    DRAWDOWN,
    DRAWDOWN_VELOCITY,
    ULCER_INDEX,
    VOLATILITY,
    VAR,
    EXPECTED_SHORTFALL,
    TURNOVER,
    CONCENTRATION,
    LEVERAGE,
    KYLE_LAMBDA,
    DEPTH_SHOCK,
    ADV_PARTICIPATION,
    FEED_STALENESS,
    LATENCY_DRIFT,
    STRESS,
    GREEKS,
)
"""Every calculator, in the order in which their metrics are reported."""
