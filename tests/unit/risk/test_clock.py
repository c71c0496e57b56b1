"""Times that cannot be: what depends on them is unavailable or counts as missing, never 0."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.risk import RiskAgentV2, RiskInputs, RiskPolicy, RiskReport
from tradewind.risk.rules import Action, Readings, RuleEngine, RuleSettings

Report = Callable[..., RiskReport]
NOW = 1.7e9
BARS = NOW - 60.0 * np.arange(30.0, 0.0, -1.0)
TIMED = ("hourly_turnover", "daily_turnover", "drawdown_velocity", "drawdown_acceleration")
ACCOUNT: dict[str, Any] = {
    "portfolio_values": np.linspace(1e6, 9e5, BARS.size),
    "timestamps": BARS,
    "trade_timestamps": [NOW - 90.0, NOW - 10.0],
    "trade_notionals": [1e6, 9e9],
    "capital_base": 1e6,
    "now": NOW,
}
AGENT = RiskAgentV2(RiskPolicy())
AHEAD = "is later than now by more than the allowed clock skew"
UNIT = "is not in seconds since the epoch: it would be after the year 5138"


def test_account_with_good_times_has_every_metric_that_depends_on_them(report_of: Report) -> None:
    metrics = report_of(**ACCOUNT).metric_values
    assert metrics["hourly_turnover"] == pytest.approx(9_001.0)
    assert metrics["drawdown_velocity"] > 0.0


@pytest.mark.parametrize(
    ("change", "metrics", "reason"),
    [
        (
            {"trade_timestamps": [NOW - 10.0, NOW + 86_400.0], "trade_notionals": [9e9, 0.0]},
            TIMED[:2],
            f"trades[1].timestamp {AHEAD}",
        ),
        ({"timestamps": BARS + 120.0}, TIMED, f"timestamps[29] {AHEAD}"),
        ({"now": 100.0}, TIMED, f"timestamps[29] {AHEAD}"),  # a clock in 1970
        ({"now": -1e300}, TIMED, f"timestamps[29] {AHEAD}"),
        ({"now": NOW * 1e3}, TIMED, f"now {UNIT}"),
        ({"now": np.nan}, TIMED, "now is not finite"),
        ({"now": np.inf}, TIMED, "now is not finite"),
        *[
            ({"timestamps": BARS * unit, "now": now}, TIMED, f"timestamps[29] {UNIT}")
            for unit in (1e3, 1e6, 1e9)
            for now in (NOW, None)
        ],
        *[
            (
                {"trade_timestamps": [NOW, NOW * unit], "now": now},
                TIMED[:2],
                f"trades[1].timestamp {UNIT}",
            )
            for unit in (1e3, 1e6, 1e9)
            for now in (NOW, None)
        ],
        ({"timestamps": BARS * 1e3, "now": NOW * 1e3}, TIMED, f"now {UNIT}"),
    ],
)
def test_time_that_cannot_be_makes_what_depends_on_it_unavailable(
    report_of: Report, change: dict[str, Any], metrics: tuple[str, ...], reason: str
) -> None:
    report = report_of(**{**ACCOUNT, **change})
    for metric in TIMED:
        if metric in metrics:
            assert report.unavailable[metric] == reason
        else:
            assert metric in report.metric_values
    assert report.metric_values["max_drawdown"] == pytest.approx(0.1)


def test_last_bar_without_a_time_leaves_the_one_before_to_be_judged(report_of: Report) -> None:
    times = np.append(BARS[:-1] + 1e4, np.nan)
    report = report_of(**{**ACCOUNT, "timestamps": times})
    assert report.unavailable["hourly_turnover"] == f"timestamps {AHEAD}"


@pytest.mark.parametrize("skew", [0.0, 1_000.0, 60_000.0])
@pytest.mark.parametrize("enabled", [True, False])
def test_time_within_the_skew_is_taken(
    agent_of: Callable[..., RiskAgentV2], skew: float, enabled: bool
) -> None:
    agent = agent_of(feed_staleness={"max_clock_skew_ms": skew, "enabled": enabled})
    late, seconds = {**ACCOUNT, "trade_notionals": [0.0, 5e6]}, skew / 1_000.0
    late["trade_timestamps"] = [NOW - 90.0, NOW + seconds]
    late["timestamps"] = BARS + 60.0 + seconds
    metrics = agent.calculate_only(late).metric_values
    assert metrics["hourly_turnover"] == pytest.approx(5.0)
    assert "drawdown_velocity" in metrics
    late["trade_timestamps"] = [NOW - 90.0, NOW + seconds + 0.01]
    assert AHEAD in agent.calculate_only(late).unavailable["hourly_turnover"]


def test_trades_before_all_bars_count_by_their_times(report_of: Report) -> None:
    before = {**ACCOUNT, "trade_timestamps": [NOW - 7_200.0, NOW - 3_000.0]}
    metrics = report_of(**{**before, "trade_notionals": [2e6, 1e6]}).metric_values
    assert metrics["hourly_turnover"] == pytest.approx(1.0)
    assert metrics["daily_turnover"] == pytest.approx(3.0)


@settings(max_examples=60)
@given(
    trade=st.floats(-1e18, 1e18),
    bar=st.floats(-1e18, 1e18),
    now=st.floats(-1e18, 1e18) | st.sampled_from([NOW, NOW * 1e3, np.nan, np.inf]),
)
def test_turnover_with_any_times_after_a_trade_is_never_less_than_it_was(
    trade: float, bar: float, now: float
) -> None:
    """What is added to an account of which a clock says NOW may hide no trade of it."""
    account = {
        "portfolio_values": [1.0, 1.0],
        "timestamps": [NOW - 60.0, max(bar, NOW - 50.0)],
        "trade_timestamps": [NOW - 10.0, max(trade, NOW - 10.0)],
        "trade_notionals": [5.0, 0.0],
        "capital_base": 1.0,
        "now": min(now, NOW) if np.isfinite(now) else now,
    }
    found = AGENT.calculate_only(account).metric_values.get("hourly_turnover")
    assert found is None or found == 5.0


HOURLY = NOW - 3_600.0 * np.arange(30.0, -1.0, -1.0)
BEYOND_A_BAR = "is later than the last bar by more than a bar: without now, that may be the future"
AFTER_A_YEAR = "is a year after the one before: without now, that may be the future"
UNSET = (
    "is before March 1973, and all else after 1999: a clock that was not set, or times that are "
    "not in seconds"
)
YEAR = 366 * 86_400.0


def without_now(times: list[float], bars: Any = HOURLY, notional: float = 0.0) -> dict[str, Any]:
    """An account whose last trade has a notional of its own, those before it one of 9."""
    given = (
        {} if bars is None else {"portfolio_values": np.full(bars.size, 100.0), "timestamps": bars}
    )
    notionals = [*[9.0] * (len(times) - 1), notional]
    return {**given, "trade_timestamps": times, "trade_notionals": notionals, "capital_base": 1.0}


@pytest.mark.parametrize(
    ("account", "reason"),
    [
        (without_now([NOW - 10.0, NOW + 86_400.0]), f"trades[1].timestamp {BEYOND_A_BAR}"),
        (without_now([NOW - 10.0, NOW + 3_601.1]), f"trades[1].timestamp {BEYOND_A_BAR}"),
        # No night or week-end makes a bar longer, and how long a lone bar is nobody knows.
        (
            without_now([NOW - 10.0, NOW + 5_000.0], np.append(HOURLY[:28] - 2e5, HOURLY[28:])),
            f"trades[1].timestamp {BEYOND_A_BAR}",
        ),
        (without_now([NOW - 10.0, NOW + 5.0], HOURLY[-1:]), f"trades[1].timestamp {BEYOND_A_BAR}"),
        (without_now([NOW - 10.0, NOW], HOURLY / 60.0), f"trades[1].timestamp {BEYOND_A_BAR}"),
        (without_now([NOW, NOW + YEAR + 1.0], None), f"trades[1].timestamp {AFTER_A_YEAR}"),
        (
            without_now([NOW, NOW + 2 * YEAR, NOW + 2 * YEAR], None),
            f"trades[1].timestamp {AFTER_A_YEAR}",
        ),
        (
            without_now([NOW - 10.0], np.append(HOURLY, NOW + YEAR + 1.0)),
            f"timestamps[31] {AFTER_A_YEAR}",
        ),
        (
            without_now([NOW - 10.0], np.append(HOURLY, NOW + YEAR + np.arange(1.0, 4.0))),
            f"timestamps[31] {AFTER_A_YEAR}",
        ),
        (without_now([10.0, NOW - 10.0], notional=1.0), f"trades[0].timestamp {UNSET}"),
        (without_now([10.0], notional=1.0), f"trades[0].timestamp {UNSET}"),
        ({**without_now([10.0], None, 1.0), "now": NOW}, f"trades[0].timestamp {UNSET}"),
        ({**without_now([10.0], notional=1.0), "now": NOW}, f"trades[0].timestamp {UNSET}"),
        *[
            (without_now([(NOW - 10.0) / unit], notional=1.0), f"trades[0].timestamp {UNSET}")
            for unit in (60.0, 3_600.0, 86_400.0)
        ],
    ],
)
def test_turnover_with_times_that_hide_a_trade_is_unavailable(
    report_of: Report, account: dict[str, Any], reason: str
) -> None:
    report = report_of(**account)
    assert report.unavailable["hourly_turnover"] == reason
    assert report.unavailable["daily_turnover"] == reason
    assert ("drawdown_velocity" in report.metric_values) is (
        "timestamps" in account
        and not reason.startswith("timestamps")
        and len(account["timestamps"]) > 1
    )
    increment = RiskInputs.from_mapping(account)
    assert AGENT.tracker().update(increment) == AGENT.calculate_only(increment)


@pytest.mark.parametrize(
    ("account", "hourly"),
    [
        (without_now([NOW - 10.0, NOW + 3_500.0]), 9.0),  # of the bar under way
        (without_now([NOW - 10.0, NOW + 3_601.0]), 0.0),  # and its last, by a clock that is fast
        (
            without_now([NOW - 10.0, NOW + 86_400.0], 86_400.0 * np.arange(9.0) + NOW - 691_200.0),
            0.0,
        ),
        (without_now([NOW - 10.0, NOW + 0.5], HOURLY[-1:]), 9.0),
        (without_now([NOW - 10.0, NOW + 10.0], None, 1.0), 10.0),
        (
            without_now([NOW - 10.0, NOW + 80_000.0], None, 1.0),
            1.0,
        ),  # the latest trade tells the time
        (without_now([0.0]), 0.0),  # says that there was none
        (without_now([0.0, NOW - 10.0], notional=2.0) | {"trade_notionals": [0.0, 2.0]}, 2.0),
        # An account of fifty years, and one of another age altogether.
        (without_now([10.0, NOW - 10.0], np.linspace(0.0, NOW, 60), notional=2.0), 2.0),
        (without_now([10.0, 20.0], np.array([5.0, 15.0, 25.0]), notional=2.0), 11.0),
    ],
)
def test_turnover_with_times_that_may_be_counts_by_them(
    report_of: Report, account: dict[str, Any], hourly: float
) -> None:
    assert report_of(**account).metric_values["hourly_turnover"] == hourly


def rules_of(**rule: Any) -> RuleEngine:
    values = {"name": "r", "when": {"metric": "m", "over": 1.0}, "action": "BLOCK", **rule}
    return RuleEngine([RuleSettings.model_validate(values)], {})


@pytest.mark.parametrize("now", [NOW * 1e3, -NOW * 1e3, 1e11, np.nan, np.inf, None])
def test_rules_with_a_clock_in_another_unit_take_it_for_missing(now: float | None) -> None:
    high, low = Readings({"m": 2.0}), Readings({"m": 0.0})
    windowed = rules_of(window={"at_least": 2, "seconds": 60.0})
    windows = windowed.evaluate(high, NOW, {}).windows
    outcome = windowed.evaluate(high, now, windows)
    assert outcome.action is Action.BLOCK
    # It empties no window either: the next evaluation still sees the first.
    windows = windowed.evaluate(low, now, windows).windows
    assert windowed.evaluate(high, NOW + 30.0, windows).action is Action.BLOCK
    timed = rules_of(active_utc={"start": "00:00", "end": "00:01"})
    assert timed.evaluate(high, now, {}).action is Action.BLOCK
