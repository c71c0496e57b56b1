"""Option sensitivities against QuantLib."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import QuantLib as ql  # noqa: N813 (its own documentation names it so)
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.risk import FloatArray, OptionPosition, RiskAgentV2, RiskPolicy, RiskReport
from tradewind.risk.calculators.black_scholes import price_of

PLAIN = RiskAgentV2(RiskPolicy())
GREEKS = ("delta", "gamma", "vega", "theta")


def quantlib_option(option: OptionPosition) -> Any:
    """The same option in QuantLib; its conventions are ours: vega per 1.00, theta per year."""
    kind = ql.Option.Call if option.kind == "call" else ql.Option.Put
    payoff = ql.PlainVanillaPayoff(kind, option.strike)
    growth = np.exp(-option.dividend_yield * option.years_to_expiry)
    discount = np.exp(-option.risk_free_rate * option.years_to_expiry)
    deviation = option.volatility * np.sqrt(option.years_to_expiry)
    forward = option.underlying_price * growth / discount
    return ql.BlackCalculator(payoff, forward, deviation, discount)


def quantlib_greeks(option: OptionPosition) -> dict[str, float]:
    calculator = quantlib_option(option)
    spot, years = option.underlying_price, option.years_to_expiry
    return {
        "delta": calculator.delta(spot),
        "gamma": calculator.gamma(spot),
        "vega": calculator.vega(years),
        "theta": calculator.theta(spot, years),
    }


options = st.builds(
    OptionPosition,
    symbol=st.just("BTC"),
    kind=st.sampled_from(["call", "put"]),
    quantity=st.sampled_from([-7.0, 1.0, 2.5]),
    multiplier=st.sampled_from([0.1, 1.0, 100.0]),
    underlying_price=st.floats(20.0, 200.0),
    strike=st.floats(50.0, 150.0),
    years_to_expiry=st.floats(0.01, 3.0),
    volatility=st.floats(0.1, 1.5),
    risk_free_rate=st.floats(-0.02, 0.1),
    dividend_yield=st.floats(0.0, 0.1),
)


@settings(max_examples=100)
@given(option=options)
def test_greeks_with_any_option_equal_quantlib(option: OptionPosition) -> None:
    found = PLAIN.calculate_only({"options": [option]}).metric_values
    units = option.quantity * option.multiplier
    for greek, expected in quantlib_greeks(option).items():
        assert found[f"net_{greek}"] == pytest.approx(abs(units * expected), rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("kind", ["call", "put"])
@pytest.mark.parametrize("moneyness", [0.8, 1.0, 1.25])
def test_greeks_with_real_prices_and_their_volatility_equal_quantlib(
    real_values: Callable[[int], FloatArray], kind: Any, moneyness: float
) -> None:
    closes = real_values(2_000)
    for end in range(300, closes.size, 100):
        window = closes[end - 300 : end]
        volatility = np.std(window[1:] / window[:-1] - 1.0, ddof=1) * np.sqrt(17_520)
        spot = float(window[-1])
        option = OptionPosition(
            "BTC", kind, -3.0, 0.1, spot, spot * moneyness, 30 / 365, float(volatility), 0.02
        )
        found = PLAIN.calculate_only({"options": [option]}).metric_values
        for greek, expected in quantlib_greeks(option).items():
            assert found[f"net_{greek}"] == pytest.approx(abs(-0.3 * expected), rel=1e-9)


@settings(max_examples=50)
@given(option=options)
def test_price_with_any_option_equals_quantlib(option: OptionPosition) -> None:
    found = price_of(
        1.0 if option.kind == "call" else -1.0,
        option.underlying_price,
        option.strike,
        option.years_to_expiry,
        option.volatility,
        option.risk_free_rate,
        option.dividend_yield,
    )
    assert found == pytest.approx(quantlib_option(option).value(), rel=1e-9, abs=1e-9)


CALL = OptionPosition("BTC", "call", 2.0, 1.0, 100.0, 110.0, 0.25, 0.7, 0.03, 0.01)


def test_greeks_with_two_underlyings_net_within_each_and_report_the_worst() -> None:
    eth = replace(CALL, symbol="ETH", quantity=-9.0)
    found = PLAIN.calculate_only(
        {"options": [CALL, eth, replace(CALL, quantity=-1.5)]}
    ).metric_values
    for greek, expected in quantlib_greeks(CALL).items():
        assert found[f"net_{greek}"] == pytest.approx(abs(-9.0 * expected), rel=1e-9)


def test_greeks_with_opposite_options_are_flat() -> None:
    found = PLAIN.calculate_only({"options": [CALL, replace(CALL, quantity=-2.0)]}).metric_values
    assert [found[f"net_{greek}"] for greek in GREEKS] == [0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"volatility": 0.0}, "options[0].volatility is not positive"),
        ({"years_to_expiry": -0.01}, "options[0].years_to_expiry is negative"),
        ({"strike": -1.0}, "options[0].strike is not positive"),
        ({"underlying_price": np.nan}, "options[0].underlying_price is not finite"),
        ({"risk_free_rate": np.inf}, "options[0].risk_free_rate is not finite"),
        ({"quantity": np.nan}, "options[0].quantity is not finite"),
        ({"multiplier": 0.0}, "options[0].multiplier is not positive"),
    ],
)
def test_greeks_with_an_unusable_option_name_its_field(
    report_of: Callable[..., RiskReport], change: dict[str, Any], reason: str
) -> None:
    report = report_of(options=[replace(CALL, **change)])
    assert {report.unavailable[f"net_{greek}"] for greek in GREEKS} == {reason}


def test_greeks_with_an_expired_option_of_quantity_zero_are_those_of_the_others() -> None:
    expired = replace(CALL, quantity=0.0, years_to_expiry=0.0)
    found = PLAIN.calculate_only({"options": [expired, CALL]}).metric_values
    assert found == PLAIN.calculate_only({"options": [CALL]}).metric_values


@pytest.mark.parametrize("kind", ["call", "put"])
@pytest.mark.parametrize("spot", [80.0, 125.0])
@pytest.mark.parametrize("volatility", [0.7, 0.0, np.nan])
def test_option_on_its_expiry_has_its_intrinsic_value_and_no_volatility(
    kind: Any, spot: float, volatility: float
) -> None:
    expiring = replace(
        CALL, kind=kind, underlying_price=spot, years_to_expiry=0.0, volatility=volatility
    )
    found = PLAIN.calculate_only({"options": [expiring], "capital_base": 1_000.0}).metric_values
    sign = 1.0 if kind == "call" else -1.0
    pays = sign * (spot - 110.0) > 0.0
    assert found["net_delta"] == (2.0 if pays else 0.0)
    assert (found["net_gamma"], found["net_vega"]) == (0.0, 0.0)
    expected = abs(2.0 * (0.01 * spot - 0.03 * 110.0)) if pays else 0.0
    assert found["net_theta"] == pytest.approx(expected, rel=1e-12)
    shocked = max(sign * (0.7 * spot - 110.0), 0.0) - max(sign * (spot - 110.0), 0.0)
    assert found["stress_loss_crash"] == pytest.approx(-2.0 * shocked / 1_000.0, rel=1e-12)


@pytest.mark.parametrize("kind", ["call", "put"])
@pytest.mark.parametrize("spot", [80.0, 125.0])
def test_option_shortly_before_its_expiry_is_close_to_one_on_it(kind: Any, spot: float) -> None:
    on_expiry = replace(CALL, kind=kind, underlying_price=spot, years_to_expiry=0.0)
    before = replace(on_expiry, years_to_expiry=1e-9)
    now, then = (
        PLAIN.calculate_only({"options": [option], "capital_base": 1.0}).metric_values
        for option in (before, on_expiry)
    )
    assert {name: now[name] for name in then} == pytest.approx(dict(then), rel=1e-6, abs=1e-6)


def test_greeks_of_an_option_at_the_money_on_its_expiry_are_unavailable() -> None:
    report = PLAIN.calculate_only({"options": [replace(CALL, strike=100.0, years_to_expiry=0.0)]})
    for greek in ("delta", "gamma", "theta"):
        assert "not finite" in report.unavailable[f"net_{greek}"]
    assert report.metric_values["net_vega"] == 0.0
