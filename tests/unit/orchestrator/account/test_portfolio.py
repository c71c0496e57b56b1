"""Accounts of one symbol and of several, side by side."""

from typing import Any

import numpy as np
import pytest

from orchestrator.account.portfolio import Allocation, Portfolio, read_allocations
from orchestrator.analysis.decision_replay.desk import divide
from orchestrator.brokers import Holdings
from orchestrator.decision_log import BarRecord, FillRecord
from orchestrator.settings import OrchestratorSettings
from tradewind.errors import ConflictError, InvalidInputError, SettingsError
from tradewind.market import Account, Instrument, TradingTerms
from tradewind.settings import parse_settings

PANEL = Allocation(("BTC", "ETH"), "panel", 1_000.0)
ALONE = Allocation(("LTC",), "alone", 500.0)
TERMS = TradingTerms(
    actions="continuous", allow_short=True, gross_limit=1.5, transaction_cost=0.0, slippage=0.0
)


def bar(symbol: str, close: float) -> BarRecord:
    return BarRecord(symbol, 0, close, close, close, close, 1.0, 0)


def fill(sequence: int, symbol: str, quantity: float, price: float, fee: float = 0.0) -> FillRecord:
    return FillRecord(sequence, "a", symbol, quantity, price, price, fee, 0)


@pytest.fixture
def portfolio() -> Portfolio:
    """A panel that is long BTC and short ETH, beside a symbol of its own."""
    found = Portfolio([PANEL, ALONE])
    found.close_bars([bar("ETH", 10.0)])
    assert (found.cash, found.equity, len(found.positions())) == (1_500.0, 1_500.0, 1)
    found.close_bars([bar("BTC", 100.0), bar("LTC", 5.0)])
    found.apply(
        [
            fill(1, "BTC", 5.0, 100.0, fee=1.0),
            fill(2, "ETH", -20.0, 10.0),
            fill(3, "LTC", 20.0, 5.0),
        ]
    )
    return found


def test_portfolio_with_a_panel_keeps_one_cash_for_its_symbols(portfolio: Portfolio) -> None:
    assert portfolio.cash == 1_500.0 - 1.0 - 500.0 + 200.0 - 100.0
    portfolio.close_bars([bar("BTC", 110.0)])  # the others have no bar
    assert portfolio.equity == 1_500.0 - 1.0 + 50.0
    account = portfolio.account("ETH")
    assert account is not None
    assert account.equity == 1_049.0
    assert portfolio.position("BTC").exposure == 550.0 / 1_049.0
    assert portfolio.position("ETH").exposure == -200.0 / 1_049.0
    assert (portfolio.position("BTC").bars_held, portfolio.position("ETH").bars_held) == (1, 0)
    assert portfolio.position("LTC").exposure == 100.0 / 500.0
    assert portfolio.fees_paid == 1.0
    held = Holdings(portfolio.cash, {"BTC": 5.0, "ETH": -20.0, "LTC": 20.0})
    portfolio.check_against(held, [])
    with pytest.raises(ConflictError, match="ETH -20.0 here, 0.0 there"):
        portfolio.check_against(Holdings(portfolio.cash, {"BTC": 5.0, "LTC": 20.0}), [])


def test_portfolio_wants_what_reduces_positions_first(portfolio: Portfolio) -> None:
    portfolio.close_bars([bar("BTC", 100.0), bar("ETH", 10.0), bar("LTC", 5.0)])
    equity = 999.0
    trades = portfolio.wanted_trades(PANEL.symbols, np.array([0.75, 0.25]), TERMS)
    assert [trade.symbol for trade in trades] == ["ETH", "BTC"]
    assert trades[0].quantity == pytest.approx(20.0 + 0.25 * equity / 10.0)
    assert trades[1].quantity == pytest.approx(0.75 * equity / 100.0 - 5.0)
    # The gross limit holds for both together.
    trades = portfolio.wanted_trades(PANEL.symbols, np.array([1.0, -1.0]), TERMS)
    assert {it.symbol: it.quantity for it in trades} == pytest.approx(
        {"BTC": 0.75 * equity / 100.0 - 5.0, "ETH": -0.75 * equity / 10.0 + 20.0}
    )
    # Too little of both together is left alone; NaN keeps a quantity.
    assert not portfolio.wanted_trades(PANEL.symbols, np.array([np.nan, -0.204]), TERMS)
    (one,) = portfolio.wanted_trades(PANEL.symbols, np.array([np.nan, 0.0]), TERMS)
    assert (one.symbol, one.quantity, one.price) == ("ETH", 20.0, 10.0)


