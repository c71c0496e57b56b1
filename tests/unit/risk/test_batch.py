"""BatchRiskTracker: begin, state, refusals; its numbers are compared in test_equivalence."""

from typing import Any

import numpy as np
import pytest

from tradewind.errors import ConflictError, RiskInputError
from tradewind.risk import BatchBar, BatchRiskTracker, RiskAgentV2, RiskPolicy, StepRisk
from tradewind.risk.engine.storage import Storage

LIMITS = {"max_drawdown": {"limit": 0.5}, "gross_leverage": {"limit": 1.0}}
AGENT = RiskAgentV2(RiskPolicy.parse({"limits": LIMITS}))


def bar_of(values: list[float], time: float = 0.0, **columns: Any) -> BatchBar:
    """A bar of three accounts in BTC and ETH, flat where nothing else is said."""
    bar = BatchBar.zeros(3, 2)
    for name, column in {"portfolio_values": values, "prices": 1.0, **columns}.items():
        getattr(bar, name)[...] = column
    bar.timestamps[:] = bar.trade_timestamps[:] = time
    return bar


def begun(values: list[float]) -> BatchRiskTracker:
    batch = AGENT.batch(3, ("BTC", "ETH"), capital_base=10.0)
    batch.begin(np.arange(3), bar_of(values))
    return batch


def column(risk: StepRisk, metric: str) -> list[float]:
    values: list[float] = risk.metric(metric).tolist()
    return values


def test_batch_with_one_bar_has_a_row_an_account() -> None:
    risk = begun([1.0, 2.0, 4.0]).update(bar_of([0.5, 3.0, 3.0], 1.0, quantities=5.0))
    assert risk.metric_names == AGENT.policy.calculators.metrics()
    assert risk.values.shape == (3, len(risk.metric_names))
    assert column(risk, "max_drawdown") == [0.5, 0.0, 0.25]
    assert column(risk, "gross_leverage") == [1.0, 1.0, 1.0]
    assert risk.risk_score.tolist() == [1.0, 1.0, 1.0]
    assert risk.penalty.tolist() == [1.0, 0.5, 0.75]
    assert risk.judged.tolist() == [True, True, True]


def test_step_risk_without_the_metric_says_so() -> None:
    risk = begun([1.0, 2.0, 4.0]).update(bar_of([0.5, 1.0, 3.0], 1.0))
    with pytest.raises(KeyError, match="beta"):
        risk.metric("beta")


def test_step_risk_keeps_its_numbers_when_the_batch_goes_on() -> None:
    batch = begun([1.0, 2.0, 4.0])
    first = batch.update(bar_of([1.0, 2.0, 4.0], 1.0))
    batch.update(bar_of([0.5, 1.0, 3.0], 2.0))
    assert column(first, "max_drawdown") == [0.0, 0.0, 0.0]


def test_batch_begin_of_some_rows_leaves_the_others() -> None:
    batch = begun([1.0, 2.0, 4.0])
    batch.update(bar_of([0.5, 1.0, 3.0], 1.0))
    batch.begin(np.array([1]), bar_of([9.0, 4.0, 9.0], 1.5))
    risk = batch.update(bar_of([0.5, 3.0, 3.0], 2.0))
    assert column(risk, "max_drawdown") == [0.5, 0.25, 0.25]


def test_batch_with_an_unusable_value_is_not_judged_and_says_why() -> None:
    batch = begun([1.0, 2.0, 4.0])
    risk = batch.update(bar_of([np.nan, 1.0, 1.0], 1.0))
    assert risk.judged.tolist() == [False, True, True]
    assert np.isnan(column(risk, "max_drawdown")).tolist() == [True, False, False]
    report = batch.report(0)
    assert report.unavailable["max_drawdown"] == "portfolio_values[1] is not finite"
    assert report.unchecked_limits == ("max_drawdown",)


def test_batch_with_many_trades_makes_room_for_them() -> None:
    batch = begun([1.0, 1.0, 1.0])
    for step in range(1, 700):
        bar = bar_of(
            [1.0, 1.0, 1.0], 60.0 * step, trade_notionals=[[1.0, 0.0], [0.0] * 2, [2.0, -1.0]]
        )
        risk = batch.update(bar)
    assert column(risk, "daily_turnover") == [69.9, 0.0, pytest.approx(209.7)]


def test_batch_state_set_in_another_batch_goes_on_with_the_same_bits() -> None:
    batch, other = begun([1.0, 2.0, 4.0]), begun([1.0, 1.0, 1.0])
    for step in range(1, 300):
        batch.update(bar_of([1.0, 2.0, 4.0], step, trade_notionals=1.0))
    state = batch.get_state()
    expected = batch.update(bar_of([0.9, 1.5, 4.1], 300.0)).values
    other.set_state(state)
    assert other.update(bar_of([0.9, 1.5, 4.1], 300.0)).values.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (RiskAgentV2(RiskPolicy()).batch(3, ("BTC", "ETH"), 10.0), "another risk policy"),
        (AGENT.batch(2, ("BTC", "ETH"), 10.0), r"accounts must be an array of shape \[3\]"),
        (AGENT.batch(3, ("ETH", "BTC"), 10.0), r"\('ETH', 'BTC'\), 10.0"),
        (AGENT.batch(3, ("BTC", "ETH"), 9.0), r"\('BTC', 'ETH'\), 9.0"),
    ],
)
def test_batch_state_of_another_batch_is_refused(other: BatchRiskTracker, message: str) -> None:
    batch = begun([1.0, 2.0, 4.0])
    before = batch.get_state()
    with pytest.raises(ConflictError, match=message):
        batch.set_state(other.get_state())
    after = batch.get_state()
    assert all(after[name].tobytes() == before[name].tobytes() for name in Storage._fields)


