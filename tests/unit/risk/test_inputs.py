"""What risk inputs accept, and how they say what is wrong."""

from typing import Any

import numpy as np
import pytest

from tradewind.errors import RiskInputError
from tradewind.risk import OptionPosition, OrderBook, Position, RiskInputs


def fields_of(error: RiskInputError) -> list[str]:
    return [violation.field for violation in error.violations]


@pytest.mark.parametrize(
    "values", [[1, 2, 3], (1.0, 2.0, 3.0), range(1, 4), np.array([1, 2, 3], dtype=np.float32)]
)
def test_series_from_any_sequence_of_numbers_are_float64(values: Any) -> None:
    inputs = RiskInputs.from_mapping({"portfolio_values": values})
    assert inputs.portfolio_values.dtype == np.float64
    assert inputs.portfolio_values.tolist() == [1.0, 2.0, 3.0]


def test_series_that_fits_is_taken_without_a_copy() -> None:
    values = np.array([1.0, 2.0])
    assert RiskInputs(portfolio_values=values).portfolio_values is values


@pytest.mark.parametrize(
    ("mapping", "field"),
    [
        ({"portfolio_values": [1.0, 2.0], "timestamps": [1.0]}, "timestamps"),
        ({"timestamps": [1.0]}, "timestamps"),
        ({"trade_timestamps": [1.0]}, "trade_notionals"),
        ({"trade_notionals": [1.0]}, "trade_notionals"),
        ({"price_changes": [1.0, 2.0], "order_flows": [1.0]}, "order_flows"),
        ({"portfolio_values": [[1.0]]}, "portfolio_values"),
        ({"portfolio_values": ["high"]}, "portfolio_values"),
        ({"returns": None}, "returns"),
        ({"values": [1.0]}, "values"),
        ({"positions": 3}, "positions"),
        ({"positions": [("BTC", 1.0, 2.0)]}, "positions[0]"),
        ({"positions": [{"symbol": "BTC", "quantity": 1.0}]}, "positions[0]"),
        ({"positions": [{"symbol": "B", "quantity": 1.0, "prize": 1}]}, "positions[0].prize"),
        ({"order_books": [1]}, "order_books"),
        ({"order_books": {"BTC": {"bids": []}}}, "order_books['BTC'].bids"),
        ({"feed_timestamps": 1.0}, "feed_timestamps"),
        ({"options": [{"symbol": "BTC"}]}, "options[0]"),
    ],
)
def test_mapping_with_a_wrong_field_names_it(mapping: dict[str, Any], field: str) -> None:
    with pytest.raises(RiskInputError) as caught:
        RiskInputs.from_mapping(mapping)
    assert fields_of(caught.value) == [field]


def test_option_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(RiskInputError, match="options.kind: must be 'call' or 'put', not 'Call'"):
        OptionPosition("BTC", "Call", 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)  # type: ignore[arg-type]


def test_order_book_with_sides_of_different_lengths_is_refused() -> None:
    with pytest.raises(RiskInputError) as caught:
        OrderBook(np.ones(2), np.ones(1), np.ones(1), np.ones(1))
    assert fields_of(caught.value) == ["bid_sizes"]


def test_mapping_with_nested_mappings_builds_their_classes() -> None:
    book = {"bid_prices": [1], "bid_sizes": [2], "ask_prices": [3], "ask_sizes": [4]}
    option: dict[str, Any] = {
        "symbol": "BTC",
        "kind": "put",
        "quantity": 1.0,
        "multiplier": 1.0,
        "underlying_price": 100.0,
        "strike": 90.0,
        "years_to_expiry": 0.5,
        "volatility": 0.5,
    }
    inputs = RiskInputs.from_mapping(
        {
            "positions": [{"symbol": "BTC", "quantity": 1.0, "price": 2.0}],
            "order_books": {"BTC": book},
            "options": [option],
        }
    )
    assert inputs.positions == (Position("BTC", 1.0, 2.0),)
    assert inputs.order_books["BTC"].ask_sizes.tolist() == [4.0]
    assert inputs.options == (OptionPosition(**option),)
