"""Brokers of somebody's own through the real services: logged, replayed, recovered, caught."""

import asyncio
import json
from typing import Any

import numpy as np
import pytest

from orchestrator.agents.runner import build_agent
from orchestrator.analysis.decision_replay import open_bundle, replay_other, verify
from orchestrator.decision_log import DecisionLog
from orchestrator.settings import OrchestratorSettings
from tests.integration.orchestrator.conftest import Desk, run_to
from tradewind.bundle import BundleStore
from tradewind.errors import ConflictError
from tradewind_cli.__main__ import main

VENUE = "tests.integration.orchestrator.venue:Venue"


def account(desk: Desk, name: str, options: dict[str, Any] | None = None, **more: Any) -> Any:
    """Settings of an account that trades with such a broker."""
    values: dict[str, Any] = {
        "broker": {"kind": VENUE, "options": options or {}},
        "feed__held_out_fraction": 0.004,
        "safety__broker_timeout_s": 0.5,
        **more,
    }
    return desk.account(name, **values)


def trade(settings: OrchestratorSettings) -> DecisionLog:
    asyncio.run(build_agent(settings).run())
    return DecisionLog(settings.log.folder)


def reasons(log: DecisionLog) -> list[list[str]]:
    found: list[list[str]] = log.ticks["reasons"].to_pylist()
    return found


@pytest.fixture(scope="module")
def honest(shared_desk: Desk) -> DecisionLog:
    """The log of an account that a venue with a fee of 0.3 % has filled."""
    return trade(account(shared_desk, "honest"))


