"""Every enabled calculator in one compiled call on one state."""

from math import inf, isnan, nan

from tradewind.kernels.compiled import compiled, inlined
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
from tradewind.risk.calculators.order_statistics import find_largest_losses
from tradewind.risk.calculators.stress import calculate_stress
from tradewind.risk.calculators.turnover import calculate_turnover
from tradewind.risk.calculators.ulcer_index import calculate_ulcer_index
from tradewind.risk.calculators.var import calculate_var
from tradewind.risk.calculators.volatility import calculate_volatility
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.result import AT, CODE, OTHER, VALUE
from tradewind.risk.engine.snapshot import HAS_PERIODS_PER_YEAR, PERIODS_PER_YEAR_AT
from tradewind.risk.engine.state import State, Touched
from tradewind.risk.inputs import FloatArray

__all__ = ["calculate"]


@inlined
def calculate(
    config: Record, limits: FloatArray, state: State, touched: Touched, out: FloatArray
) -> int:
    """Runs the enabled calculators whose inputs were touched; the others' results still hold.

    Args:
        config: Settings (plan.CONFIG).
        limits: Limits and weights. Shape [2, metrics].
        state: The account.
        touched: What to calculate anew; what depends on the time always is.
        out: The last result, brought up to date. Shape [4, metrics + 2].

    Returns:
        How many metrics are unavailable or have a note.
    """
    account = state.account[0]
    header = state.header
    series = state.series
    if touched.values or touched.holdings:
        _calculate_from_values(config, account, header, series.drawdowns, out)
    if config.drawdown_velocity >= 0:
        timestamps, drawdowns = series.timestamps, series.drawdowns
        calculate_drawdown_velocity(config, account, header, timestamps, drawdowns, out)
    periods = header[PERIODS_PER_YEAR_AT] if header[HAS_PERIODS_PER_YEAR] != 0.0 else -inf
    if config.volatility >= 0 and (touched.returns or periods != account.periods_per_year):
        calculate_volatility(config, account, header, series.timestamps, series.returns, out)
        account.periods_per_year = periods
    if touched.returns:
        losses, workspace = series.sorted_losses, state.workspace
        _calculate_from_returns(config, account, series.returns, losses, workspace, out)
    if config.turnover >= 0:
        bars, trades, notionals = series.timestamps, series.trade_timestamps, series.trade_notionals
        calculate_turnover(config, account, header, bars, trades, notionals, out)
    if config.kyle_lambda >= 0 and touched.flows:
        calculate_kyle_lambda(config, account, series.price_changes, series.order_flows, out)
    if config.latency_drift >= 0 and touched.latencies:
        latencies = series.order_latencies_us
        calculate_latency_drift(config, account, latencies, state.workspace, out)
    if config.feed_staleness >= 0:
        calculate_feed_staleness(config, header, state.feeds, out)
    if touched.holdings:
        _calculate_from_positions(config, header, state.positions, out)
        if config.depth_shock >= 0:
            calculate_depth_shock(config, state.positions, state.books, state.levels, out)
        _calculate_from_options(
            config,
            header,
            state.positions,
            state.options,
            state.shocks,
            state.workspace,
            out,
        )
    return _score(limits, out)


@compiled
def _calculate_from_values(
    config: Record,
    account: Record,
    header: FloatArray,
    drawdowns: FloatArray,
    out: FloatArray,
) -> None:
    if config.drawdown >= 0:
        calculate_drawdown(config, account, header, out)
    if config.ulcer_index >= 0:
        calculate_ulcer_index(config, account, drawdowns, out)


@compiled
def _calculate_from_returns(
    config: Record,
    account: Record,
    returns: FloatArray,
    sorted_losses: FloatArray,
    workspace: FloatArray,
    out: FloatArray,
) -> None:
    """Value at risk and expected shortfall share their tail when they share their window."""
    window = config.losses_window
    tail = sorted_losses
    if sorted_losses.size == 0 and window > 0:
        tail = workspace[: find_largest_losses(returns, window, workspace)]
    if config.var >= 0:
        calculate_var(config, account, returns, tail, out)
    if config.expected_shortfall >= 0:
        if config.expected_shortfall_window_bars != window:
            window = config.expected_shortfall_window_bars
            tail = workspace[: find_largest_losses(returns, window, workspace)]
        calculate_expected_shortfall(config, account, tail, out)


@compiled
def _calculate_from_positions(
    config: Record, header: FloatArray, positions: FloatArray, out: FloatArray
) -> None:
    if config.concentration >= 0:
        calculate_concentration(config, positions, out)
    if config.leverage >= 0:
        calculate_leverage(config, header, positions, out)
    if config.adv_participation >= 0:
        calculate_adv_participation(config, positions, out)


@compiled
def _calculate_from_options(
    config: Record,
    header: FloatArray,
    positions: FloatArray,
    options: FloatArray,
    shocks: FloatArray,
    workspace: FloatArray,
    out: FloatArray,
) -> None:
    if config.stress >= 0:
        calculate_stress(config, header, positions, options, shocks, workspace, out)
    if config.greeks >= 0:
        calculate_greeks(config, options, workspace, out)


@compiled
def _score(limits: FloatArray, out: FloatArray) -> int:
    """Writes risk_score, penalty (NaN: unknown) and where the remarks are, and counts these."""
    metrics = limits.shape[1]
    remarks = 0
    first = end = 0
    largest = nan
    weighted = 0.0
    weights = 0.0
    for metric in range(metrics):
        if out[CODE, metric] != 0.0:
            first = metric if remarks == 0 else first
            end = metric + 1
            remarks += 1
        if out[CODE, metric] <= 0.0 and not isnan(limits[0, metric]):
            utilisation = out[VALUE, metric] / limits[0, metric]
            if isnan(largest) or utilisation > largest:
                largest = utilisation
            # Not even an infinite utilisation counts without a weight.
            if limits[1, metric] > 0.0:
                weighted += limits[1, metric] * utilisation
                weights += limits[1, metric]
    out[AT, metrics] = first
    out[OTHER, metrics] = end
    out[VALUE, metrics] = largest if isnan(largest) else min(max(largest, 0.0), 1.0)
    out[VALUE, metrics + 1] = weighted / weights if weights > 0.0 else nan
    return remarks
