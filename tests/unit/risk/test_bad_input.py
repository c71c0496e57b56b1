"""Bad input gives a named violation or a reason: never a 0, a crash or a wrong number."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tradewind.errors import FieldViolation, RiskInputError
from tradewind.risk import (
    OptionPosition,
    OrderBook,
    Position,
    RiskAgentV2,
    RiskInputs,
    RiskPolicy,
    RiskReport,
)

Report = Callable[..., RiskReport]
AGENT = RiskAgentV2(
    RiskPolicy.parse(
        {
            "calculators": {
                "volatility": {"min_returns": 2, "window_bars": 8},
                "drawdown_velocity": {"window_bars": 1},
                "kyle_lambda": {"min_intervals": 3, "window_intervals": 8},
                "var": {"window_bars": 20, "method": "cornish_fisher"},
            },
            "limits": {"max_drawdown": {"limit": 0.1}, "gross_leverage": {"limit": 1.0}},
        }
    )
)


@pytest.mark.parametrize(
    ("bad", "reason"), [(np.nan, "finite"), (np.inf, "finite"), (-np.inf, "finite")]
)
@pytest.mark.parametrize("index", [0, 3, 29])
def test_values_with_a_bad_one_make_their_metrics_unavailable(
    report_of: Report, bad: float, reason: str, index: int
) -> None:
    values = np.linspace(100.0, 110.0, 30)
    values[index] = bad
    report = report_of(portfolio_values=values)
    for metric in ("max_drawdown", "ulcer_index", "volatility", "var_95", "tail_ratio"):
        assert report.unavailable[metric].startswith(f"portfolio_values[{index}] is not {reason}")
    assert report.risk_score is None


def test_values_with_a_bad_one_before_the_window_leave_the_window_usable(
    agent_of: Callable[..., RiskAgentV2],
) -> None:
    agent = agent_of(volatility={"window_bars": 20})
    values = np.linspace(100.0, 110.0, 30)
    values[8] = np.nan
    report = agent.calculate_only({"portfolio_values": values})
    assert report.metric_values["volatility"] > 0.0
    assert "portfolio_values[8]" in report.unavailable["max_drawdown"]
    values[8], values[9] = 103.0, np.nan
    report = agent.calculate_only({"portfolio_values": values})
    assert "portfolio_values[9]" in report.unavailable["volatility"]


def test_returns_with_a_bad_one_name_it(report_of: Report) -> None:
    returns = np.full(30, 0.01)
    returns[4] = np.nan
    report = report_of(returns=returns, portfolio_values=[1.0, 2.0])
    assert report.unavailable["var_95"] == "returns[4] is not finite"
    assert report.metric_values["max_drawdown"] == 0.0


@pytest.mark.parametrize("values", [np.array([1e-308, 1e308] * 20), np.array([5e-324, 1e308] * 20)])
def test_values_too_far_apart_for_a_double_are_unavailable(report_of: Report, values: Any) -> None:
    report = report_of(portfolio_values=values)
    assert "not finite" in report.unavailable["volatility"]
    assert all(np.isfinite(value) for value in report.metric_values.values())


@pytest.mark.parametrize(
    ("timestamps", "field"),
    [
        ([1.0, 3.0, 2.0], "timestamps[2]"),
        ([1.0, 1.0, 2.0], "timestamps[1]"),
        ([1.0, np.nan, 1.0], "timestamps[2]"),
    ],
)
def test_timestamps_that_do_not_increase_are_refused(
    report_of: Report, timestamps: list[float], field: str
) -> None:
    with pytest.raises(RiskInputError) as caught:
        report_of(portfolio_values=[1.0, 2.0, 3.0], timestamps=timestamps)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_timestamps_with_a_bad_one_make_only_their_metrics_unavailable(report_of: Report) -> None:
    timestamps = 1_800.0 * np.arange(30.0)
    timestamps[20] = np.inf
    report = report_of(portfolio_values=np.linspace(1.0, 2.0, 30), timestamps=timestamps)
    assert report.unavailable["drawdown_velocity"] == "timestamps[20] is not finite"
    assert "volatility" in report.metric_values


@pytest.mark.parametrize(
    ("timestamps", "reason"),
    [
        ([2.0, 1.0, 3.0], "trades[1].timestamp is earlier than that of the trade before it"),
        ([3.0, 2.0, 1.0], "trades[1].timestamp is earlier than that of the trade before it"),
        ([np.nan, 1.0, 2.0], "trades[0].timestamp is not finite"),
        ([1.0, 2.0, np.inf], "trades[2].timestamp is not finite"),
        ([1.0, -np.inf, 0.0], "trades[1].timestamp is not finite"),
    ],
)
def test_trades_without_order_in_time_make_turnover_alone_unavailable(
    report_of: Report, timestamps: list[float], reason: str
) -> None:
    report = report_of(
        portfolio_values=[100.0, 40.0],
        trade_timestamps=timestamps,
        trade_notionals=[1.0, 1.0, 1.0],
        capital_base=1.0,
    )
    for metric in ("hourly_turnover", "daily_turnover"):
        assert report.unavailable[metric] == reason
    assert report.metric_values["max_drawdown"] == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        (RiskInputs(capital_base="much"), "capital_base"),  # type: ignore[arg-type]
        (RiskInputs(positions=(Position("A", None, 1.0),)), "positions[0].quantity"),  # type: ignore[arg-type]
        (RiskInputs(feed_timestamps={"a": "now"}), "feed_timestamps['a']"),  # type: ignore[dict-item]
    ],
)
def test_number_that_is_none_is_refused(inputs: RiskInputs, field: str) -> None:
    with pytest.raises(RiskInputError) as caught:
        AGENT.calculate_only(inputs)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_ten_million_values_are_calculated(report_of: Report) -> None:
    values = np.full(10_000_000, 100.0)
    values[5_000_000] = 80.0
    report = report_of(portfolio_values=values)
    assert report.metric_values["max_drawdown"] == pytest.approx(0.2)
    assert report.metric_values["volatility"] == 0.0


odd = st.sampled_from(
    [0.0, -0.0, 1.0, -1.0, 1e-320, 1e300, -1e300, np.nan, np.inf, -np.inf, 100.0, 101.5]
)
series = st.lists(odd, max_size=40)
times = st.lists(st.floats(0, 1e6), max_size=40, unique=True).map(sorted)
symbols = st.sampled_from(["A", "B", "C"])
levels = st.lists(st.tuples(odd, odd), max_size=3)


@st.composite
def mess(draw: st.DrawFn) -> dict[str, Any]:
    """Fields of RiskInputs of which little makes sense."""
    fields: dict[str, Any] = {
        "portfolio_values": draw(series),
        "returns": draw(st.one_of(st.just([]), series)),
        "order_latencies_us": draw(series),
        "capital_base": draw(st.one_of(st.none(), odd)),
        "start_of_day_value": draw(st.one_of(st.none(), odd)),
        "now": draw(st.one_of(st.none(), odd, st.floats(0, 1e7))),
        "feed_timestamps": draw(st.dictionaries(symbols, odd, max_size=3)),
        "average_daily_volumes": draw(st.dictionaries(symbols, odd, max_size=3)),
        "positions": [
            Position(symbol, draw(odd), draw(odd)) for symbol in draw(st.lists(symbols, max_size=3))
        ],
        "options": [
            OptionPosition(
                "A", draw(st.sampled_from(["call", "put"])), *(draw(odd) for _ in "12345678")
            )
            for _ in range(draw(st.integers(0, 2)))
        ],
    }
    if draw(st.booleans()):
        length = len(fields["portfolio_values"])
        fields["timestamps"] = sorted(draw(st.floats(0, 1e6)) for _ in range(length))
    fields["trade_timestamps"] = draw(times)
    fields["trade_notionals"] = [draw(odd) for _ in fields["trade_timestamps"]]
    fields["price_changes"] = draw(series)
    fields["order_flows"] = [draw(odd) for _ in fields["price_changes"]]
    fields["order_books"] = {}
    for symbol in draw(st.lists(symbols, max_size=3, unique=True)):
        bids, asks = draw(levels), draw(levels)
        fields["order_books"][symbol] = OrderBook(
            *(np.array([row[side] for row in rows]) for rows in (bids, asks) for side in (0, 1))
        )
    return fields


def answer_of(
    calculate: Callable[[RiskInputs], RiskReport], inputs: RiskInputs
) -> tuple[RiskReport | None, tuple[FieldViolation, ...]]:
    try:
        return calculate(inputs), ()
    except RiskInputError as error:
        return None, error.violations


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(fields=mess())
def test_any_mess_gives_named_violations_or_reasons_the_same_way_everywhere(
    fields: dict[str, Any],
) -> None:
    inputs = RiskInputs.from_mapping(fields)
    report, violations = answer_of(AGENT.calculate_only, inputs)
    assert (report, violations) == answer_of(AGENT.tracker().update, inputs)
    if report is None:
        assert violations
        assert all(violation.field and violation.description for violation in violations)
        return
    names = set(AGENT.policy.calculators.metrics())
    assert set(report.metric_values) | set(report.unavailable) == names
    assert not set(report.metric_values) & set(report.unavailable)
    assert all(np.isfinite(value) for value in report.metric_values.values())
    assert all(reason and reason != "not calculated" for reason in report.unavailable.values())
    assert report.risk_score is None or 0.0 <= report.risk_score <= 1.0