def test_terms_of_another_broker_are_logged_and_replayed_as_its_own(
    shared_desk: Desk, honest: DecisionLog, capsys: pytest.CaptureFixture[str]
) -> None:
    assert honest.facts["broker"]["name"] == "venue"
    assert honest.facts["broker"]["fee"] == 0.003
    assert honest.facts["broker"]["paper"] is None
    fills = honest.flat("fills").to_pylist()
    assert len(fills) > 20
    for fill in fills:
        assert fill["fee"] == abs(fill["quantity"]) * fill["price"] * 0.003
    folder, store = shared_desk.folder / "honest" / "log", shared_desk.folder / "store"
    assert main(["replay", str(folder), "--store", str(store), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["equal"]
    columns = {item["column"]: item for item in document["columns"]}
    assert columns["fills.fee"]["compared"] == columns["fills"]["compared"] == len(fills)
    assert "the broker venue is no simulation" in document["not_checked"][0]


def test_broker_that_takes_more_than_it_says_is_found_when_it_does_and_by_the_replay(
    shared_desk: Desk, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    log = trade(account(shared_desk, "lying", {"charges": 0.005}))
    assert "fill 1 is not on its terms: fee is" in caplog.text
    said = reasons(log)
    begun = next(row for row, codes in enumerate(said) if "BROKER_TERMS" in codes)
    sent = [row["sequence"] for row in log.flat("orders").to_pylist() if row["sent"]]
    assert max(sent) < begun
    assert all("BROKER_TERMS" in codes for codes in said[begun:])
    assert log.ticks["risk"].to_pylist()[-1] is not None  # the account is watched all the same
    folder, store = shared_desk.folder / "lying" / "log", shared_desk.folder / "store"
    assert main(["replay", str(folder), "--store", str(store), "--json"]) == 1
    (column,) = [
        item for item in json.loads(capsys.readouterr().out)["columns"] if item["different"]
    ]
    assert column["column"] == "fills.fee"
    assert column["different"] == len(log.flat("fills")) > 0
    assert column["first"]["logged"] == pytest.approx(column["first"]["replayed"] * 5.0 / 3.0)


def test_broker_whose_terms_change_under_way_is_traded_with_no_more_until_the_next_start(
    shared_desk: Desk,
) -> None:
    settings = account(shared_desk, "changing", {"other_fee_from": 5}, safety__on_trouble="flatten")
    log = trade(settings)
    said = reasons(log)
    begun = next(row for row, codes in enumerate(said) if "BROKER_TERMS" in codes)
    later = [row for row in log.flat("orders").to_pylist() if row["sequence"] >= begun]
    assert {row["reason"] for row in later if row["sent"]} <= {"FLATTEN"}
    assert log.ticks["outcome"].to_pylist()[begun] == "FLATTENED"
    held = log.ticks["positions"].to_pylist()[-1]
    assert [item["quantity"] for item in held] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(("mood", "timeout_s"), [({"raises": 0.15}, 5.0), ({"hangs": 0.02}, 0.02)])
def test_broker_that_raises_or_hangs_at_random_is_traded_with_and_its_books_agree(
    shared_desk: Desk, mood: dict[str, float], timeout_s: float
) -> None:
    name = f"moody-{next(iter(mood))}"
    settings = account(shared_desk, name, mood, safety__broker_timeout_s=timeout_s)
    log = trade(settings)
    said = [code for codes in reasons(log) for code in codes]
    assert said.count("BROKER_UNAVAILABLE") > 5
    fills = log.flat("fills").to_pylist()
    assert len(fills) > 5
    books = json.loads((shared_desk.folder / name / f"{name}.venue").read_text())
    names = [fill["client_order_id"] for fill in fills]
    assert names == [fill["client_order_id"] for fill in books["fills"]][: len(names)]
    assert len(set(names)) == len(names)  # no order was sent as two


def test_account_with_another_broker_goes_on_after_an_end_as_one_that_had_none(
    shared_desk: Desk, honest: DecisionLog
) -> None:
    settings = account(shared_desk, "halves")
    for sequence in (40, 90):
        run_to(build_agent(settings), sequence)
    log = trade(settings)
    assert np.array_equal(log.ticks["equity"], honest.ticks["equity"])
    assert (
        log.flat("fills")
        .drop("client_order_id")
        .equals(honest.flat("fills").drop("client_order_id"))
    )


def test_broker_that_fills_an_order_twice_ends_the_run_and_refuses_the_next_start(
    shared_desk: Desk,
) -> None:
    settings = account(shared_desk, "twice", {"doubled_from": 4})
    with pytest.raises(ConflictError, match=r"fill 6 cannot be: client_order_id .* is of no order"):
        trade(settings)
    with pytest.raises(ConflictError, match="fill 6 cannot be"):
        trade(settings)
    log = DecisionLog(settings.log.folder)
    assert len(log.flat("fills")) < 6


def test_limit_orders_are_logged_with_their_prices_and_replayed(shared_desk: Desk) -> None:
    orders = {"kind": "LIMIT", "limit_distance": 0.0002, "time_in_force": "IOC"}
    paper = {"kind": "paper"}
    log = trade(account(shared_desk, "limits", broker=paper, orders=orders))
    sent = [row for row in log.flat("orders").to_pylist() if row["sent"]]
    assert {(row["kind"], row["time_in_force"]) for row in sent} == {("LIMIT", "IOC")}
    for row in sent:
        beyond = row["limit_price"] / row["reference_price"] - 1.0
        assert beyond == pytest.approx(0.0002 if row["quantity"] > 0.0 else -0.0002)
    by_id = {row["client_order_id"]: row for row in sent}
    fills = log.flat("fills").to_pylist()
    assert fills
    for fill in fills:
        order = by_id[fill["client_order_id"]]
        assert (fill["price"] - order["limit_price"]) * fill["quantity"] <= 0.0
    store = BundleStore(shared_desk.folder / "store")
    found = verify(log, store)
    assert found.equal, found.first_difference
    version = store.versions("tiny-dqn")[0]
    same = replay_other(log, open_bundle(store.path("tiny-dqn", version)))
    assert same.fills == len(fills)
    assert same.other == same.logged
