"""Accounts to calculate the risk of."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from tradewind.market import load_sample
from tradewind.risk import (
    FloatArray,
    OptionPosition,
    OrderBook,
    Position,
    RiskAgentV2,
    RiskInputs,
    RiskPolicy,
    RiskReport,
)

SYMBOLS = ("BTC", "ETH", "LTC", "XRP", "EOS")


@cache
def closes(symbol: str) -> FloatArray:
    return np.array(load_sample(symbol).close)


@pytest.fixture
def real_values() -> Callable[[int], FloatArray]:
    """The closes of so many real bars of BTC, from the crash of December 2017."""

    def values(count: int) -> FloatArray:
        return closes("BTC")[3_600 : 3_600 + count].copy()

    return values


@pytest.fixture
def agent_of() -> Callable[..., RiskAgentV2]:
    """An agent whose calculators have these settings: `agent_of(var={"method": "parametric"})`."""

    def make(limits: dict[str, Any] | None = None, **calculators: Any) -> RiskAgentV2:
        # Half hours of a market that never closes, unless a test says otherwise.
        volatility = {"periods_per_year": 17_520, **calculators.pop("volatility", {})}
        values = {
            "calculators": {"volatility": volatility, **calculators},
            "limits": limits or {},
        }
        return RiskAgentV2(RiskPolicy.parse(values))

    return make


@pytest.fixture
def report_of(agent_of: Callable[..., RiskAgentV2]) -> Callable[..., RiskReport]:
    """The report of the default calculators for inputs given by field."""

    def report(**fields: Any) -> RiskReport:
        return agent_of().calculate_only(fields)

    return report


def book_around(mid: float, size: float = 50.0, levels: int = 10) -> OrderBook:
    steps = mid * np.linspace(1e-4, levels * 1e-4, levels)
    sizes = np.full(levels, size)
    return OrderBook(mid - steps, sizes, mid + steps, sizes)


@pytest.fixture
def full_inputs(real_values: Callable[[int], FloatArray]) -> RiskInputs:
    """An account about which everything is known: every metric is available."""
    rng = np.random.default_rng(7)
    values = real_values(1_200)
    timestamps = 1_512_000_000.0 + np.arange(values.size, dtype=np.float64) * 1_800.0
    prices = {symbol: float(closes(symbol)[4_800]) for symbol in SYMBOLS}
    return RiskInputs(
        portfolio_values=values,
        timestamps=timestamps,
        start_of_day_value=float(values[-20]),
        trade_timestamps=timestamps[-100:] - 5.0,
        trade_notionals=rng.normal(0.0, 2_000.0, 100),
        capital_base=float(values[0]),
        positions=tuple(
            Position(symbol, (-1) ** index * 3.0, prices[symbol])
            for index, symbol in enumerate(SYMBOLS)
        ),
        price_changes=rng.normal(0.0, 1.0, 300),
        order_flows=rng.normal(0.0, 10.0, 300),
        order_books={symbol: book_around(price) for symbol, price in prices.items()},
        feed_timestamps={symbol: float(timestamps[-1]) - 0.2 for symbol in SYMBOLS},
        now=float(timestamps[-1]) + 1.0,
        order_latencies_us=rng.lognormal(5.0, 0.5, 5_000),
        average_daily_volumes=dict.fromkeys(SYMBOLS, 1_000.0),
        options=(
            OptionPosition("BTC", "call", 2.0, 1.0, prices["BTC"], 11_000.0, 0.1, 0.9, 0.01),
            OptionPosition("BTC", "put", -1.0, 1.0, prices["BTC"], 9_000.0, 0.1, 1.0, 0.01),
            OptionPosition("ETH", "put", 5.0, 1.0, prices["ETH"], 500.0, 0.2, 1.1, 0.0, 0.02),
        ),
        periods_per_year=17_520.0,
    )
