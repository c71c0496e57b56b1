"""Pre-trade checks: the account after the order, and the largest order that breaks no limit."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tradewind.errors import RiskInputError
from tradewind.risk.inputs import OrderBook, Position, RiskInputs
from tradewind.risk.pretrade import (
    POSITION_METRICS,
    IntendedOrder,
    PreTradeLimits,
    check_order,
)


def book(bids: list[tuple[float, float]], asks: list[tuple[float, float]]) -> OrderBook:
    columns = [np.array(side, dtype=np.float64).reshape(-1, 2) for side in (bids, asks)]
    return OrderBook(columns[0][:, 0], columns[0][:, 1], columns[1][:, 0], columns[1][:, 1])


BOOK = book([(99.0, 5.0), (98.0, 10.0)], [(101.0, 5.0), (102.0, 10.0)])


def account(**values: object) -> RiskInputs:
    defaults: dict[str, object] = {
        "positions": (Position("BTC", 10.0, 100.0), Position("ETH", -50.0, 20.0)),
        "capital_base": 1_000.0,
        "average_daily_volumes": {"BTC": 1_000.0},
        "order_books": {"BTC": BOOK},
    }
    return RiskInputs(**{**defaults, **values})  # type: ignore[arg-type]


def test_check_with_a_buy_gives_the_account_after_it() -> None:
    check = check_order(IntendedOrder("BTC", 10.0, 100.0), account(), PreTradeLimits())
    assert check.position_after == 20.0
    assert check.values == {
        "pre_trade.order_notional": 1_000.0,
        "pre_trade.position_notional": 2_000.0,
        "pre_trade.gross_leverage": 3.0,
        "pre_trade.adv_participation": 0.02,
        # five at 101 and five at 102 are 101.5 on average, against a mid of 100
        "pre_trade.book_impact": pytest.approx(0.015, rel=1e-15),
    }
    assert check.allowed_quantity is None
    assert "no pre-trade limit" in check.unavailable["allowed_quantity"]


def test_check_with_a_sell_walks_the_bids() -> None:
    check = check_order(IntendedOrder("BTC", -15.0, 100.0), account(), PreTradeLimits())
    assert check.position_after == -5.0
    assert not check.reduces_only
    assert check.values["pre_trade.book_impact"] == pytest.approx((5 * 1 + 10 * 2) / 15 / 100)


def test_check_with_an_order_that_reduces_the_position_is_exempt_from_position_limits() -> None:
    over = account(positions=(Position("BTC", 1_000.0, 100.0),))
    limits = PreTradeLimits(gross_leverage=1.0, position_notional=10.0)
    check = check_order(IntendedOrder("BTC", -400.0, 100.0), over, limits)
    assert check.reduces_only
    assert check.not_applicable == POSITION_METRICS
    # Down to nothing, and on to the 10 of notional that the other direction may have.
    assert check.allowed_quantity == pytest.approx(-1_000.1, rel=1e-12)
    assert check.binding_limit == "pre_trade.position_notional"


def test_check_with_no_room_left_allows_nothing_more() -> None:
    check = check_order(
        IntendedOrder("BTC", 1.0, 100.0), account(), PreTradeLimits(gross_leverage=1.5)
    )
    assert check.allowed_quantity == 0.0
    assert check.binding_limit == "pre_trade.gross_leverage"


def test_check_with_a_book_thinner_than_the_order_says_so() -> None:
    check = check_order(
        IntendedOrder("BTC", 16.0, 100.0), account(), PreTradeLimits(book_impact=0.5)
    )
    assert "holds 15" in check.unavailable["pre_trade.book_impact"]
    assert check.allowed_quantity == 15.0
    assert check.binding_limit == "book_depth"


@pytest.mark.parametrize(
    ("missing", "metric", "reason"),
    [
        ({"capital_base": None}, "gross_leverage", "not given"),
        ({"capital_base": 0.0}, "gross_leverage", "positive"),
        ({"capital_base": -5.0}, "gross_leverage", "positive"),
        ({"capital_base": math.nan}, "gross_leverage", "finite"),
        ({"average_daily_volumes": {}}, "adv_participation", "not given"),
        ({"average_daily_volumes": {"BTC": 0.0}}, "adv_participation", "positive"),
        ({"order_books": {}}, "book_impact", "not given"),
        ({"order_books": {"BTC": book([], [(1.0, 1.0)])}}, "book_impact", "no bids"),
        ({"order_books": {"BTC": book([(9.0, 1.0)], [])}}, "book_impact", "no asks"),
        ({"order_books": {"BTC": book([(9.0, 1.0)], [(8.0, 1.0)])}}, "book_impact", "crossed"),
        ({"order_books": {"BTC": book([(9.0, -1.0)], [(10.0, 1.0)])}}, "book_impact", "bids[0]"),
        (
            {"order_books": {"BTC": book([(9.0, 1.0)], [(10.0, 1.0), (math.nan, 1.0)])}},
            "book_impact",
            "asks[1]",
        ),
        (
            {"order_books": {"BTC": book([(9.0, 1.0)], [(11.0, 1.0), (10.0, 1.0)])}},
            "book_impact",
            "better than the level before",
        ),
    ],
)
def test_check_with_unusable_data_makes_the_metric_and_the_allowance_unavailable(
    missing: dict[str, object], metric: str, reason: str
) -> None:
    limits = PreTradeLimits(gross_leverage=9.0, adv_participation=0.5, book_impact=0.1)
    check = check_order(IntendedOrder("BTC", 1.0, 100.0), account(**missing), limits)
    assert f"pre_trade.{metric}" not in check.values
    assert reason in check.unavailable[f"pre_trade.{metric}"]
    assert check.allowed_quantity is None
    assert metric in check.unavailable["allowed_quantity"]


LIMITS = PreTradeLimits(order_notional=50_000.0, position_notional=60_000.0, gross_leverage=2.0)


def test_sell_of_a_thousand_at_a_cent_is_valued_at_the_market() -> None:
    inputs = account(
        positions=(Position("BTC", 0.0, 30_000.0), Position("ETH", 1.0, 2_000.0)),
        capital_base=100_000.0,
        order_books={},
    )
    check = check_order(IntendedOrder("BTC", -1_000.0, 0.01), inputs, LIMITS)
    assert check.values["pre_trade.order_notional"] == 3e7
    assert check.values["pre_trade.position_notional"] == 3e7
    assert check.values["pre_trade.gross_leverage"] == pytest.approx(300.02)
    # 50,000 of 30,000 a unit, and not five million units.
    assert check.allowed_quantity == pytest.approx(-50_000.0 / 30_000.0)


@pytest.mark.parametrize("quantity", [5.0, -5.0, -15.0])
@pytest.mark.parametrize("price", [1e-9, 60.0, 100.0, 150.0, 1e9])
def test_order_is_valued_at_the_worse_price_and_what_is_held_at_its_mark(
    quantity: float, price: float
) -> None:
    order = IntendedOrder("BTC", quantity, price)
    check = check_order(order, account(order_books={}), PreTradeLimits())
    worse = max(price, 100.0)
    # Ten are held at 100: an order against them leaves the rest at 100 and adds what goes beyond.
    kept, added = {5.0: (10.0, 5.0), -5.0: (5.0, 0.0), -15.0: (0.0, 5.0)}[quantity]
    notional = kept * 100.0 + added * worse
    values = check.values
    assert values["pre_trade.order_notional"] == abs(quantity) * worse
    assert values["pre_trade.position_notional"] == pytest.approx(notional, rel=1e-12)
    assert values["pre_trade.gross_leverage"] == pytest.approx((notional + 1_000.0) / 1_000.0)


def test_order_below_the_mid_of_its_book_is_valued_at_the_mid() -> None:
    flat = account(positions=(Position("ETH", 1.0, 20.0),))
    check = check_order(IntendedOrder("BTC", -3.0, 0.01), flat, PreTradeLimits())
    assert check.values["pre_trade.order_notional"] == 300.0
    stale = account(positions=(Position("BTC", 0.0, 80.0),))
    check = check_order(IntendedOrder("BTC", -3.0, 90.0), stale, PreTradeLimits())
    assert check.values["pre_trade.order_notional"] == 300.0


CROSSED = book([(101.0, 5.0)], [(99.0, 5.0)])


@pytest.mark.parametrize(
    "positions",
    [
        (Position("ETH", 1.0, 20.0),),
        (Position("BTC", 0.0, 0.0),),
        (Position("BTC", 0.0, -1.0),),
        (Position("BTC", 0.0, math.nan),),
        (Position("BTC", 2.0, math.inf),),
    ],
)
@pytest.mark.parametrize("books", [{}, {"BTC": CROSSED}, {"ETH": BOOK}])
def test_order_without_a_known_market_price_has_no_value_and_is_not_allowed(
    positions: tuple[Position, ...], books: dict[str, OrderBook]
) -> None:
    inputs = account(positions=positions, order_books=books)
    for quantity in (1.0, -1.0):
        check = check_order(IntendedOrder("BTC", quantity, 100.0), inputs, LIMITS)
        for metric in ("order_notional", "position_notional", "gross_leverage"):
            assert f"pre_trade.{metric}" not in check.values
            assert "no market price of BTC is known" in check.unavailable[f"pre_trade.{metric}"]
        assert check.allowed_quantity is None
        assert "no market price" in check.unavailable["allowed_quantity"]


def test_order_beside_a_position_without_a_mark_is_valued_by_the_book_and_the_rest_is_not() -> None:
    inputs = account(positions=(Position("BTC", 2.0, math.nan),))
    check = check_order(IntendedOrder("BTC", 1.0, 1.0), inputs, LIMITS)
    assert check.values["pre_trade.order_notional"] == 100.0
    assert check.unavailable.keys() >= {"pre_trade.position_notional", "pre_trade.gross_leverage"}


@pytest.mark.parametrize("price", [0.0, -5.0, math.nan, math.inf])
def test_other_position_without_a_price_is_not_taken_for_worthless(price: float) -> None:
    inputs = account(positions=(Position("BTC", 1.0, 100.0), Position("ETH", -50.0, price)))
    check = check_order(IntendedOrder("BTC", 1.0, 100.0), inputs, LIMITS)
    assert "ETH" in check.unavailable["pre_trade.gross_leverage"]
    # Of what is not held no price is needed.
    flat = account(positions=(Position("BTC", 1.0, 100.0), Position("ETH", 0.0, price)))
    check = check_order(IntendedOrder("BTC", 1.0, 100.0), flat, LIMITS)
    assert check.values["pre_trade.gross_leverage"] == pytest.approx(0.2)


def test_check_with_no_positions_does_not_take_the_account_for_flat() -> None:
    check = check_order(IntendedOrder("BTC", 1.0, 100.0), account(positions=()), PreTradeLimits())
    assert check.position_after is None
    assert not check.reduces_only
    assert check.unavailable.keys() >= POSITION_METRICS
    flat = account(positions=(Position("BTC", 0.0, 100.0),))
    assert check_order(IntendedOrder("BTC", 1.0, 100.0), flat, PreTradeLimits()).position_after == 1


def test_check_with_a_held_quantity_that_is_not_finite_makes_position_metrics_unavailable() -> None:
    broken = account(positions=(Position("BTC", math.nan, 100.0),))
    check = check_order(IntendedOrder("BTC", 1.0, 100.0), broken, PreTradeLimits())
    assert check.position_after is None
    assert check.unavailable.keys() >= POSITION_METRICS


@pytest.mark.parametrize(
    ("order", "fields"),
    [
        (IntendedOrder("", 1.0, 1.0), ["intended_order.symbol"]),
        (IntendedOrder("BTC", 0.0, 1.0), ["intended_order.quantity"]),
        (IntendedOrder("BTC", math.nan, -1.0), ["intended_order.quantity", "intended_order.price"]),
        (
            IntendedOrder("BTC", math.inf, math.inf),
            ["intended_order.quantity", "intended_order.price"],
        ),
        (IntendedOrder("BTC", 1.0, 0.0), ["intended_order.price"]),
    ],
)
def test_check_with_an_impossible_order_names_the_fields(
    order: IntendedOrder, fields: list[str]
) -> None:
    with pytest.raises(RiskInputError) as caught:
        check_order(order, account(), PreTradeLimits())
    assert [violation.field for violation in caught.value.violations] == fields


size = st.floats(1e-6, 1e6)
level = st.tuples(st.floats(0.01, 5.0), st.floats(0.1, 1e4))
limit = st.none() | st.floats(1e-3, 1e6)


@given(
    quantity=st.builds(math.copysign, size, st.sampled_from([1.0, -1.0])),
    price=st.floats(0.01, 1e5),
    mark=st.none() | st.floats(0.01, 1e5),
    held=st.floats(-1e6, 1e6),
    other=st.floats(-1e6, 1e6),
    capital=st.floats(1.0, 1e7),
    volume=st.floats(1.0, 1e7),
    steps=st.lists(level, min_size=1, max_size=6),
    limits=st.builds(
        PreTradeLimits,
        order_notional=limit,
        position_notional=limit,
        gross_leverage=limit,
        adv_participation=limit,
        book_impact=st.none() | st.floats(1e-4, 0.5),
    ),
)
def test_allowed_quantity_with_any_account_breaks_no_limit_and_a_little_more_does(
    quantity: float,
    price: float,
    mark: float | None,
    held: float,
    other: float,
    capital: float,
    volume: float,
    steps: list[tuple[float, float]],
    limits: PreTradeLimits,
) -> None:
    assume(limits.by_metric())
    offsets = np.cumsum([step for step, _ in steps])
    sizes = np.array([amount for _, amount in steps])
    mid = offsets[-1] * 1.01  # keeps the lowest bid positive
    worst = max(price, mid, mark or 0.0)
    inputs = RiskInputs(
        positions=(
            Position("BTC", held, price if mark is None else mark),
            Position("ETH", other, 1.0),
        ),
        capital_base=capital,
        average_daily_volumes={"BTC": volume},
        order_books={"BTC": OrderBook(mid - offsets, sizes, mid + offsets, sizes)},
    )

    def broken(amount: float) -> bool:
        check = check_order(
            IntendedOrder("BTC", math.copysign(amount, quantity), price), inputs, limits
        )
        return any(
            metric not in check.not_applicable and not check.values.get(metric, math.inf) <= bound
            for metric, bound in limits.by_metric().items()
        )

    check = check_order(IntendedOrder("BTC", quantity, price), inputs, limits)
    assert check.allowed_quantity is not None
    allowed = abs(check.allowed_quantity)
    assert math.copysign(1.0, check.allowed_quantity) == math.copysign(1.0, quantity)
    if allowed > 0.0:
        assert not broken(allowed)
    rounding = 1e-9 * (allowed + abs(held) + (abs(other) + capital) / worst)
    assert broken(allowed + rounding + 1e-9)
