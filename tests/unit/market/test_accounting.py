import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tradewind.errors import InvalidInputError
from tradewind.market import Account

COSTS = {"transaction_cost": 0.001, "slippage": 0.0002, "rebalance_threshold": 0.0}
FREE = {"transaction_cost": 0.0, "slippage": 0.0, "rebalance_threshold": 0.0}

targets = st.floats(-1.0, 1.0)
prices = st.floats(0.5, 2.0).map(lambda factor: 100.0 * factor)


def test_new_account_is_flat_and_worth_its_cash() -> None:
    account = Account(1000.0, 50.0)
    assert (account.cash, account.quantity, account.equity) == (1000.0, 0.0, 1000.0)
    assert account.entry_price is None
    assert account.last_fill_price is None
    assert account.last_trade_notional is None
    assert account.position.exposure == account.position.unrealized_return == 0.0
    assert account.position.bars_held == 0


def test_fill_with_costs_matches_the_arithmetic_by_hand() -> None:
    account = Account(1000.0, 100.0)
    quantity = account.fill_toward(
        0.5, 100.0, transaction_cost=0.01, slippage=0.02, rebalance_threshold=0.0
    )
    # Bought at 102 plus 1 %: 3.02 of friction a unit. q × 100 = 0.5 × (1000 − q × 3.02).
    assert quantity == pytest.approx(500.0 / 101.51, rel=1e-14)
    assert account.last_fill_price == 102.0
    assert account.entry_price == 102.0
    assert account.last_trade_notional == pytest.approx(quantity * 102.0)
    assert account.fees_paid == pytest.approx(quantity * 1.02)
    assert account.slippage_paid == pytest.approx(quantity * 2.0)
    assert account.cash == pytest.approx(1000.0 - quantity * 103.02)
    assert account.position.exposure == pytest.approx(0.5, rel=1e-14)

    account.close_bar(110.0)
    assert account.equity == pytest.approx(1000.0 + quantity * (110.0 - 103.02))
    assert account.position.bars_held == 1
    assert account.position.unrealized_return == pytest.approx(110.0 / 102.0 - 1.0)


def test_sale_into_a_short_gains_when_the_price_falls() -> None:
    account = Account(1000.0, 100.0)
    assert account.fill_toward(-1.0, 100.0, **FREE) == -10.0
    account.close_bar(90.0)
    assert account.equity == 1100.0
    assert account.position.unrealized_return == pytest.approx(0.1)
    assert account.position.exposure == pytest.approx(-900.0 / 1100.0)


@given(first=targets, second=targets, price=prices, open_price=prices)
def test_fill_from_any_position_reaches_the_target_of_the_equity_after_costs(
    first: float, second: float, price: float, open_price: float
) -> None:
    account = Account(1e5, price)
    account.fill_toward(first, price, **COSTS)
    before = account.cash + account.quantity * open_price
    assume(before <= 0.0 or before > 1.0)  # Cents left of 100,000 are mostly rounding.
    paid = account.fees_paid + account.slippage_paid
    account.fill_toward(second, open_price, **COSTS)

    if before <= 0.0:
        assert account.quantity == 0.0
        return
    costs = account.fees_paid + account.slippage_paid - paid
    after = account.cash + account.quantity * open_price
    assert after == pytest.approx(before - costs, rel=1e-9, abs=1e-6)
    assert account.quantity * open_price / after == pytest.approx(second, abs=1e-9)
    if second == 1.0:
        assert account.cash == pytest.approx(0.0, abs=1e-6)


@given(steps=st.lists(st.tuples(targets, prices, prices), min_size=1, max_size=20))
def test_account_through_any_trades_conserves_money(
    steps: list[tuple[float, float, float]],
) -> None:
    account = Account(1e5, 100.0)
    pnl = 0.0
    mark = 100.0
    for target, open_price, close in steps:
        held = account.quantity
        account.fill_toward(target, open_price, **COSTS)
        account.close_bar(close)
        pnl += held * (open_price - mark) + account.quantity * (close - open_price)
        mark = close
        assert account.equity == account.cash + account.quantity * account.mark_price
    costs = account.fees_paid + account.slippage_paid
    assert account.fees_paid >= 0.0
    assert account.slippage_paid >= 0.0
    assert account.equity - 1e5 == pytest.approx(pnl - costs, rel=1e-9, abs=1e-4)


@given(first=targets, price=prices)
def test_fill_toward_flat_leaves_exactly_nothing(first: float, price: float) -> None:
    account = Account(1e5, 100.0)
    account.fill_toward(first, 100.0, **COSTS)
    account.fill_toward(0.0, price, transaction_cost=0.001, slippage=0.0, rebalance_threshold=0.5)
    assert account.quantity == 0.0
    assert account.entry_price is None
    assert account.equity == account.cash
    assert account.position.exposure == 0.0


def test_fill_below_the_threshold_is_left_out() -> None:
    account = Account(1000.0, 100.0)
    account.fill_toward(0.5, 100.0, **FREE)
    before = account.state.copy()
    rules = {"transaction_cost": 0.0, "slippage": 0.0, "rebalance_threshold": 0.01}
    assert account.fill_toward(0.509, 100.0, **rules) == 0.0
    assert account.fill_toward(0.491, 100.0, **rules) == 0.0
    assert account.state.tobytes() == before.tobytes()
    assert account.fill_toward(0.511, 100.0, **rules) == pytest.approx(0.11)


