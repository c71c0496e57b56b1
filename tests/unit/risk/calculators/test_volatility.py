"""Volatility against NumPy, SciPy and empyrical-reloaded."""

from collections.abc import Callable

import empyrical
import numpy as np
import pandas as pd
import pytest

from tradewind.risk import FloatArray, RiskAgentV2, RiskReport

Agent = Callable[..., RiskAgentV2]
RealValues = Callable[[int], FloatArray]
PERIODS = 17_520


@pytest.fixture
def returns(real_values: RealValues) -> FloatArray:
    values = real_values(301)
    changes: FloatArray = values[1:] / values[:-1] - 1.0
    return changes


def volatility_of(agent: RiskAgentV2, returns: FloatArray) -> dict[str, float]:
    return dict(agent.calculate_only({"returns": returns}).metric_values)


def test_volatility_with_real_returns_equals_empyrical_annual_volatility(
    agent_of: Agent, returns: FloatArray
) -> None:
    # The same convention: sample deviation (n − 1) times the root of the periods in a year.
    found = volatility_of(agent_of(volatility={"window_bars": 300}), returns)
    expected = empyrical.annual_volatility(returns, annualization=PERIODS)
    assert found["volatility"] == pytest.approx(expected, rel=1e-12)


def test_downside_deviation_with_real_returns_equals_empyrical_downside_risk(
    agent_of: Agent, returns: FloatArray
) -> None:
    # The same convention: the squares of the shortfalls are averaged over all returns.
    settings = {"window_bars": 300, "target_return": 0.0005}
    found = volatility_of(agent_of(volatility=settings), returns)
    expected = empyrical.downside_risk(returns, required_return=0.0005, annualization=PERIODS)
    assert found["downside_deviation"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("window", [20, 21, 22, 23, 300])
def test_ewma_volatility_with_real_returns_equals_the_riskmetrics_recursion_of_pandas(
    agent_of: Agent, returns: FloatArray, window: int
) -> None:
    # adjust=False is the recursion, begun with the first squared return of the window.
    found = volatility_of(agent_of(volatility={"window_bars": window}), returns)
    squares = pd.Series(returns[-window:] ** 2)
    expected = np.sqrt(squares.ewm(alpha=0.06, adjust=False).mean().iloc[-1] * PERIODS)
    assert found["ewma_volatility"] == pytest.approx(expected, rel=1e-12)


def test_volatility_with_flat_values_is_zero(report_of: Callable[..., RiskReport]) -> None:
    report = report_of(portfolio_values=np.full(30, 7.0))
    assert report.metric_values["volatility"] == 0.0
    assert report.metric_values["ewma_volatility"] == 0.0


def test_volatility_with_too_few_returns_says_how_many_it_needs(
    report_of: Callable[..., RiskReport],
) -> None:
    report = report_of(portfolio_values=np.full(20, 7.0))
    assert report.unavailable["volatility"] == "returns: 20 needed, 19 in the window"


def test_returns_given_beside_values_take_the_place_of_derived_ones(
    report_of: Callable[..., RiskReport], returns: FloatArray
) -> None:
    report = report_of(portfolio_values=np.full(30, 7.0), returns=returns[:30])
    assert report.metric_values["volatility"] > 0.0
