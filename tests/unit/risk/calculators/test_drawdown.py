"""Drawdown, its velocity and the ulcer index, against NumPy, empyrical-reloaded and skfolio."""

from collections.abc import Callable

import empyrical
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skfolio import measures

from tradewind.risk import FloatArray, RiskAgentV2, RiskPolicy, RiskReport

Report = Callable[..., RiskReport]
RealValues = Callable[[int], FloatArray]
PLAIN = RiskAgentV2(RiskPolicy())


def drawdowns_of(values: FloatArray) -> FloatArray:
    drawdowns: FloatArray = 1.0 - values / np.maximum.accumulate(values)
    return drawdowns


def longest_run(flags: list[bool]) -> int:
    longest = run = 0
    for flag in flags:
        run = run + 1 if flag else 0
        longest = max(longest, run)
    return longest


@settings(max_examples=50)
@given(
    first=st.floats(0.01, 1e6),
    more=st.lists(st.floats(0.01, 1e6) | st.floats(-1e6, 0.0), max_size=60),
)
def test_drawdown_with_any_values_after_a_positive_one_is_that_of_the_definition(
    first: float, more: list[float]
) -> None:
    values = [first, *more]
    metrics = PLAIN.calculate_only({"portfolio_values": values}).metric_values
    drawdowns = drawdowns_of(np.array(values))
    under_water = [drawdown > 0.0 for drawdown in drawdowns]
    assert metrics["current_drawdown"] == drawdowns[-1]
    assert metrics["max_drawdown"] == drawdowns.max()
    assert metrics["max_drawdown_duration_bars"] == longest_run(under_water)
    since_peak = under_water[::-1].index(False)
    assert metrics["drawdown_duration_bars"] == since_peak


def test_max_drawdown_with_real_bars_equals_empyrical_with_its_sign_turned(
    report_of: Report, real_values: RealValues
) -> None:
    # empyrical: negative fractions, wealth rebuilt from simple returns.
    values = real_values(1_000)
    returns = values[1:] / values[:-1] - 1.0
    metrics = report_of(portfolio_values=values).metric_values
    assert metrics["max_drawdown"] == pytest.approx(-empyrical.max_drawdown(returns), rel=1e-12)


def test_drawdown_with_an_exact_tie_with_the_peak_is_not_under_water(report_of: Report) -> None:
    # 0.1 + 0.2 style values: wealth rebuilt from returns would miss the tie.
    metrics = report_of(portfolio_values=[0.3, 0.1, 0.3, 0.7, 0.3, 0.7]).metric_values
    assert metrics["current_drawdown"] == 0.0
    assert metrics["drawdown_duration_bars"] == 0.0
    assert metrics["max_drawdown_duration_bars"] == 1.0


def test_drawdown_with_one_value_has_it_as_its_peak(report_of: Report) -> None:
    metrics = report_of(portfolio_values=[100.0]).metric_values
    assert (metrics["current_drawdown"], metrics["max_drawdown"]) == (0.0, 0.0)


@pytest.mark.parametrize(("start", "expected"), [(125.0, 0.2), (80.0, 0.0), (100.0, 0.0)])
def test_daily_drawdown_with_a_start_of_day_value_is_the_loss_since_then(
    report_of: Report, start: float, expected: float
) -> None:
    report = report_of(portfolio_values=[90.0, 100.0], start_of_day_value=start)
    assert report.metric_values["daily_drawdown"] == pytest.approx(expected)


def test_daily_drawdown_without_a_start_of_day_value_is_unavailable(report_of: Report) -> None:
    report = report_of(portfolio_values=[90.0, 100.0])
    assert report.unavailable["daily_drawdown"] == "start_of_day_value: not given"


