"""BatchRiskTracker: shapes, resets and refusals; its numbers are compared in test_equivalence."""

from typing import Any

import numpy as np
import pytest

from tradewind.errors import RiskInputError
from tradewind.risk import BatchRiskTracker, RiskAgentV2, RiskPolicy

LIMITS = {"max_drawdown": {"limit": 0.5}, "gross_leverage": {"limit": 1.0}}
AGENT = RiskAgentV2(RiskPolicy.parse({"limits": LIMITS}))


@pytest.fixture
def batch() -> BatchRiskTracker:
    return AGENT.batch(3, ("BTC", "ETH"))


def column(batch_report: Any, metric: str) -> list[float]:
    values: list[float] = batch_report.metric_values[:, batch_report.metrics.index(metric)].tolist()
    return values


def test_batch_with_one_step_has_a_row_an_environment(batch: BatchRiskTracker) -> None:
    report = batch.update([1.0, 2.0, 3.0])
    assert report.metrics == AGENT.policy.calculators.metrics()
    assert report.metric_values.shape == (3, len(report.metrics))
    assert column(report, "max_drawdown") == [0.0, 0.0, 0.0]
    assert report.risk_scores.tolist() == report.penalties.tolist() == [0.0, 0.0, 0.0]


def test_batch_report_keeps_its_numbers_when_the_batch_goes_on(batch: BatchRiskTracker) -> None:
    first = batch.update([1.0, 2.0, 4.0])
    batch.update([0.5, 1.0, 3.0])
    assert column(first, "max_drawdown") == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("rows", [[1], [False, True, False]])
def test_batch_reset_of_some_rows_leaves_the_others(batch: BatchRiskTracker, rows: Any) -> None:
    batch.update([1.0, 2.0, 4.0], capital_bases=10.0)
    batch.reset(rows)
    report = batch.update([0.5, 1.0, 3.0], quantities=np.ones((3, 2)), prices=[1.0, 2.0])
    assert column(report, "max_drawdown") == [0.5, 0.0, 0.25]
    assert np.isnan(column(report, "gross_leverage")).tolist() == [False, True, False]
    assert report.report(1).unavailable["gross_leverage"] == "capital_base: not given"


def test_batch_with_unknown_scores_has_nan_where_a_report_has_none(
    batch: BatchRiskTracker,
) -> None:
    report = batch.update([np.nan, 1.0, 1.0])
    assert np.isnan(report.risk_scores).tolist() == [True, False, False]
    assert report.report(0).risk_score is None
    assert report.report(0).unavailable["max_drawdown"] == "portfolio_values[0] is not finite"


def test_batch_with_many_trades_makes_room_for_them(batch: BatchRiskTracker) -> None:
    for step in range(700):
        report = batch.update(
            np.ones(3), timestamps=60.0 * step, trade_notionals=[1.0, 0.0, 2.0], capital_bases=1.0
        )
    assert column(report, "daily_turnover") == [700.0, 0.0, 1_400.0]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"portfolio_values": [1.0, 2.0]}, "portfolio_values"),
        ({"timestamps": [1.0, 2.0]}, "timestamps"),
        ({"trade_notionals": [1.0, 2.0, 3.0]}, "trade_notionals"),
        ({"quantities": np.ones((3, 2))}, "quantities"),
        ({"quantities": np.ones((3, 1)), "prices": np.ones((2, 2))}, "prices"),
        ({"now": "late"}, "now"),
    ],
)
def test_batch_with_an_argument_that_does_not_fit_names_it(
    batch: BatchRiskTracker, arguments: dict[str, Any], field: str
) -> None:
    with pytest.raises(RiskInputError) as caught:
        batch.update(**{"portfolio_values": np.ones(3), **arguments})
    assert [violation.field for violation in caught.value.violations] == [field]


@pytest.mark.parametrize(
    ("second", "field"),
    [
        ({"timestamps": [2.0, 1.0, 2.0]}, "timestamps[1]"),
        ({}, "timestamps[0]"),
        ({"timestamps": 2.0, "now": [1.0, 1e9, 1.0]}, None),
    ],
)
def test_batch_with_time_that_stands_still_takes_nothing(
    batch: BatchRiskTracker, second: dict[str, Any], field: str | None
) -> None:
    batch.update([4.0, 4.0, 4.0], timestamps=1.0)
    if field is None:
        batch.update([1.0, 1.0, 1.0], **second)
        with pytest.raises(RiskInputError, match="goes back"):
            batch.update([1.0, 1.0, 1.0], timestamps=3.0)
        return
    with pytest.raises(RiskInputError) as caught:
        batch.update([1.0, 1.0, 1.0], **second)
    assert [violation.field for violation in caught.value.violations] == [field]
    assert column(batch.update([4.0, 4.0, 4.0], timestamps=2.0), "max_drawdown") == [0.0] * 3


@pytest.mark.parametrize(("count", "symbols"), [(0, ()), (2, ("BTC", "BTC"))])
def test_batch_without_environments_or_with_a_repeated_symbol_is_refused(
    count: int, symbols: tuple[str, ...]
) -> None:
    with pytest.raises(RiskInputError):
        AGENT.batch(count, symbols)