@pytest.mark.parametrize("name", Storage._fields)
@pytest.mark.parametrize(
    "change",
    [
        lambda array: array[:, :0] if array.ndim > 1 else array[:1],
        lambda array: array.reshape(-1)[0],
        lambda array: np.zeros(array.shape, np.float32),
        lambda array: None,
    ],
    ids=["short", "scalar", "float32", "missing"],
)
def test_batch_state_with_a_wrong_array_is_refused(name: str, change: Any) -> None:
    batch = begun([1.0, 2.0, 4.0])
    state = batch.get_state()
    with pytest.raises(ConflictError, match="must be an array of shape"):
        batch.set_state({**state, name: change(state[name])})
    batch.set_state(state)


def test_batch_state_of_the_release_before_is_taken() -> None:
    batch = begun([4.0, 4.0, 4.0])
    batch.update(bar_of([3.0, 4.0, np.nan], 1.0))
    state = batch.get_state()
    newer = {"spent_value", "spent_value_before", "first_timestamp", "bar_after_pause", "bad_trade"}
    newer |= {"bad_trade_kind", "first_trade", "first_trade_timestamp", "trade_after_pause"}
    older = [name for name in state["accounts"].dtype.names if name not in newer]
    state["accounts"] = state["accounts"][older].copy()
    resumed = begun([9.0, 9.0, 9.0])
    resumed.set_state(state)
    for batch_of in (batch, resumed):
        risk = batch_of.update(bar_of([-1.0, 2.0, 4.0], 2.0))
        assert np.array_equal(risk.metric("max_drawdown"), [1.25, 0.5, np.nan], equal_nan=True)


def test_batch_state_with_room_for_more_trades_is_taken() -> None:
    batch, other = begun([4.0, 4.0, 4.0]), begun([4.0, 4.0, 4.0])
    for step in range(1, 400):
        batch.update(bar_of([4.0, 4.0, 4.0], step, trade_notionals=1.0))
    other.set_state(batch.get_state())
    bar = bar_of([4.0, 4.0, 4.0], 400.0, trade_notionals=1.0)
    assert column(other.update(bar), "daily_turnover") == column(
        batch.update(bar), "daily_turnover"
    )


@pytest.mark.parametrize("name", BatchBar._fields)
def test_batch_with_an_array_that_is_too_short_names_it(name: str) -> None:
    batch = begun([1.0, 2.0, 4.0])
    bar = bar_of([1.0, 2.0, 4.0], 1.0)
    short = bar._replace(**{name: getattr(bar, name)[:2]})
    for take in (batch.update, lambda bar: batch.begin(np.arange(3), bar)):
        with pytest.raises(RiskInputError) as caught:
            take(short)
        assert [violation.field for violation in caught.value.violations] == [name]


def test_batch_begin_of_a_row_that_is_not_there_is_refused() -> None:
    with pytest.raises(RiskInputError, match=r"a batch of 3 has no rows"):
        begun([1.0, 2.0, 4.0]).begin(np.array([3]), bar_of([1.0, 2.0, 4.0]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"timestamps": [2.0, 1.0, 2.0]}, r"timestamps\[1\]"),
    ],
)
def test_batch_with_time_that_does_not_go_on_takes_nothing(
    changes: dict[str, Any], message: str
) -> None:
    batch = begun([4.0, 4.0, 4.0])
    batch.update(bar_of([4.0, 4.0, 4.0], 1.0, trade_notionals=1.0))
    bar = bar_of([1.0, 1.0, 1.0], 2.0, trade_notionals=1.0)
    for name, values in changes.items():
        getattr(bar, name)[:] = values
    with pytest.raises(RiskInputError, match=message):
        batch.update(bar)
    risk = batch.update(bar_of([4.0, 4.0, 4.0], 2.0))
    assert column(risk, "max_drawdown") == [0.0] * 3


@pytest.mark.parametrize("time", [0.5, np.nan])
def test_batch_with_a_trade_out_of_order_loses_the_turnover_of_that_row(time: float) -> None:
    batch = begun([4.0, 4.0, 4.0])
    batch.update(bar_of([4.0, 4.0, 4.0], 1.0, trade_notionals=1.0))
    bar = bar_of([1.0, 1.0, 1.0], 2.0, trade_notionals=1.0)
    bar.trade_timestamps[:] = [2.0, time, 2.0]
    risk = batch.update(bar)
    assert np.array_equal(np.isnan(column(risk, "daily_turnover")), [False, True, False])
    assert column(risk, "max_drawdown") == [0.75] * 3
    assert batch.report(1).unavailable["daily_turnover"].startswith("trades[3].timestamp is ")


@pytest.mark.parametrize(("count", "symbols"), [(0, ("BTC",)), (2, ()), (2, ("BTC", "BTC"))])
def test_batch_without_accounts_or_with_a_repeated_symbol_is_refused(
    count: int, symbols: tuple[str, ...]
) -> None:
    with pytest.raises(RiskInputError):
        AGENT.batch(count, symbols, 1.0)
