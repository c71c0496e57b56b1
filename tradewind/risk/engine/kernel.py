"""Every enabled calculator in one compiled call on one state."""

from math import isnan, nan

from tradewind.compiled import compiled
from tradewind.risk.calculators.adv_participation import calculate_adv_participation
from tradewind.risk.calculators.concentration import calculate_concentration
from tradewind.risk.calculators.depth_shock import calculate_depth_shock
from tradewind.risk.calculators.drawdown import calculate_drawdown
from tradewind.risk.calculators.drawdown_velocity import calculate_drawdown_velocity
from tradewind.risk.calculators.expected_shortfall import calculate_expected_shortfall
from tradewind.risk.calculators.feed_staleness import calculate_feed_staleness
from tradewind.risk.calculators.greeks import calculate_greeks
from tradewind.risk.calculators.kyle_lambda import calculate_kyle_lambda
from tradewind.risk.calculators.latency_drift import calculate_latency_drift
from tradewind.risk.calculators.leverage import calculate_leverage
from tradewind.risk.calculators.stress import calculate_stress
from tradewind.risk.calculators.turnover import calculate_turnover
from tradewind.risk.calculators.ulcer_index import calculate_ulcer_index
from tradewind.risk.calculators.var import calculate_var
from tradewind.risk.calculators.volatility import calculate_volatility
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.state import CODE, NOTE, VALUE, State
from tradewind.risk.inputs import FloatArray

__all__ = ["calculate"]


@compiled
def calculate(config: Record, limits: FloatArray, state: State, out: FloatArray) -> int:
    """Runs the enabled calculators on one state.

    Args:
        config: Settings (plan.CONFIG).
        limits: Limits and weights. Shape [2, metrics].
        state: The account.
        out: Filled with the result. Shape [5, metrics + 2].

    Returns:
        How many metrics are unavailable or have a note.
    """
    _calculate_from_series(config, state, out)
    _calculate_from_holdings(config, state, out)
    return _score(limits, out)


@compiled
def _calculate_from_series(config: Record, state: State, out: FloatArray) -> None:
    if config.drawdown >= 0:
        calculate_drawdown(config, state, out)
    if config.drawdown_velocity >= 0:
        calculate_drawdown_velocity(config, state, out)
    if config.ulcer_index >= 0:
        calculate_ulcer_index(config, state, out)
    if config.volatility >= 0:
        calculate_volatility(config, state, out)
    if config.var >= 0:
        calculate_var(config, state, out)
    if config.expected_shortfall >= 0:
        calculate_expected_shortfall(config, state, out)
    if config.turnover >= 0:
        calculate_turnover(config, state, out)
    if config.kyle_lambda >= 0:
        calculate_kyle_lambda(config, state, out)
    if config.latency_drift >= 0:
        calculate_latency_drift(config, state, out)


@compiled
def _calculate_from_holdings(config: Record, state: State, out: FloatArray) -> None:
    if config.concentration >= 0:
        calculate_concentration(config, state, out)
    if config.leverage >= 0:
        calculate_leverage(config, state, out)
    if config.depth_shock >= 0:
        calculate_depth_shock(config, state, out)
    if config.adv_participation >= 0:
        calculate_adv_participation(config, state, out)
    if config.feed_staleness >= 0:
        calculate_feed_staleness(config, state, out)
    if config.stress >= 0:
        calculate_stress(config, state, out)
    if config.greeks >= 0:
        calculate_greeks(config, state, out)


@compiled
def _score(limits: FloatArray, out: FloatArray) -> int:
    """Writes risk_score and penalty (NaN: unknown) and counts the metrics to remark on."""
    metrics = limits.shape[1]
    remarks = 0
    largest = nan
    weighted = 0.0
    weights = 0.0
    for metric in range(metrics):
        if out[CODE, metric] != 0.0 or out[NOTE, metric] != 0.0:
            remarks += 1
        if out[CODE, metric] == 0.0 and not isnan(limits[0, metric]):
            utilisation = out[VALUE, metric] / limits[0, metric]
            if isnan(largest) or utilisation > largest:
                largest = utilisation
            weighted += limits[1, metric] * utilisation
            weights += limits[1, metric]
    out[VALUE, metrics] = largest if isnan(largest) else min(max(largest, 0.0), 1.0)
    out[VALUE, metrics + 1] = weighted / weights if weights > 0.0 else nan
    return remarks
