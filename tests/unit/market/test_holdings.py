"""Holdings: an account in several symbols, beside the account in one and its own definition."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.errors import InvalidInputError
from tradewind.market import Account, Holdings, TradingTerms
from tradewind.market.accounting import QUANTITY
from tradewind.market.bars import FloatArray
from tradewind.market.holdings import close_holdings, fill_holdings

prices = st.floats(0.01, 1e5)
costs = st.sampled_from([0.0, 0.001, 0.1])
# Nobody aims at a millionth of a millionth.
weights = st.floats(-1.0, 1.0).map(lambda weight: round(weight, 6))


def fill(
    holdings: Holdings,
    targets: list[float],
    at: list[float],
    *,
    cost: float = 0.0,
    slippage: float = 0.0,
    threshold: float = 0.0,
    gross_limit: float = 1.0,
) -> FloatArray:
    traded = np.empty(len(targets))
    fill_holdings(
        holdings.states,
        np.array(targets),
        gross_limit,
        np.array(at),
        np.array(at),
        cost,
        slippage,
        threshold,
        traded,
    )
    return traded


@given(
    steps=st.lists(st.tuples(weights | st.just(math.nan), prices, prices), min_size=1, max_size=8),
    cost=costs,
    slippage=costs,
    threshold=st.sampled_from([0.0, 0.01]),
)
def test_holdings_of_one_symbol_are_an_account_to_the_last_bit(
    steps: list[tuple[float, float, float]], cost: float, slippage: float, threshold: float
) -> None:
    account, holdings = Account(1e5, 10.0), Holdings(1e5, [10.0])
    for target, opened, closed in steps:
        expected = 0.0
        if not math.isnan(target):
            expected = account.fill_toward(
                target,
                opened,
                transaction_cost=cost,
                slippage=slippage,
                rebalance_threshold=threshold,
            )
        traded = fill(
            holdings, [target], [opened], cost=cost, slippage=slippage, threshold=threshold
        )
        assert traded[0] == expected
        account.close_bar(closed)
        close_holdings(holdings.states, np.array([closed]))
        assert holdings.states[0].tobytes() == account.state.tobytes()


@given(
    targets=st.lists(weights | st.just(math.nan), min_size=2, max_size=5),
    before=st.lists(weights, min_size=5, max_size=5),
    opens=st.lists(prices, min_size=5, max_size=5),
    moves=st.lists(st.floats(0.8, 1.25), min_size=5, max_size=5),
    cost=costs,
    slippage=costs,
    gross_limit=st.sampled_from([0.5, 1.0]),
)
def test_holdings_after_a_fill_have_their_targets_of_what_is_left(
    targets: list[float],
    before: list[float],
    opens: list[float],
    moves: list[float],
    cost: float,
    slippage: float,
    gross_limit: float,
) -> None:
    count = len(targets)
    at = [price * move for price, move in zip(opens, moves, strict=True)][:count]
    holdings = Holdings(1e5, opens[:count])
    fill(holdings, before[:count], opens[:count], gross_limit=gross_limit)
    close_holdings(holdings.states, np.array(opens[:count]))
    held = holdings.quantities
    fill(holdings, targets, at, cost=cost, slippage=slippage, gross_limit=gross_limit)
    close_holdings(holdings.states, np.array(at))
    wanted = np.array(targets)
    kept = np.isnan(wanted)
    assert np.array_equal(holdings.quantities[kept], held[kept])
    gross = np.abs(wanted[~kept]).sum()
    scaled = wanted * min(1.0, gross_limit / gross) if gross else wanted
    values = holdings.quantities * np.array(at)
    tolerance = 1e-9 * np.abs(held * np.array(at)).sum() + 1e-4
    assert np.allclose(values[~kept], scaled[~kept] * holdings.equity, atol=tolerance)
    if not kept.any() and (wanted >= 0.0).all() and gross_limit <= 1.0:
        assert holdings.cash >= -tolerance


def test_holdings_with_trades_below_the_threshold_together_trade_nothing() -> None:
    holdings = Holdings(1e5, [10.0, 20.0])
    fill(holdings, [0.5, 0.3], [10.0, 20.0], threshold=0.01)
    assert not fill(holdings, [0.504, 0.304], [10.0, 20.0], threshold=0.01).any()
    assert fill(holdings, [0.506, 0.306], [10.0, 20.0], threshold=0.01).all()
    closing = fill(holdings, [0.506, 0.0], [10.0, 20.0], threshold=0.5)
    assert closing[1] == -0.306 * 1e5 / 20.0 or holdings.states[1, QUANTITY] == 0.0


def test_holdings_without_equity_can_only_go_flat() -> None:
    holdings = Holdings(100.0, [10.0, 10.0])
    fill(holdings, [-0.5, -0.5], [10.0, 10.0])
    close_holdings(holdings.states, np.array([25.0, 10.0]))
    assert holdings.equity < 50.0
    close_holdings(holdings.states, np.array([40.0, 40.0]))
    assert holdings.equity < 0.0
    fill(holdings, [1.0, -1.0], [40.0, 40.0])
    assert not holdings.quantities.any()


def test_holdings_of_impossible_cash_or_prices_are_refused() -> None:
    for cash, at in ((0.0, [1.0]), (math.nan, [1.0]), (1.0, [1.0, -1.0]), (1.0, [math.inf])):
        with pytest.raises(InvalidInputError, match="must be positive and finite"):
            Holdings(cash, at)
    with pytest.raises(InvalidInputError, match="one number a symbol"):
        Holdings(1.0, [])


def test_holdings_account_of_a_symbol_shares_the_memory() -> None:
    holdings = Holdings(1e5, [10.0, 20.0])
    fill(holdings, [0.5, 0.25], [10.0, 20.0], cost=0.001)
    second = holdings.account(1)
    assert second.quantity == holdings.quantities[1]
    assert second.mark_price == holdings.mark_prices[1] == 20.0
    assert holdings.costs == pytest.approx(0.001 * (holdings.quantities @ [10.0, 20.0]))


@given(
    steps=st.lists(
        st.tuples(
            st.lists(weights | st.just(math.nan), min_size=3, max_size=3),
            st.lists(st.floats(0.9, 1.1), min_size=3, max_size=3),
        ),
        min_size=1,
        max_size=6,
    ),
    threshold=st.sampled_from([0.0, 0.05]),
    gross_limit=st.sampled_from([0.5, 1.0, 1.5]),
)
def test_holdings_that_a_broker_fills_at_the_marks_are_those_of_the_kernels(
    steps: list[tuple[list[float], list[float]]], threshold: float, gross_limit: float
) -> None:
    terms = TradingTerms(
        actions="continuous", allow_short=True, position_fraction=0.5, gross_limit=gross_limit,
        transaction_cost=0.001, slippage=0.0002, rebalance_threshold=threshold,
    )  # fmt: skip
    at = [10.0, 2_000.0, 0.3]
    one, other = Holdings(1e5, at), Holdings(1e5, at)
    for targets, moves in steps:
        traded = one.plan_trades(np.array(targets), terms)
        expected = fill(
            other, targets, at, cost=0.001, slippage=0.0002, threshold=threshold,
            gross_limit=gross_limit,
        )  # fmt: skip
        assert traded.tobytes() == expected.tobytes()
        for row in (2, 0, 1):  # in whatever order a broker reports them
            if quantity := float(traded[row]):
                price = at[row] * (1.0 + math.copysign(0.0002, quantity))
                fee = abs(quantity) * price * 0.001
                one.apply_fill(row, quantity, price, reference_price=at[row], fee=fee)
        value = sum(one.quantities * np.array(at)) + one.cash
        assert one.equity == pytest.approx(value, rel=1e-12)  # also between fill and close
        at = [price * move for price, move in zip(at, moves, strict=True)]
        one.close_bars(dict(enumerate(at)))
        close_holdings(other.states, np.array(at))
        assert one.states.tobytes() == other.states.tobytes()
    assert one.fees_paid == other.fees_paid


def test_holdings_of_which_one_has_a_bar_keep_the_marks_and_ages_of_the_others() -> None:
    holdings = Holdings(1e5, [10.0, 20.0])
    fill(holdings, [0.5, 0.25], [10.0, 20.0])
    holdings.close_bars({0: 11.0, 1: 20.0})
    holdings.close_bars({0: 12.0})
    first, second = holdings.account(0).position, holdings.account(1).position
    assert (first.bars_held, second.bars_held) == (2, 1)
    assert holdings.mark_prices.tolist() == [12.0, 20.0]
    assert holdings.equity == 1e5 + 0.5e5 * 0.2 == holdings.account(1).equity
    with pytest.raises(InvalidInputError, match="targets must be 2 numbers"):
        holdings.plan_trades(np.zeros(3), TradingTerms())
