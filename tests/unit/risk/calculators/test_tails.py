"""Value at risk and expected shortfall against NumPy, SciPy, empyrical, skfolio, the definition."""

from collections.abc import Callable

import empyrical
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from skfolio.measures import cvar, value_at_risk

from tradewind.risk import FloatArray, RiskAgentV2, RiskPolicy, RiskReport
from tradewind.risk.calculators.order_statistics import find_largest
from tradewind.risk.calculators.var import is_in_cornish_fisher_domain

Agent = Callable[..., RiskAgentV2]
LEVELS = {"95": 0.95, "99": 0.99, "999": 0.999}
PLAIN = RiskAgentV2(RiskPolicy())


@pytest.fixture
def returns(real_values: Callable[[int], FloatArray]) -> FloatArray:
    values = real_values(1_101)
    changes: FloatArray = values[1:] / values[:-1] - 1.0
    return changes


def metrics_of(agent: RiskAgentV2, returns: FloatArray) -> dict[str, float]:
    return dict(agent.calculate_only({"returns": returns}).metric_values)


@settings(max_examples=50)
@given(
    size=st.integers(20, 1_400),
    seed=st.integers(0, 2**32 - 1),
    decimals=st.sampled_from([2, 3, 12]),
)
def test_historical_var_with_any_returns_is_the_linear_quantile_of_the_losses(
    size: int, seed: int, decimals: int
) -> None:
    # Few decimals make many ties.
    returns = np.random.default_rng(seed).standard_t(3, size).round(decimals) * 0.01
    report = PLAIN.calculate_only({"returns": returns})
    window = returns[-1_024:]
    for name, level in LEVELS.items():
        if window.size >= round(1.0 / (1.0 - level)):
            expected = np.quantile(-window, level)
            found = report.metric_values[f"var_{name}"]
            assert found == pytest.approx(expected, rel=1e-12, abs=1e-15)
        else:
            assert f"var_{name}" in report.unavailable


@pytest.mark.parametrize("size", [100, 137, 256, 1_000, 1_024])
@pytest.mark.parametrize("level", [0.95, 0.99])
def test_expected_shortfall_with_real_returns_equals_skfolio_cvar(
    returns: FloatArray, size: int, level: float
) -> None:
    # The same convention: Rockafellar–Uryasev, the boundary loss with its fraction of the tail.
    found = metrics_of(PLAIN, returns[:size])[f"expected_shortfall_{level * 100:.0f}"]
    assert found == pytest.approx(cvar(returns[:size], beta=level), rel=1e-9)


@pytest.mark.parametrize("size", [20, 21, 39, 100, 999])
def test_expected_shortfall_with_a_fractional_tail_minimises_the_ru_objective(
    returns: FloatArray, size: int
) -> None:
    # Rockafellar and Uryasev's definition itself: min over c of c + E[max(loss − c, 0)] / (1 − α),
    # which is piecewise linear, so its minimum lies at a loss.
    losses = -returns[:size]
    objective = losses + np.maximum(losses[:, None] - losses, 0.0).mean(axis=0) / 0.05
    found = metrics_of(PLAIN, returns[:size])["expected_shortfall_95"]
    assert found == pytest.approx(objective.min(), rel=1e-9)


@pytest.mark.parametrize("size", [100, 137, 1_024])
def test_historical_var_with_real_returns_equals_empyrical_value_at_risk_with_its_sign_turned(
    returns: FloatArray, size: int
) -> None:
    # The same convention, the linear quantile, of returns instead of losses.
    found = metrics_of(PLAIN, returns[:size])
    for name, cutoff in (("var_95", 0.05), ("var_99", 0.01)):
        expected = -empyrical.value_at_risk(returns[:size], cutoff)
        assert found[name] == pytest.approx(expected, rel=1e-12)


def test_historical_var_with_real_returns_lies_beside_skfolio_value_at_risk(
    returns: FloatArray,
) -> None:
    # skfolio takes an order statistic, this one interpolates to the next: between the two losses
    # around the quantile lie both.
    losses = np.sort(-returns[:500])
    found = metrics_of(PLAIN, returns[:500])["var_95"]
    below = int(np.searchsorted(losses, found)) - 1
    assert losses[below] <= found <= losses[below + 1]
    theirs = value_at_risk(returns[:500], beta=0.95)
    assert losses[below] - 1e-15 <= theirs <= losses[below + 1] + 1e-15


