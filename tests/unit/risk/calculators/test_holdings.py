"""Concentration, leverage, participation, depth shock and stress."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import RiskInputError
from tradewind.risk import (
    OptionPosition,
    OrderBook,
    Position,
    RiskAgentV2,
    RiskPolicy,
    RiskReport,
)
from tradewind.risk.calculators.black_scholes import price_of

Report = Callable[..., RiskReport]
Agent = Callable[..., RiskAgentV2]
PLAIN = RiskAgentV2(RiskPolicy())

quantities = st.floats(-1e3, 1e3).map(lambda value: round(value, 3))
holdings = st.lists(st.tuples(quantities, st.floats(0.01, 1e4)), min_size=1, max_size=8)


@settings(max_examples=50)
@given(rows=holdings)
def test_concentration_and_leverage_with_any_positions_are_those_of_the_definition(
    rows: list[tuple[float, float]],
) -> None:
    positions = [
        Position(f"S{index}", quantity, price) for index, (quantity, price) in enumerate(rows)
    ]
    found = PLAIN.calculate_only({"positions": positions, "capital_base": 1e5}).metric_values
    notionals = np.array([quantity * price for quantity, price in rows])
    gross = np.abs(notionals).sum()
    weights = np.abs(notionals) / gross if gross else np.zeros(len(rows))
    assert found["gross_leverage"] == pytest.approx(gross / 1e5, rel=1e-12)
    assert found["net_leverage"] == pytest.approx(abs(notionals.sum()) / 1e5, abs=1e-9)
    assert found["max_position_weight"] == pytest.approx(weights.max(), rel=1e-12)
    assert found["herfindahl_index"] == pytest.approx((weights**2).sum(), rel=1e-12)


def test_holdings_with_a_flat_account_are_zero_without_prices_books_or_volumes(
    report_of: Report,
) -> None:
    found = report_of(positions=[Position("BTC", 0.0, np.nan)], capital_base=1.0).metric_values
    for metric in (
        "gross_leverage",
        "net_leverage",
        "max_position_weight",
        "herfindahl_index",
        "depth_shock",
        "adv_participation",
        "stress_loss",
    ):
        assert str(found[metric]) == "0.0"


def test_holdings_without_positions_say_how_to_say_that_there_is_none(report_of: Report) -> None:
    unavailable = report_of(capital_base=1.0).unavailable
    for metric in ("gross_leverage", "herfindahl_index", "depth_shock", "stress_loss"):
        assert "quantity 0" in unavailable[metric]


@pytest.mark.parametrize(
    ("position", "reason"),
    [
        (Position("B", np.nan, 1.0), "positions[1].quantity is not finite"),
        (Position("B", 1.0, np.inf), "positions[1].price is not finite"),
        (Position("B", -1.0, 0.0), "positions[1].price is not positive"),
    ],
)
def test_leverage_with_an_unusable_position_names_it(
    report_of: Report, position: Position, reason: str
) -> None:
    report = report_of(positions=[Position("A", 1.0, 1.0), position], capital_base=1.0)
    for metric in ("gross_leverage", "max_position_weight", "stress_loss_crash"):
        assert report.unavailable[metric] == reason


def test_positions_with_a_repeated_symbol_are_refused(report_of: Report) -> None:
    with pytest.raises(RiskInputError) as caught:
        report_of(positions=[Position("A", 1.0, 1.0), Position("A", 2.0, 1.0)])
    assert [violation.field for violation in caught.value.violations] == ["positions[1]"]


def test_participation_with_several_positions_is_that_of_the_worst(report_of: Report) -> None:
    report = report_of(
        positions=[Position("A", -30.0, 1.0), Position("B", 1.0, 1.0)],
        average_daily_volumes={"A": 1_000.0, "B": 100.0, "C": 1.0},
    )
    assert report.metric_values["adv_participation"] == 0.03


@pytest.mark.parametrize(
    ("volumes", "reason"),
    [
        ({}, "average_daily_volumes: none for positions[0] (A)"),
        ({"A": 0.0}, "average_daily_volumes['A'] is not positive"),
        ({"A": -3.0}, "average_daily_volumes['A'] is not positive"),
        ({"A": np.nan}, "average_daily_volumes['A'] is not finite"),
    ],
)
def test_participation_without_a_usable_volume_is_unavailable(
    report_of: Report, volumes: dict[str, float], reason: str
) -> None:
    report = report_of(positions=[Position("A", 1.0, 1.0)], average_daily_volumes=volumes)
    assert report.unavailable["adv_participation"] == reason


def book(bids: list[tuple[float, float]], asks: list[tuple[float, float]]) -> OrderBook:
    return OrderBook(
        np.array([price for price, _ in bids]),
        np.array([size for _, size in bids]),
        np.array([price for price, _ in asks]),
        np.array([size for _, size in asks]),
    )


BIDS = [(99.0, 1.0), (98.0, 2.0), (90.0, 5.0)]
ASKS = [(101.0, 1.0), (103.0, 2.0), (110.0, 5.0)]
BOOK = book(BIDS, ASKS)


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        (1.0, 1.0 - 99.0 / 100.0),
        (3.0, 1.0 - (99.0 + 2 * 98.0) / 300.0),
        (5.0, 1.0 - (99.0 + 2 * 98.0 + 2 * 90.0) / 500.0),
        (-2.0, (101.0 + 103.0) / 200.0 - 1.0),
        (-8.0, (101.0 + 2 * 103.0 + 5 * 110.0) / 800.0 - 1.0),
    ],
)
def test_depth_shock_with_a_position_walks_its_side_of_the_book(
    report_of: Report, quantity: float, expected: float
) -> None:
    report = report_of(positions=[Position("A", quantity, 100.0)], order_books={"A": BOOK})
    assert report.metric_values["depth_shock"] == pytest.approx(expected, rel=1e-12)


def test_depth_shock_with_several_positions_is_the_worst_and_finds_each_book(
    report_of: Report,
) -> None:
    tight = book([(99.9, 50.0)], [(100.1, 50.0)])
    report = report_of(
        positions=[Position("A", 20.0, 100.0), Position("B", 3.0, 100.0)],
        order_books={"unheld": BOOK, "B": BOOK, "A": tight},
    )
    expected = 1.0 - (99.0 + 2 * 98.0) / 300.0
    assert report.metric_values["depth_shock"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("books", "reason"),
    [
        ({}, "order_books: none for positions[0] (A)"),
        ({"A": book([(99.0, 4.0)], [(101.0, 9.0)])}, "order_books: too few levels to liquidate"),
        ({"A": book([], [(101.0, 9.0)])}, "order_books: too few levels to liquidate"),
        ({"A": book([(99.0, 9.0)], [])}, "order_books: too few levels to liquidate"),
        (
            {"A": book([(99.0, 9.0)], [(101.0, np.nan)])},
            "order_books['A'].asks[0].size is not finite",
        ),
        (
            {"A": book([(99.0, 4.0), (-1.0, 1.0)], [(101.0, 1.0)])},
            "order_books['A'].bids[1].price is not positive",
        ),
        (
            {"A": book([(102.0, 9.0)], [(101.0, 1.0)])},
            "order_books['A']: the best bid is above the best ask",
        ),
        (
            {"A": book([(99.0, 1.0), (99.5, 9.0)], [(101.0, 1.0)])},
            "order_books['A'].bids[1].price is better than that of the level before it",
        ),
        (
            {"A": book([(99.0, 9.0)], [(101.0, -1.0)])},
            "order_books['A'].asks[0].size is negative",
        ),
    ],
)
def test_depth_shock_without_a_usable_book_is_unavailable(
    report_of: Report, books: dict[str, OrderBook], reason: str
) -> None:
    report = report_of(positions=[Position("A", 5.0, 100.0)], order_books=books)
    assert report.unavailable["depth_shock"].startswith(reason)


JUNK = {
    "crossed": book([(102.0, 1.0)], [(101.0, 1.0)]),
    "unsorted bids": book([(99.0, 1.0), (99.5, 1.0)], [(101.0, 1.0)]),
    "unsorted asks": book([(99.0, 1.0)], [(101.0, 1.0), (100.0, 1.0)]),
    "negative size": book([(99.0, -1.0)], [(101.0, 1.0)]),
    "nan": book([(np.nan, 1.0)], [(101.0, np.nan)]),
    "one side": book([], [(101.0, 1.0)]),
    "empty": book([], []),
}


@pytest.mark.parametrize("wrong", JUNK.values(), ids=JUNK)
def test_junk_book_of_what_is_not_held_changes_nothing(report_of: Report, wrong: OrderBook) -> None:
    account: dict[str, Any] = {
        "portfolio_values": [100.0, 55.0],
        "positions": [Position("A", 3.0, 100.0), Position("F", 0.0, 1.0)],
    }
    clean = report_of(order_books={"A": BOOK}, **account)
    assert "depth_shock" in clean.metric_values
    assert report_of(order_books={"W": wrong, "A": BOOK, "F": wrong}, **account) == clean


@pytest.mark.parametrize("wrong", JUNK.values(), ids=JUNK)
def test_junk_book_of_what_is_held_leaves_every_other_metric(
    report_of: Report, wrong: OrderBook
) -> None:
    account: dict[str, Any] = {
        "portfolio_values": [100.0, 55.0],
        "positions": [Position("A", 3.0, 100.0), Position("W", -2.0, 100.0)],
    }
    clean = report_of(order_books={"A": BOOK, "W": BOOK}, **account)
    found = report_of(order_books={"A": BOOK, "W": wrong}, **account)
    assert "W" in found.unavailable["depth_shock"]
    left = {name: value for name, value in clean.metric_values.items() if name != "depth_shock"}
    assert found.metric_values == left


@pytest.mark.parametrize(
    ("quantity", "book_of_it"),
    [
        # Taken from the first two bids; what follows, and the other side behind its best, is junk.
        (3.0, book([*BIDS[:2], (np.nan, 1.0)], [(101.0, 1.0), (np.inf, -1.0)])),
        (3.0, book([*BIDS[:2], (98.5, 1.0)], [(101.0, 1.0), (100.5, 1.0)])),
        (3.0, book([*BIDS[:2], (90.0, -5.0)], [(101.0, 1.0), (0.0, 1.0)])),
        (-3.0, book([(99.0, 1.0), (-1.0, np.nan)], [*ASKS[:2], (np.nan, np.nan)])),
    ],
)
def test_depth_shock_with_junk_behind_the_levels_it_takes_is_known(
    report_of: Report, quantity: float, book_of_it: OrderBook
) -> None:
    positions = [Position("A", quantity, 100.0)]
    clean = report_of(positions=positions, order_books={"A": BOOK}).metric_values
    found = report_of(positions=positions, order_books={"A": book_of_it}).metric_values
    assert found["depth_shock"] == clean["depth_shock"]


STRESS = {
    "scenarios": {
        "crash": {"price_shocks": {"BTC": -0.5, "ETH": -0.6}, "volatility_shock": 1.0},
        "rally": {"price_shocks": {"BTC": 0.2}, "other_price_shock": 0.1},
    }
}
OPTION: dict[str, Any] = {
    "symbol": "BTC",
    "kind": "put",
    "quantity": 3.0,
    "multiplier": 2.0,
    "underlying_price": 100.0,
    "strike": 90.0,
    "years_to_expiry": 0.5,
    "volatility": 0.6,
    "risk_free_rate": 0.02,
}


def put_value(price: float, volatility: float) -> float:
    return price_of(-1.0, price, 90.0, 0.5, volatility, 0.02, 0.0)


def test_stress_with_positions_and_options_revalues_both(agent_of: Agent) -> None:
    found = (
        agent_of(stress=STRESS)
        .calculate_only(
            {
                "positions": [Position("BTC", 10.0, 100.0), Position("ETH", -5.0, 20.0)],
                "options": [OPTION],
                "capital_base": 2_000.0,
            }
        )
        .metric_values
    )
    crash = -(1_000.0 * -0.5 - 100.0 * -0.6 + 6.0 * (put_value(50.0, 1.2) - put_value(100.0, 0.6)))
    rally = -(1_000.0 * 0.2 - 100.0 * 0.1 + 6.0 * (put_value(120.0, 0.6) - put_value(100.0, 0.6)))
    assert found["stress_loss_crash"] == pytest.approx(crash / 2_000.0, rel=1e-12)
    assert found["stress_loss_rally"] == pytest.approx(rally / 2_000.0, rel=1e-12)
    assert found["stress_loss"] == max(found["stress_loss_crash"], found["stress_loss_rally"])


def test_stress_with_a_symbol_without_shock_is_unavailable(agent_of: Agent) -> None:
    report = agent_of(stress=STRESS).calculate_only(
        {"positions": [Position("BTC", 1.0, 1.0), Position("XRP", 1.0, 1.0)], "capital_base": 1.0}
    )
    reason = "the scenario has no shock for positions[1]"
    assert report.unavailable["stress_loss_crash"] == reason
    assert report.unavailable["stress_loss"] == reason
    assert report.metric_values["stress_loss_rally"] == pytest.approx(-0.3)


def test_stress_with_a_price_of_zero_leaves_a_put_its_discounted_strike() -> None:
    assert put_value(0.0, 0.6) == pytest.approx(90.0 * np.exp(-0.01), rel=1e-15)
    assert price_of(1.0, 0.0, 90.0, 0.5, 0.6, 0.02, 0.0) == 0.0


def test_stress_with_options_alone_needs_no_positions(agent_of: Agent) -> None:
    inputs = {"options": [OptionPosition(**OPTION)], "capital_base": 100.0}
    found = agent_of(stress=STRESS).calculate_only(inputs).metric_values
    assert found["stress_loss_crash"] < 0.0 < found["stress_loss_rally"]
