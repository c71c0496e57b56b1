"""The metrics of the risk library by plain NumPy, as one would write them by hand."""

from math import erfc, exp, log, pi, sqrt

import numpy as np

from tradewind.risk import FloatArray, OptionPosition, RiskInputs

__all__ = ["PERIODS_PER_YEAR", "numpy_metrics"]

PERIODS_PER_YEAR = 17_520.0


def black_scholes(
    option: OptionPosition, price_shock: float = 0.0, volatility_shock: float = 0.0
) -> tuple[float, FloatArray]:
    """Value and sensitivities of one option without rates, per unit."""
    sign = 1.0 if option.kind == "call" else -1.0
    spot = option.underlying_price * (1.0 + price_shock)
    volatility, root = option.volatility * (1.0 + volatility_shock), sqrt(option.years_to_expiry)
    d1 = log(spot / option.strike) / (volatility * root) + 0.5 * volatility * root
    d2 = d1 - volatility * root
    density = exp(-0.5 * d1 * d1) / sqrt(2.0 * pi)
    held, owed = 0.5 * erfc(-sign * d1 / sqrt(2.0)), 0.5 * erfc(-sign * d2 / sqrt(2.0))
    greeks = np.array(
        [
            sign * held,
            density / (spot * volatility * root),
            spot * density * root,
            -spot * density * volatility / (2.0 * root),
        ]
    )
    return sign * (spot * held - option.strike * owed), greeks


def numpy_from_values(inputs: RiskInputs, window: int) -> dict[str, float]:
    """Metrics of values and returns, vectorised as one would by hand."""
    values, minutes = inputs.portfolio_values, inputs.timestamps / 60.0
    drawdowns = 1.0 - values / np.maximum.accumulate(values)
    under_water = np.concatenate([[False], drawdowns > 0.0, [False]])
    edges = np.flatnonzero(np.diff(under_water.astype(np.int8)))
    runs = edges[1::2] - edges[::2]
    speed = (drawdowns[12:] - drawdowns[:-12]) / (minutes[12:] - minutes[:-12])
    returns = (values[1:] / values[:-1] - 1.0)[-window:]
    decays = 0.94 ** np.arange(returns.size)[::-1]
    decays[1:] *= 0.06
    losses = np.sort(-returns)
    metrics = {
        "current_drawdown": drawdowns[-1],
        "max_drawdown": drawdowns.max(),
        "drawdown_duration_bars": values.size - 1 - np.flatnonzero(drawdowns == 0.0)[-1],
        "max_drawdown_duration_bars": runs.max(initial=0),
        "daily_drawdown": max(0.0, 1.0 - values[-1] / (inputs.start_of_day_value or np.nan)),
        "drawdown_velocity": speed[-1],
        "drawdown_acceleration": (speed[-1] - speed[-13]) / (minutes[-1] - minutes[-13]),
        "ulcer_index": np.sqrt(np.mean(drawdowns[-window:] ** 2)),
        "volatility": returns.std(ddof=1) * sqrt(PERIODS_PER_YEAR),
        "ewma_volatility": np.sqrt(decays @ returns**2 * PERIODS_PER_YEAR),
        "downside_deviation": np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2) * PERIODS_PER_YEAR),
    }
    for name, level in (("95", 0.95), ("99", 0.99), ("999", 0.999)):
        metrics[f"var_{name}"] = np.quantile(losses, level)
        if name == "999":
            continue
        tail = (1.0 - level) * losses.size
        whole = max(int(np.ceil(tail)) - 1, 0)
        worst = losses[losses.size - whole :].sum() + (tail - whole) * losses[-1 - whole]
        metrics[f"expected_shortfall_{name}"] = worst / tail
    metrics["tail_ratio"] = metrics["expected_shortfall_95"] / metrics["var_95"]
    return metrics


def numpy_from_trading(inputs: RiskInputs, window: int) -> dict[str, float]:
    """Metrics of trades, order flows, latencies and feeds."""
    now, capital = inputs.now or np.nan, inputs.capital_base or np.nan
    flows, changes = inputs.order_flows[-window:], inputs.price_changes[-window:]
    covariance = np.cov(flows, changes)
    recent, baseline = inputs.order_latencies_us[-1_000:], inputs.order_latencies_us[-5_000:-1_000]
    traded = {
        name: np.abs(inputs.trade_notionals[inputs.trade_timestamps > now - horizon]).sum()
        for name, horizon in (("hourly_turnover", 3_600.0), ("daily_turnover", 86_400.0))
    }
    return {
        **{name: value / capital for name, value in traded.items()},
        "kyle_lambda": abs(covariance[0, 1] / covariance[0, 0]),
        "kyle_lambda_r2": covariance[0, 1] ** 2 / (covariance[0, 0] * covariance[1, 1]),
        "latency_drift": np.quantile(recent, 0.999) / np.quantile(baseline, 0.999) - 1.0,
        "max_feed_staleness_ms": 1e3 * (now - min(inputs.feed_timestamps.values())),
    }


def numpy_from_holdings(inputs: RiskInputs) -> dict[str, float]:
    """Metrics of positions (all of them long), books and options."""
    capital = inputs.capital_base or np.nan
    quantities = np.array([position.quantity for position in inputs.positions])
    notionals = quantities * np.array([position.price for position in inputs.positions])
    weights = np.abs(notionals) / np.abs(notionals).sum()
    volumes = [inputs.average_daily_volumes[position.symbol] for position in inputs.positions]
    shocks = []
    for position in inputs.positions:
        book = inputs.order_books[position.symbol]
        before = np.concatenate([[0.0], np.cumsum(book.bid_sizes)[:-1]])
        filled = np.clip(position.quantity - before, 0.0, book.bid_sizes)
        mid = 0.5 * (book.bid_prices[0] + book.ask_prices[0])
        shocks.append(1.0 - filled @ book.bid_prices / (position.quantity * mid))
    present = [black_scholes(option) for option in inputs.options]
    greeks = np.abs(np.sum([greeks for _, greeks in present], axis=0))
    losses = {}
    for name, price, volatility in (("crash", -0.3, 0.5), ("rally", 0.3, 0.25)):
        shocked = sum(black_scholes(option, price, volatility)[0] for option in inputs.options)
        change = (notionals * price).sum() + shocked - sum(value for value, _ in present)
        losses[f"stress_loss_{name}"] = -change / capital
    return {
        "max_position_weight": weights.max(),
        "herfindahl_index": (weights**2).sum(),
        "gross_leverage": np.abs(notionals).sum() / capital,
        "net_leverage": abs(notionals.sum()) / capital,
        "adv_participation": np.max(np.abs(quantities) / volumes),
        "depth_shock": max(0.0, *shocks),
        **dict(zip(("net_delta", "net_gamma", "net_vega", "net_theta"), greeks, strict=True)),
        **losses,
        "stress_loss": max(losses.values()),
    }


def numpy_metrics(inputs: RiskInputs, window: int) -> dict[str, float]:
    """The same metrics by plain NumPy."""
    return {
        **numpy_from_values(inputs, window),
        **numpy_from_trading(inputs, window),
        **numpy_from_holdings(inputs),
    }