def test_fill_without_equity_closes_and_never_opens() -> None:
    account = Account(1000.0, 100.0)
    account.fill_toward(-1.0, 100.0, **FREE)
    assert account.fill_toward(1.0, 250.0, **FREE) == 10.0
    assert account.quantity == 0.0
    assert account.equity == -500.0
    assert account.fill_toward(1.0, 250.0, **FREE) == 0.0


def test_exposure_without_equity_is_infinite() -> None:
    account = Account(1000.0, 100.0)
    account.fill_toward(-1.0, 100.0, **FREE)
    account.close_bar(250.0)
    assert account.position.exposure == -math.inf
    assert account.position.unrealized_return == -1.5


def test_entry_price_through_adding_reducing_and_turning_follows_the_position() -> None:
    account = Account(1e5, 100.0)

    def fill(quantity: float, price: float) -> None:
        account.apply_fill(quantity, price, reference_price=price, fee=0.0)

    fill(10.0, 100.0)
    account.close_bar(110.0)
    fill(30.0, 120.0)
    assert account.entry_price == 115.0
    account.close_bar(118.0)
    assert account.position.bars_held == 2
    fill(-15.0, 130.0)
    assert account.entry_price == 115.0
    assert account.position.bars_held == 2
    fill(-40.0, 90.0)
    assert account.quantity == -15.0
    assert account.entry_price == 90.0
    assert account.position.bars_held == 0
    fill(-5.0, 70.0)
    assert account.entry_price == 85.0
    fill(20.0, 80.0)
    assert account.entry_price is None
    account.close_bar(80.0)
    assert account.position.bars_held == 0


@given(parts=st.lists(st.floats(0.01, 10.0), min_size=1, max_size=10))
def test_partial_fills_cost_what_one_whole_fill_costs(parts: list[float]) -> None:
    whole, partial = Account(1e5, 100.0), Account(1e5, 100.0)
    whole.apply_fill(sum(parts), 101.0, reference_price=100.0, fee=sum(parts) * 0.1)
    for part in parts:
        partial.apply_fill(part, 101.0, reference_price=100.0, fee=part * 0.1)
    assert partial.equity == pytest.approx(whole.equity)
    assert partial.entry_price == pytest.approx(whole.entry_price)
    assert partial.fees_paid == pytest.approx(whole.fees_paid)
    assert partial.slippage_paid == pytest.approx(whole.slippage_paid)


def test_repeated_full_buys_trade_once() -> None:
    account = Account(1e5, 100.0)
    rules = {"transaction_cost": 0.001, "slippage": 0.0002, "rebalance_threshold": 0.01}
    rng = np.random.default_rng(7)
    traded = []
    for price in 100.0 * np.cumprod(1.0 + 0.02 * rng.standard_normal(200)):
        traded.append(account.fill_toward(1.0, float(price), **rules))
        account.close_bar(float(price))
    assert traded[0] > 0.0
    assert set(traded[1:]) == {0.0}


NOT_PRICES = [0.0, -1.0, math.nan, math.inf]


@pytest.mark.parametrize("value", NOT_PRICES)
def test_account_with_an_impossible_amount_is_refused(value: float) -> None:
    account = Account(1000.0, 100.0)
    before = account.state.copy()
    for call in (
        lambda: Account(value, 100.0),
        lambda: Account(1000.0, value),
        lambda: account.close_bar(value),
        lambda: account.fill_toward(0.5, value, **COSTS),
        lambda: account.apply_fill(1.0, value, reference_price=1.0, fee=0.0),
        lambda: account.apply_fill(1.0, 1.0, reference_price=value, fee=0.0),
    ):
        with pytest.raises(InvalidInputError, match="must be positive and finite"):
            call()
    assert account.state.tobytes() == before.tobytes()


@pytest.mark.parametrize("target", [-1.1, 1.1, math.nan, math.inf])
def test_fill_with_an_impossible_target_is_refused(target: float) -> None:
    with pytest.raises(InvalidInputError, match="target must lie between -1 and 1"):
        Account(1000.0, 100.0).fill_toward(target, 100.0, **COSTS)


@pytest.mark.parametrize("name", sorted(COSTS))
@pytest.mark.parametrize("value", [-0.1, 0.6, math.nan])
def test_fill_with_impossible_costs_is_refused(name: str, value: float) -> None:
    with pytest.raises(InvalidInputError, match=f"{name} must lie between 0 and 0.5"):
        Account(1000.0, 100.0).fill_toward(0.5, 100.0, **(COSTS | {name: value}))


@pytest.mark.parametrize(("quantity", "fee"), [(0.0, 0.0), (math.nan, 0.0), (1.0, math.inf)])
def test_reported_fill_with_an_impossible_quantity_or_fee_is_refused(
    quantity: float, fee: float
) -> None:
    with pytest.raises(InvalidInputError, match="finite"):
        Account(1000.0, 100.0).apply_fill(quantity, 100.0, reference_price=100.0, fee=fee)
