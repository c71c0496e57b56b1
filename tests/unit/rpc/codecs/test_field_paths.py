"""Names of refused fields in the messages of a call."""

import pytest
from google.protobuf.descriptor import Descriptor

from tradewind.api.risk.v1 import risk_pb2
from tradewind.errors import FieldViolation, RiskInputError
from tradewind.rpc.codecs.field_paths import renamed, risk_field

PATHS = {
    "trade_timestamps[0]": "inputs.trades[0].timestamp",
    "trade_notionals[12]": "inputs.trades[12].notional",
    "trade_timestamps": "inputs.trades",
    "timestamps[3]": "inputs.timestamps[3]",
    "portfolio_values": "inputs.portfolio_values",
    "positions[1].symbol": "inputs.positions[1].symbol",
    "options[0].kind": "inputs.options[0].kind",
    "order_books['A.bid_sizes[2]'].ask_prices[3]": (
        "inputs.order_books['A.bid_sizes[2]'].asks[3].price"
    ),
    "order_books['BTC'].bid_sizes": "inputs.order_books['BTC'].bids",
    "order_books['BTC'].bids": "inputs.order_books['BTC'].bids",
    "now": "inputs.now",
    "intended_order.price": "intended_order.price",
    "": "",
}


@pytest.mark.parametrize(("field", "path"), PATHS.items())
def test_risk_field_is_a_path_of_the_request(field: str, path: str) -> None:
    assert risk_field(field, "inputs") == path
    described: Descriptor | None = risk_pb2.EvaluateRequest.DESCRIPTOR
    for step in path.replace("'A.bid_sizes[2]'", "").replace("'BTC'", "").split("."):
        if step:
            assert described is not None
            described = described.fields_by_name[step.partition("[")[0]].message_type
            if described is not None and described.GetOptions().map_entry:
                described = described.fields_by_name["value"].message_type


def test_renamed_keeps_the_kind_the_reason_and_the_message() -> None:
    error = RiskInputError(
        "risk inputs are refused",
        [FieldViolation("a", "one"), FieldViolation("b", "two: 2")],
        metadata={"m": "n"},
    )
    moved = renamed(error, lambda field: f"inputs.{field}")
    assert type(moved) is RiskInputError
    assert str(moved) == "risk inputs are refused: inputs.a: one; inputs.b: two: 2"
    assert moved.metadata == {"m": "n"}