def test_velocity_with_real_bars_is_the_difference_of_drawdowns_a_minute(
    agent_of: Callable[..., RiskAgentV2], real_values: RealValues
) -> None:
    values = real_values(200)
    seconds = np.cumsum(np.random.default_rng(3).uniform(60.0, 3_600.0, 200))
    agent = agent_of(drawdown_velocity={"window_bars": 7})
    metrics = agent.calculate_only(
        {"portfolio_values": values, "timestamps": seconds}
    ).metric_values

    drawdowns, minutes = drawdowns_of(values), seconds / 60.0
    velocities = (drawdowns[7:] - drawdowns[:-7]) / (minutes[7:] - minutes[:-7])
    acceleration = (velocities[-1] - velocities[-8]) / (minutes[-1] - minutes[-8])
    assert metrics["drawdown_velocity"] == pytest.approx(velocities[-1], rel=1e-9)
    assert metrics["drawdown_acceleration"] == pytest.approx(acceleration, rel=1e-9)


def test_velocity_with_too_few_bars_says_how_many_it_needs(report_of: Report) -> None:
    report = report_of(portfolio_values=[1.0] * 13, timestamps=np.arange(13.0))
    assert "drawdown_velocity" in report.metric_values
    assert report.unavailable["drawdown_acceleration"] == (
        "portfolio_values: 25 needed, 13 in the window"
    )


def test_velocity_without_timestamps_is_unavailable(report_of: Report) -> None:
    report = report_of(portfolio_values=[1.0] * 30)
    assert report.unavailable["drawdown_velocity"] == "timestamps: not given"


def test_ulcer_index_with_a_long_history_covers_its_window_under_peaks_of_all_of_it(
    agent_of: Callable[..., RiskAgentV2], real_values: RealValues
) -> None:
    values = real_values(500)
    agent = agent_of(ulcer_index={"window_bars": 100})
    metrics = agent.calculate_only({"portfolio_values": values}).metric_values
    expected = np.sqrt(np.mean(drawdowns_of(values)[-100:] ** 2))
    assert metrics["ulcer_index"] == pytest.approx(expected, rel=1e-12)


def test_ulcer_index_with_real_bars_equals_skfolio_ulcer_index(
    agent_of: Callable[..., RiskAgentV2], real_values: RealValues
) -> None:
    # The same convention: fractions below the running peak, of compounded wealth there.
    values = real_values(500)
    drawdowns = measures.get_drawdowns(values[1:] / values[:-1] - 1.0, compounded=True)
    agent = agent_of(ulcer_index={"window_bars": 100})
    metrics = agent.calculate_only({"portfolio_values": values}).metric_values
    expected = measures.ulcer_index(drawdowns[-100:])
    assert metrics["ulcer_index"] == pytest.approx(expected, rel=1e-9)
    assert metrics["max_drawdown"] == pytest.approx(measures.max_drawdown(drawdowns), rel=1e-9)


@pytest.mark.parametrize(
    ("values", "current", "worst", "longest"),
    [
        ([100.0, 0.0], 1.0, 1.0, 1.0),
        ([100.0, -20.0], 1.2, 1.2, 1.0),
        ([100.0, -20.0, 90.0], 0.1, 1.2, 2.0),
        ([100.0, -20.0, 90.0, 110.0, 55.0], 0.5, 1.2, 2.0),
        ([100.0, -0.0, -5e-324], 1.0, 1.0, 2.0),
        ([50.0, 100.0, -300.0, -100.0], 2.0, 4.0, 2.0),
    ],
)
def test_drawdown_with_a_value_at_or_below_zero_is_a_known_loss(
    report_of: Report, values: list[float], current: float, worst: float, longest: float
) -> None:
    times = 1_800.0 * np.arange(len(values))
    report = report_of(portfolio_values=values, timestamps=times, start_of_day_value=200.0)
    metrics = report.metric_values
    assert metrics["current_drawdown"] == pytest.approx(current, rel=1e-15)
    assert metrics["max_drawdown"] == pytest.approx(worst, rel=1e-15)
    assert metrics["max_drawdown_duration_bars"] == longest
    assert metrics["daily_drawdown"] == pytest.approx(1.0 - values[-1] / 200.0, rel=1e-15)
    expected = np.sqrt(np.mean(drawdowns_of(np.array(values)) ** 2))
    assert metrics["ulcer_index"] == pytest.approx(expected, rel=1e-12)


