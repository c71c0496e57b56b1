"""Bars in a year: whose they are, and what becomes of annualised metrics without them."""

from collections.abc import Callable

import numpy as np
import pytest

from tradewind.errors import RiskPolicyError
from tradewind.risk import RiskAgentV2, RiskPolicy
from tradewind.risk.periods import check_periods, window_doubts

Agent = Callable[..., RiskAgentV2]
ANNUALISED = ("volatility", "ewma_volatility", "downside_deviation")
DAY_S = 86_400.0


def policy_with(periods: float | str) -> RiskPolicy:
    return RiskPolicy.parse({"calculators": {"volatility": {"periods_per_year": periods}}})


@pytest.fixture
def returns() -> np.ndarray:
    return np.random.default_rng(3).normal(0.0005, 0.01, 250)


@pytest.mark.parametrize("periods", [252.0, 365.0, 3_276.0, 98_280.0])
def test_volatility_with_auto_is_that_of_the_periods_in_the_inputs(
    returns: np.ndarray, periods: float
) -> None:
    found = RiskAgentV2(policy_with("auto")).calculate_only(
        {"returns": returns, "periods_per_year": periods}
    )
    expected = returns.std(ddof=1) * periods**0.5
    assert found.metric_values["volatility"] == pytest.approx(expected, rel=1e-12)


def test_volatility_with_auto_and_no_periods_is_unavailable_and_names_the_field(
    returns: np.ndarray,
) -> None:
    found = RiskAgentV2(policy_with("auto")).calculate_only({"returns": returns})
    for metric in ANNUALISED:
        assert found.unavailable[metric].startswith("periods_per_year: not given")
    assert "var_95" in found.metric_values


def test_volatility_with_stated_periods_takes_those_and_needs_none_in_the_inputs(
    returns: np.ndarray,
) -> None:
    agent = RiskAgentV2(policy_with(252))
    alone = agent.calculate_only({"returns": returns}).metric_values
    # Years of 250 to 261 days are one.
    beside = agent.calculate_only({"returns": returns, "periods_per_year": 260.0}).metric_values
    assert alone == beside
    assert alone["volatility"] == pytest.approx(returns.std(ddof=1) * 252**0.5, rel=1e-12)


def test_volatility_with_two_different_numbers_of_periods_is_unavailable(
    returns: np.ndarray,
) -> None:
    found = RiskAgentV2(policy_with(17_520)).calculate_only(
        {"returns": returns, "periods_per_year": 365.0}
    )
    for metric in ANNUALISED:
        assert "state different numbers of bars in a year" in found.unavailable[metric]


@pytest.mark.parametrize("periods", [0.0, -1.0, np.nan, np.inf])
def test_volatility_with_impossible_periods_is_unavailable(
    returns: np.ndarray, periods: float
) -> None:
    found = RiskAgentV2(policy_with("auto")).calculate_only(
        {"returns": returns, "periods_per_year": periods}
    )
    assert found.unavailable["volatility"].startswith("periods_per_year is not")


@pytest.mark.parametrize(
    ("spacing_s", "periods", "known"),
    [
        (1_800.0, 17_520, True),
        (1_800.0, 3_276, True),  # within a session bars come faster than over the year
        (DAY_S, 365, True),
        (DAY_S, 252, True),
        (DAY_S, 17_520, False),
        (1_800.0, 252, False),
        (60.0, 98_280, True),
        (60.0, 365, False),
    ],
)
def test_volatility_with_times_that_contradict_the_stated_periods_is_unavailable(
    spacing_s: float, periods: float, known: bool
) -> None:
    values = 100.0 * np.cumprod(1.0 + np.random.default_rng(1).normal(0.0, 0.01, 300))
    found = RiskAgentV2(policy_with(periods)).calculate_only(
        {"portfolio_values": values, "timestamps": 1.5e9 + spacing_s * np.arange(300.0)}
    )
    assert ("volatility" in found.metric_values) is known
    if not known:
        assert "contradict the bars in a year" in found.unavailable["volatility"]


def test_tracker_with_periods_that_come_later_calculates_volatility_then(
    returns: np.ndarray,
) -> None:
    tracker = RiskAgentV2(policy_with("auto")).tracker()
    assert "volatility" in tracker.update({"returns": returns}).unavailable
    found = tracker.update({"periods_per_year": 252.0}).metric_values["volatility"]
    assert found == pytest.approx(returns.std(ddof=1) * 252**0.5, rel=1e-12)


def test_digest_of_a_policy_that_states_its_periods_is_that_of_earlier_releases() -> None:
    # Of a policy of nothing but defaults, which stated 17,520 then.
    assert policy_with(17_520).identity.former == BEFORE
    assert policy_with(17_520.0).identity.former == BEFORE
    assert policy_with("auto").identity.former == RiskPolicy().identity.former != BEFORE


BEFORE = "8846b077ddc4e7504f0ea120fc20904fd3d57b5815f45f460380e8272e15202b"


@pytest.mark.parametrize("periods", [0, -5, "daily", None])
def test_policy_with_impossible_periods_is_refused(periods: object) -> None:
    with pytest.raises(RiskPolicyError, match="periods_per_year"):
        RiskPolicy.parse({"calculators": {"volatility": {"periods_per_year": periods}}})


def test_check_periods_with_a_contradiction_says_both_numbers_and_the_cure() -> None:
    with pytest.raises(RiskPolicyError) as caught:
        check_periods(policy_with(17_520), 252.0, "XNYS")
    assert str(caught.value) == (
        "the risk policy states 17520 bars a year (calculators.volatility.periods_per_year), these "
        "bars are 252 a year of the market XNYS: set it to auto or to 252, or name the market the "
        "bars are of"
    )


@pytest.mark.parametrize(("stated", "found"), [("auto", 98_280.0), (252, 260.0), (365, 365.0)])
def test_check_periods_without_a_contradiction_gives_those_of_the_bars(
    stated: float | str, found: float
) -> None:
    assert check_periods(policy_with(stated), found, "any") == found


def test_window_doubts_with_bars_that_outlast_a_window_name_each_limited_metric() -> None:
    limits = {
        name: {"limit": 1.0}
        for name in ("hourly_turnover", "daily_turnover", "daily_drawdown", "drawdown_velocity")
    }
    policy = RiskPolicy.parse({"limits": limits})
    assert window_doubts(policy, 1_800.0) == ()
    assert [doubt.split()[0] for doubt in window_doubts(policy, 3_600.0)] == ["hourly_turnover"]
    assert [doubt.split()[0].rstrip(":") for doubt in window_doubts(policy, DAY_S)] == [*limits]
    assert window_doubts(RiskPolicy(), DAY_S) == ()


def test_window_doubts_with_a_metric_that_only_a_rule_watches_name_it() -> None:
    rule = {"name": "fast", "when": {"metric": "hourly_turnover", "over": 3.0}, "action": "WARN"}
    policy = RiskPolicy.parse({"rules": [rule]})
    assert len(window_doubts(policy, DAY_S)) == 1
