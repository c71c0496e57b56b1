"""Times that cannot be: what depends on them is unavailable or counts as missing, never 0."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.risk import RiskAgentV2, RiskPolicy, RiskReport
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
