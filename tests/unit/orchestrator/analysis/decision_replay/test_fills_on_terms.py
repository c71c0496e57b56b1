"""Fills of a broker that cannot be traded again, held against their orders and its terms."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.analysis.decision_replay.fills import (
    hold_against_terms,
    not_traded_again,
    open_paper_broker,
    paper_stands_for,
)
from orchestrator.analysis.decision_replay.findings import same_value
from orchestrator.analysis.decision_replay.ticks import LoggedTick
from orchestrator.brokers import BrokerTerms, PaperBrokerSettings
from orchestrator.decision_log import FillRecord, LogPart, OrderRecord

FEE = BrokerTerms(name="venue", fee=0.003)
BUY = OrderRecord("0-BTC", "BTC", 2.0, 100.0, "POLICY", True, "LIMIT", 101.0)
SELL = OrderRecord("0-ETH", "ETH", -4.0, 50.0, "FLATTEN", True)
UNSENT = OrderRecord("0-LTC", "LTC", 4.0, 50.0, "RISK_HALT", False)
FILL = FillRecord(1, "0-BTC", "BTC", 2.0, 100.0, 100.0, 0.6, 5)


def held(*fills: FillRecord, terms: BrokerTerms = FEE, later: BrokerTerms | None = None) -> Any:
    """What was compared, by column, of the fills of the second tick."""
    facts = [{"broker": it.model_dump(mode="json")} for it in (terms, later or terms)]
    ticks = [
        LoggedTick(0, 1, (), (), (BUY, SELL, UNSENT)),
        LoggedTick(1, 2, (), fills[:1], ()),
        LoggedTick(2, 3, (), fills[1:], ()),
    ]
    parts = [LogPart(0, 2, facts[0]), LogPart(2, 3, facts[1])]
    return [
        {name for name, values in compared.items() if not same_value(*values)}
        for tick in hold_against_terms(ticks, parts)
        for _, compared in tick
    ]


@pytest.mark.parametrize(
    ("changes", "columns"),
    [
        ({}, set()),
        ({"fee": 0.6000000001}, set()),  # another one's arithmetic is not ours
        ({"fee": 0.606}, {"fee"}),
        ({"price": 101.5, "fee": 0.609}, {"price"}),
        ({"price": 101.5}, {"price", "fee"}),
        ({"quantity": 3.0, "fee": 0.9}, {"quantity"}),
        ({"quantity": -2.0}, {"quantity"}),
        ({"symbol": "ETH"}, {"symbol"}),
        ({"client_order_id": "1-BTC"}, {"client_order_id"}),
        ({"client_order_id": "0-LTC", "symbol": "LTC"}, {"client_order_id"}),  # it was not sent
        ({"fee": float("nan")}, {"fill"}),
    ],
)
def test_fill_that_contradicts_order_or_terms_is_found_in_its_column(
    changes: dict[str, Any], columns: set[str]
) -> None:
    assert held(replace(FILL, **changes)) == [columns]


def test_second_fill_of_a_filled_order_is_found_and_parts_of_one_are_not() -> None:
    again = replace(FILL, sequence=2)
    assert held(FILL, again) == [set(), {"client_order_id"}]
    half = replace(FILL, quantity=1.0, fee=0.3)
    assert held(half, replace(half, sequence=2)) == [set(), set()]
    assert held(half, replace(again, quantity=1.5, fee=0.45)) == [set(), {"quantity"}]


def test_fees_are_those_of_the_run_that_booked_them() -> None:
    dearer = FEE.model_copy(update={"fee": 0.005})
    sale = FillRecord(2, "0-ETH", "ETH", -4.0, 50.0, 50.0, 1.0, 6)
    assert held(FILL, sale, later=dearer) == [set(), set()]
    assert held(FILL, sale) == [set(), {"fee"}]
    silent = FEE.model_copy(update={"fee": None})
    assert held(FILL, replace(sale, fee=7.0), terms=silent) == [set(), set()]
    assert "say nothing of fees" in not_traded_again(silent)
    assert "fees" not in not_traded_again(FEE)


def test_paper_stands_for_a_broker_with_the_fee_that_it_says(tmp_path: Any) -> None:
    facts: dict[str, Any] = {
        "allocations": [{"symbols": ["BTC"], "policy": "p", "cash": 1.0}],
        "interval_ns": 1,
        "capital_base": 1.0,
        "markets": {"BTC": None},
    }
    for fee, taken in ((0.003, "0.3000%"), (-0.001, "0.0000%"), (None, "0.1000%")):
        said = {**facts, "broker": FEE.model_copy(update={"fee": fee}).model_dump(mode="json")}
        (note,) = paper_stands_for(said)
        assert f"venue cannot be traded again: on paper, a fee of {taken}" in note
    assert open_paper_broker(tmp_path, said).terms().fee == 0.001
    assert paper_stands_for({**facts, "broker": PaperBrokerSettings().model_dump()}) == []
    assert "defaults were taken" in paper_stands_for(facts)[0]