def test_parametric_var_with_real_returns_is_the_quantile_of_the_fitted_normal(
    agent_of: Agent, returns: FloatArray
) -> None:
    found = metrics_of(agent_of(var={"method": "parametric"}), returns)
    window = returns[-1_024:]
    for name, level in LEVELS.items():
        expected = -stats.norm.ppf(1.0 - level, window.mean(), window.std(ddof=1))
        assert found[f"var_{name}"] == pytest.approx(expected, rel=1e-9)


def test_cornish_fisher_var_inside_its_domain_is_the_expansion_of_scipy_moments(
    agent_of: Agent,
) -> None:
    # A skewed sample whose moments lie inside the domain.
    sample = stats.johnsonsu(0.2, 2.5).ppf((np.arange(1_000) + 0.5) / 1_000)
    returns = -0.001 * sample
    skewness, kurtosis = stats.skew(returns), stats.kurtosis(returns)
    assert is_in_cornish_fisher_domain(skewness, kurtosis)
    report = agent_of(var={"method": "cornish_fisher"}).calculate_only({"returns": returns})
    for name, level in LEVELS.items():
        z = stats.norm.ppf(1.0 - level)
        w = (
            z
            + (z**2 - 1.0) * skewness / 6.0
            + (z**3 - 3.0 * z) * kurtosis / 24.0
            - (2.0 * z**3 - 5.0 * z) * skewness**2 / 36.0
        )
        expected = -(returns.mean() + returns.std(ddof=1) * w)
        assert report.metric_values[f"var_{name}"] == pytest.approx(expected, rel=1e-9)
    assert report.notes == {}


def test_cornish_fisher_var_outside_its_domain_is_historical_and_says_so(
    agent_of: Agent, returns: FloatArray
) -> None:
    crash = returns[:400].copy()
    crash[200] = -0.6
    report = agent_of(var={"method": "cornish_fisher"}).calculate_only({"returns": crash})
    assert report.metric_values["var_95"] == metrics_of(PLAIN, crash)["var_95"]
    assert set(report.notes) == {"var_95", "var_99"}
    assert "outside the domain" in report.notes["var_95"]


@settings(max_examples=100)
@given(skewness=st.floats(-3.0, 3.0), kurtosis=st.floats(-2.0, 12.0))
def test_cornish_fisher_domain_with_any_moments_is_where_the_expansion_rises(
    skewness: float, kurtosis: float
) -> None:
    # The slope of w is a parabola, so a fine grid over ±100 deviations finds where it falls.
    z = np.linspace(-100.0, 100.0, 20_001)
    slope = (
        1.0
        + z * skewness / 3.0
        + (z**2 - 1.0) * kurtosis / 8.0
        - (6.0 * z**2 - 5.0) * skewness**2 / 36.0
    )
    if is_in_cornish_fisher_domain(skewness, kurtosis):
        assert slope.min() >= -1e-9
    elif slope.min() > 1e-4:
        # Only a parabola that opens downwards falls outside the grid.
        assert kurtosis / 8.0 - skewness**2 / 6.0 < 1e-3


def test_var_999_with_100_returns_is_unavailable(
    returns: FloatArray, report_of: Callable[..., RiskReport]
) -> None:
    report = report_of(returns=returns[:100])
    assert report.unavailable["var_999"] == "returns: 1000 needed, 100 in the window"
    assert "var_99" in report.metric_values


def test_tail_ratio_with_real_returns_is_expected_shortfall_over_value_at_risk(
    returns: FloatArray,
) -> None:
    found = metrics_of(PLAIN, returns)
    assert found["tail_ratio"] == found["expected_shortfall_95"] / found["var_95"]


def test_tail_ratio_with_gains_only_is_unavailable(report_of: Callable[..., RiskReport]) -> None:
    report = report_of(returns=np.linspace(0.01, 0.02, 50))
    assert report.metric_values["var_95"] < 0.0
    assert "not positive" in report.unavailable["tail_ratio"]


def test_signed_zeros_with_any_order_give_the_same_loss() -> None:
    returns = np.array([0.0, -0.0] * 20)
    metrics = PLAIN.calculate_only({"returns": returns}).metric_values
    assert str(metrics["var_95"]) == str(metrics["expected_shortfall_95"]) == "0.0"


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200),
    share=st.floats(0.01, 1.0),
    guess=st.floats(),
)
def test_find_largest_with_any_values_and_guess_fills_in_the_end_of_the_sorted_ones(
    values: list[float], share: float, guess: float
) -> None:
    size = max(1, int(len(values) * share))
    found = np.empty(size)
    find_largest(found, np.array(values), guess)
    assert found.tolist() == sorted(values, reverse=True)[:size]