def test_velocity_with_a_loss_of_more_than_everything_is_known(
    agent_of: Callable[..., RiskAgentV2],
) -> None:
    agent = agent_of(drawdown_velocity={"window_bars": 1})
    inputs = {"portfolio_values": [100.0, 90.0, -20.0], "timestamps": [0.0, 60.0, 180.0]}
    metrics = agent.calculate_only(inputs).metric_values
    assert metrics["drawdown_velocity"] == pytest.approx(1.1 / 2.0)
    assert metrics["drawdown_acceleration"] == pytest.approx((1.1 / 2.0 - 0.1) / 2.0)


@pytest.mark.parametrize(
    ("values", "at"),
    [([0.0, 0.0], 1), ([-1.0, -2.0], 1), ([-0.0], 0), ([-5.0, 100.0, 90.0], 0), ([0.0, 1.0], 0)],
)
def test_drawdown_without_a_peak_above_zero_is_unavailable(
    report_of: Report, values: list[float], at: int
) -> None:
    report = report_of(portfolio_values=values, start_of_day_value=100.0)
    for metric in ("current_drawdown", "max_drawdown", "ulcer_index"):
        assert report.unavailable[metric] == (
            f"portfolio_values[{at}] is not positive, nor was one before it: a drawdown needs a "
            "peak above zero"
        )
    # The start of the day is a peak of its own.
    assert report.metric_values["daily_drawdown"] == pytest.approx(1.0 - values[-1] / 100.0)


def test_drawdown_too_deep_for_a_double_is_unavailable(report_of: Report) -> None:
    report = report_of(portfolio_values=[1e-300, -1e300])
    assert "not finite" in report.unavailable["max_drawdown"]


def test_returns_with_a_value_at_or_below_zero_lead_to_it_and_none_follows(
    agent_of: Callable[..., RiskAgentV2], real_values: RealValues
) -> None:
    agent = agent_of(volatility={"window_bars": 20, "min_returns": 2})
    values = real_values(60)

    def volatility(values: FloatArray) -> tuple[float | None, str]:
        report = agent.calculate_only({"portfolio_values": values})
        return report.metric_values.get("volatility"), report.unavailable.get("volatility", "")

    broke = np.append(values, -0.2 * values[-1])
    returns = (broke[1:] / broke[:-1] - 1.0)[-20:]
    assert returns[-1] == pytest.approx(-1.2)
    expected = np.std(returns, ddof=1) * np.sqrt(17_520.0)
    assert volatility(broke)[0] == pytest.approx(expected, rel=1e-12)
    report = agent.calculate_only({"portfolio_values": broke})
    assert report.metric_values["var_95"] > 0.0
    # 20 returns later the one that does not exist has left the window.
    for count in range(1, 21):
        found, reason = volatility(np.append(broke, values[:count]))
        assert (found, reason) == (None, "portfolio_values[60] is not positive")
    assert volatility(np.append(broke, values[:21]))[0] is not None
    # One more such value at the end hides none before it.
    assert volatility(np.append(broke, [values[0], -1.0]))[1] == (
        "portfolio_values[60] is not positive"
    )


def test_daily_drawdown_needs_the_last_value_alone(report_of: Report) -> None:
    report = report_of(portfolio_values=[np.nan, 90.0], start_of_day_value=100.0)
    assert report.metric_values["daily_drawdown"] == pytest.approx(0.1)
    assert "portfolio_values[0]" in report.unavailable["max_drawdown"]
    report = report_of(portfolio_values=[90.0, np.nan], start_of_day_value=100.0)
    assert report.unavailable["daily_drawdown"] == "portfolio_values[1] is not finite"
    report = report_of(start_of_day_value=100.0)
    assert report.unavailable["daily_drawdown"] == "portfolio_values: not given"