def test_portfolio_of_one_symbol_is_an_account_to_the_last_bit() -> None:
    portfolio, account = Portfolio([ALONE]), Account(500.0, 3.3)
    portfolio.close_bars([bar("LTC", 3.3)])
    for sequence, (quantity, price) in enumerate([(7.1, 3.1), (-9.3, 3.7), (2.2, 2.9)], 1):
        portfolio.apply([fill(sequence, "LTC", quantity, price, fee=0.01)])
        portfolio.close_bars([bar("LTC", price * 1.01)])
        account.apply_fill(quantity, price, reference_price=price, fee=0.01)
        account.close_bar(price * 1.01)
        found = portfolio.account("LTC")
        assert found is not None
        assert found.state.tobytes() == account.state.tobytes()
        assert (portfolio.cash, portfolio.equity) == (account.cash, account.equity)


def test_facts_of_older_logs_have_allocations_of_one_symbol() -> None:
    items = [
        {"symbol": "BTC", "policy": "p", "cash": 5.0},
        {"symbols": ["ETH", "LTC"], "policy": "q", "cash": 7.0},
    ]
    assert read_allocations({"allocations": items}) == (
        Allocation(("BTC",), "p", 5.0),
        Allocation(("ETH", "LTC"), "q", 7.0),
    )


def settings(*allocations: dict[str, Any]) -> OrchestratorSettings:
    return parse_settings({"allocations": list(allocations)}, OrchestratorSettings)


def test_settings_of_allocations_take_one_symbol_or_several() -> None:
    both = settings(
        {"symbols": ["ETH", "BTC"], "policy": "p", "cash": 1}, {"symbol": "LTC", "policy": "q"}
    )
    assert both.symbols == ("ETH", "BTC", "LTC")
    assert parse_settings(both.model_dump(mode="json"), OrchestratorSettings) == both


@pytest.mark.parametrize(
    ("allocation", "says"),
    [
        ({"symbols": ["BTC", "BTC"]}, "each symbol may be allocated once: BTC, BTC"),
        ({"symbol": "BTC", "symbols": ["BTC"]}, "either symbol or symbols, not both"),
        ({"symbols": []}, r"allocations\[0\].symbols: .*at least 1 item"),
        ({"symbol": ""}, r"allocations\[0\].symbols\[0\]: .*at least 1 character"),
        ({}, r"allocations\[0\].symbols: Field required"),
    ],
)
def test_settings_of_allocations_that_say_nothing_clear_are_refused(
    allocation: dict[str, Any], says: str
) -> None:
    with pytest.raises(SettingsError, match=says):
        settings({"policy": "p", **allocation})


def test_cash_of_a_log_is_divided_among_what_another_policy_trades() -> None:
    three = Allocation(("ETH", "LTC", "XRP"), "p", 900.0)
    log = [three, Allocation(("BTC",), "q", 50.0)]
    each, idle = divide(log, (), "other")
    assert [(it.symbols, it.cash) for it in each] == [
        (("ETH",), 300.0), (("LTC",), 300.0), (("XRP",), 300.0), (("BTC",), 50.0),
    ]  # fmt: skip
    assert idle == []
    assert divide(log, three.symbols, "other")[0] == [Allocation(three.symbols, "other", 900.0)]
    (traded,), idle = divide(log, ("BTC", "LTC"), "other")
    assert traded == Allocation(("BTC", "LTC"), "other", 350.0)
    assert [(it.symbols, it.cash) for it in idle] == [(("ETH", "XRP"), 600.0)]
    with pytest.raises(InvalidInputError, match="does not trade EOS"):
        divide(log, ("BTC", "EOS"), "other")


def test_portfolio_charges_what_it_carries_and_agrees_with_books_that_do_not_have_it() -> None:
    hour = 3_600 * 10**9
    found = Portfolio([Allocation(("BTC",), "p", 10_000.0)])
    found.carry({"BTC": Instrument(funding=0.001, funding_hours=2.0, borrow_cost=0.0)}, hour)

    def close(number: int, price: float) -> None:
        found.close_bars(
            [BarRecord("BTC", number * hour, price, price, price, price, 1.0, (number + 1) * hour)]
        )

    close(0, 100.0)
    found.apply([fill(1, "BTC", 10.0, 100.0)])
    close(1, 110.0)  # a period ends with it
    assert found.carry_paid == pytest.approx(1.1)
    assert found.cash == pytest.approx(8_998.9)
    close(2, 120.0)
    assert found.carry_paid == pytest.approx(1.1)
    close(1, 110.0)  # one that comes late is not charged again
    close(7, 100.0)  # three periods in a gap
    assert found.carry_paid == pytest.approx(1.1 + 3.0)
    assert found.equity == pytest.approx(10_000.0 - 4.1)
    found.check_against(Holdings(9_000.0, {"BTC": 10.0}), [])
