"""European options on an asset that pays a continuous dividend yield.

Sources: F. Black, M. Scholes, J. Political Economy 81 (1973); R. Merton, Bell J. Economics 4
(1973), for the dividend yield. Rates are continuously compounded. On its expiry an option has its
intrinsic value and the limits of its sensitivities, which do not exist at the money but for vega.
"""

from math import erfc, exp, log, nan, pi, sqrt
from typing import Final, NamedTuple

from tradewind.kernels.compiled import compiled

__all__ = ["Greeks", "greeks_of", "price_of"]

SQRT_HALF: Final = sqrt(0.5)
SQRT_2_PI: Final = sqrt(2.0 * pi)


class Greeks(NamedTuple):
    """Sensitivities of one option: delta, gamma, vega per 1.00 of volatility, theta per year."""

    delta: float
    gamma: float
    vega: float
    theta: float


@compiled
def normal_cdf(x: float) -> float:
    """Standard normal distribution function."""
    return 0.5 * erfc(-x * SQRT_HALF)


@compiled
def price_of(
    sign: float,
    spot: float,
    strike: float,
    years: float,
    volatility: float,
    rate: float,
    dividend_yield: float,
) -> float:
    """Price of a call (sign 1) or put (sign −1); the spot may be 0."""
    if years == 0.0:
        return max(sign * (spot - strike), 0.0)
    discounted_strike = strike * exp(-rate * years)
    if spot == 0.0:
        return discounted_strike if sign < 0.0 else 0.0
    deviation = volatility * sqrt(years)
    d1 = (log(spot / strike) + (rate - dividend_yield) * years) / deviation + 0.5 * deviation
    forward = spot * exp(-dividend_yield * years)
    return sign * (
        forward * normal_cdf(sign * d1) - discounted_strike * normal_cdf(sign * (d1 - deviation))
    )


@compiled
def greeks_on_expiry(
    sign: float, spot: float, strike: float, rate: float, dividend_yield: float
) -> Greeks:
    """Limits of the sensitivities as the time to the expiry goes to 0."""
    if spot == strike:
        return Greeks(nan, nan, 0.0, nan)
    held = sign if sign * (spot - strike) > 0.0 else 0.0
    return Greeks(held, 0.0, 0.0, held * (dividend_yield * spot - rate * strike))


@compiled
def greeks_of(
    sign: float,
    spot: float,
    strike: float,
    years: float,
    volatility: float,
    rate: float,
    dividend_yield: float,
) -> Greeks:
    """Sensitivities of a call (sign 1) or put (sign −1)."""
    if years == 0.0:
        return greeks_on_expiry(sign, spot, strike, rate, dividend_yield)
    root = sqrt(years)
    deviation = volatility * root
    d1 = (log(spot / strike) + (rate - dividend_yield) * years) / deviation + 0.5 * deviation
    carry = exp(-dividend_yield * years)
    forward = spot * carry
    density = exp(-0.5 * d1 * d1) / SQRT_2_PI
    held = sign * normal_cdf(sign * d1)
    owed = sign * strike * exp(-rate * years) * normal_cdf(sign * (d1 - deviation))
    decay = forward * density * volatility / (2.0 * root)
    return Greeks(
        carry * held,
        carry * density / (spot * deviation),
        forward * density * root,
        dividend_yield * forward * held - rate * owed - decay,
    )
