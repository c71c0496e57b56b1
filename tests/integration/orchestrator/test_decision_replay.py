"""A run through the real services, proved from its log; and copies of the log that were changed."""

import asyncio
import json
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from orchestrator.agents.runner import build_agent
from orchestrator.analysis.decision_replay import (
    ColumnFinding,
    Difference,
    Verification,
    open_bundle,
    replay_other,
    verify,
)
from orchestrator.analysis.tearsheet.sheet import read_sheet
from orchestrator.decision_log import TICK_SCHEMA, DecisionLog
from tests.integration.orchestrator.conftest import RISK_POLICY, SPEC, TERMS, Desk, publisher
from tests.integration.orchestrator.tilt import publish_tilt
from tradewind.bundle import BundleDraft, BundleStore
from tradewind.errors import StorageError
from tradewind.risk.policy import RiskPolicy
from tradewind.rpc import ServiceProcess
from tradewind_cli.__main__ import main

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def desk(
    tmp_path_factory: pytest.TempPathFactory, released_draft: Callable[..., BundleDraft]
) -> Iterator[Desk]:
    """Both services, a discrete policy and a continuous one."""
    folder = tmp_path_factory.mktemp("desk")
    publish = publisher(BundleStore(folder / "store"), released_draft)
    publish()
    publish_tilt(publish)
    risk_policy = folder / "risk.yaml"
    risk_policy.write_text(yaml.safe_dump(RISK_POLICY, explicit_end=True))
    listen = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
    audit = ["--policy", str(risk_policy), "--database", f"sqlite:///{folder}/audit.sqlite"]
    flags = {"inference_service": ["--store", str(folder / "store")], "risk_service": audit}
    with ExitStack() as stack:
        inference, risk = (
            stack.enter_context(
                ServiceProcess(module, [*listen, *own], log=folder / f"{module}.log")
            )
            for module, own in flags.items()
        )
        yield Desk(folder, inference, risk, publish, risk_policy)


@pytest.fixture(scope="module")
def store(desk: Desk) -> BundleStore:
    return BundleStore(desk.folder / "store")


@pytest.fixture(scope="module")
def folder(desk: Desk) -> Path:
    """The log of a run in which both policies traded."""
    policies = {"BTC": "tiny-dqn", "ETH": "tilt", "LTC": "tiny-dqn"}
    return run(
        desk, "both", allocations=[{"symbol": name, "policy": it} for name, it in policies.items()]
    )


def run(desk: Desk, name: str, **overrides: Any) -> Path:
    settings = desk.settings(
        folder=desk.folder / name,
        log__folder=desk.folder / name / "log",
        log__batch_ticks=25,  # however fast ticks come: several segments
        log__segment_ticks=50,
        account=name,
        **overrides,
    )
    asyncio.run(build_agent(settings).run())
    return settings.log.folder


def changed(
    folder: Path, target: Path, *changes: Callable[[Rows], object], **facts: Any
) -> DecisionLog:
    """A copy of a log with some of its values and facts changed; None takes a fact out."""
    target.mkdir()
    rows = DecisionLog(folder).ticks.to_pylist()
    for change in changes:
        change(rows)
    metadata = dict(pq.read_schema(sorted(folder.iterdir())[0]).metadata)
    for name, value in facts.items():
        metadata[f"tradewind.{name}".encode()] = json.dumps(value).encode()
        if value is None:
            del metadata[f"tradewind.{name}".encode()]
    table = pa.Table.from_pylist(rows, schema=TICK_SCHEMA.with_metadata(metadata))
    pq.write_table(table, target / "000000000000.parquet")
    return DecisionLog(target)


def at(path: str, value: Callable[[Any], Any]) -> Callable[[Rows], None]:
    """Changes one value, such as `150.bars.0.open`."""

    def change(rows: Rows) -> None:
        *parents, last = (int(name) if name.isdigit() else name for name in path.split("."))
        item: Any = rows
        for name in parents:
            item = item[name]
        item[last] = value(item[last])

    return change


def column(found: Verification, name: str) -> ColumnFinding:
    (one,) = [item for item in found.columns if item.column == name]
    return one


def first(found: Verification, name: str) -> Difference:
    one = column(found, name).first
    assert one is not None, f"{name} is said to be equal"
    return one


def up(value: float) -> float:
    """The next larger float64."""
    return math.nextafter(value, math.inf)


def flip(data: bytes) -> bytes:
    """Another lowest bit of the fourth float32."""
    return data[:12] + bytes([data[12] ^ 1]) + data[13:]


def test_replay_of_a_run_proves_every_column(
    folder: Path, store: BundleStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proved = verify(DecisionLog(folder), store)
    assert proved.equal, proved.first_difference
    compared = {item.column: item.compared for item in proved.columns}
    assert compared["equity"] == proved.ticks > 300
    assert compared["fills.price"] > 100
    assert compared["decisions.action (compiled)"] == compared["decisions.action (TorchScript)"]
    assert compared["decisions.action_values (compiled)"] > 300
    assert len(proved.not_checked) == 1
    assert main(["replay", str(folder), "--store", str(store.root), "--to", "2019-09-29"]) == 0
    assert "EQUAL: " in capsys.readouterr().out
    page = tmp_path / "pages" / "tearsheet.html"
    assert main(["tearsheet", str(folder), "--output", str(page)]) == 0
    assert "tilt/20" in page.read_text()


def test_replay_of_changed_copies_finds_each_change(
    folder: Path, store: BundleStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = DecisionLog(folder).ticks.to_pylist()
    filled = next(row["sequence"] for row in rows[100:] if row["fills"])
    sent = next(row["sequence"] for row in rows[100:] if any(it["sent"] for it in row["orders"]))
    policies = [item["policy"] for item in rows[200]["decisions"]]
    dqn, tilt = (f"200.decisions.{policies.index(name)}" for name in ("tiny-dqn", "tilt"))

    def riskier(metrics: list[tuple[str, float]]) -> list[tuple[str, float]]:
        return [(key, up(it) if key == "max_drawdown" else it) for key, it in metrics]

    changes = {
        "decisions.observation": at(f"{dqn}.observation", flip),
        "decisions.action (compiled)": at(f"{dqn}.action", lambda it: 2 - it // 2),
        "decisions.action_values (compiled)": at(
            f"{tilt}.action_values", lambda it: [np.nextafter(np.float32(it[0]), np.float32(2))]
        ),
        "decisions.targets": at(f"{tilt}.targets.0", up),
        "decisions.exposure": at(f"{dqn}.exposures.0", up),
        "decisions.unrealized_return": at(f"{dqn}.unrealized_returns.0", up),
        "decisions.bars_held": at(f"{dqn}.bars_held.0", lambda it: it + 1),
        "inputs_digest": at("200.inputs_digest", lambda it: it[::-1]),
        "cash": at("200.cash", up),
        "equity": at("200.equity", up),
        "fees_paid": at("200.fees_paid", up),
        "start_of_day_equity": at("200.start_of_day_equity", up),
        "positions.mark_price": at("200.positions.1.mark_price", up),
        "positions.quantity": at("200.positions.1.quantity", up),
        "risk.max_drawdown": at("200.risk.metrics", riskier),
        "risk.risk_score": at("200.risk.risk_score", up),
    }
    trades = {
        "fills.price": at(f"{filled}.fills.0.price", up),
        "fills.fee": at(f"{filled}.fills.0.fee", up),
        "fills.reference_price": at(f"{filled}.fills.0.reference_price", up),
        "fills.filled_ns": at(f"{filled}.fills.0.filled_ns", lambda it: it + timedelta(seconds=1)),
    }
    copy = tmp_path / "copy"
    found = verify(changed(folder, copy, *changes.values()), store)
    for name in changes:
        where = first(found, name)
        assert where.sequence == 200, name
        assert where.logged != where.replayed
        assert column(found, name).different == 1, name
    assert column(found, "decisions.action (TorchScript)").different == 1
    assert first(found, "decisions.observation").item == SPEC.component_names[3]
    command = ["replay", str(copy), "--store", str(store.root)]
    assert main([*command, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["first_difference"]["tick"] == 200
    assert not document["equal"]
    assert main(command) == 1
    assert "DIFFERENT: " in capsys.readouterr().out

    found = verify(changed(folder, tmp_path / "trades", *trades.values()), store)
    for name in trades:
        assert first(found, name).sequence == filled, name
        assert column(found, name).different == 1, name

    bars = changed(
        folder,
        tmp_path / "bars",
        at("150.bars.0.open", up),
        at("151.bars.0.close", lambda it: it * 1.001),
        at(f"{sent}.orders.0.client_order_id", lambda it: f"{it}x"),
    )
    found = verify(bars, store)
    assert first(found, "inputs_digest").sequence == 150
    assert first(found, "decisions.observation").sequence == 151
    assert first(found, "equity").sequence == 151
    assert first(found, "fills.client_order_id").logged != ""

    def more(rows: Rows) -> None:
        rows[filled]["fills"][0]["quantity"] *= 1.0001

    found = verify(changed(folder, tmp_path / "more", more), store)
    assert first(found, "cash").sequence == first(found, "positions.quantity").sequence == filled
    assert column(found, "cash").different > 1


def test_replay_after_a_crash_or_a_changed_risk_policy_says_what_it_cannot_prove(
    desk: Desk, store: BundleStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run(desk, "crashed")
    whole = len(DecisionLog(folder).ticks)
    for path in sorted(folder.iterdir())[-2:]:
        path.unlink()
    kept = len(DecisionLog(folder).ticks)
    run(desk, "crashed")  # the journal gives the lost ticks back, without their answers
    found = verify(DecisionLog(folder), store)
    assert found.equal, found.first_difference
    assert found.recovered_ticks == whole - kept > 0
    assert found.ticks == whole
    assert f"{whole - kept} RECOVERED ticks" in found.not_checked[0]

    other = RiskPolicy.parse({**RISK_POLICY, "limits": {"max_drawdown": {"limit": 0.8}}})
    copy = changed(folder, tmp_path / "risk", at("50.risk.policy_digest", lambda _: other.digest()))
    found = verify(copy, store)
    assert found.equal
    assert "risk metrics of 1 ticks" in " ".join(found.not_checked)
    found = verify(copy, store, risk_policies=[other])
    assert first(found, "risk.risk_score").sequence == 50

    without = tmp_path / "without"
    shutil.copytree(folder, without)
    (without / "000000000000.parquet").unlink()
    with pytest.raises(StorageError, match=r"begins at tick \d+: ticks 0 to \d+ are missing"):
        verify(DecisionLog(without), store)
    empty = tmp_path / "store" / "tiny-dqn"
    empty.mkdir(parents=True)
    assert main(["replay", str(folder), "--store", str(empty.parent)]) == 3
    assert "bundle tiny-dqn/20" in capsys.readouterr().err


def test_replay_of_other_formulas_says_so_and_compares_the_rest(
    folder: Path, store: BundleStore, tmp_path: Path
) -> None:
    facts = DecisionLog(folder).facts
    versions = {**facts["risk_versions"], "volatility": 2}
    del versions["greeks"]  # which the release of the log did not have
    features = {**facts["feature_parts"], "tilt": {"ema_ratio@2": {}}}

    def otherwise(rows: Rows) -> None:
        metrics = dict(rows[150]["risk"]["metrics"])
        rows[150]["risk"]["metrics"] = list({**metrics, "volatility": 7.0}.items())

    found = verify(changed(folder, tmp_path / "one", otherwise), store)
    assert first(found, "risk.volatility").sequence == 150

    log = changed(
        folder, tmp_path / "two", otherwise, risk_versions=versions, feature_parts=features
    )
    found = verify(log, store)
    assert found.equal, found.first_difference
    assert found.not_checked[:2] == (
        "risk metrics volatility, ewma_volatility, downside_deviation: volatility has version 2 "
        "there and 1 here: another formula",
        "observations of tilt: ema_ratio has version 2 there and 1 here: another formula",
    )
    names = {item.column for item in found.columns}
    assert {"risk.max_drawdown", "risk.risk_score", "cash", "decisions.observation"} <= names
    assert not {"risk.volatility", "risk.net_delta"} & names

    terms: Any = {name: {"trading@2": {}} for name in facts["trading_parts"]}
    found = verify(changed(folder, tmp_path / "three", trading_parts=terms), store)
    assert found.equal
    assert found.not_checked[0] == (
        "account, fills, risk and observations: trading has version 2 there and 1 here: another "
        "formula"
    )
    names = {item.column for item in found.columns}
    assert {"decisions.action (compiled)", "inputs_digest"} <= names
    assert not {"cash", "fills", "risk.max_drawdown", "decisions.observation"} & names


def test_replay_of_a_log_without_versions_takes_them_for_the_first_ones(
    folder: Path, store: BundleStore, tmp_path: Path
) -> None:
    versions = ("risk_versions", "risk_parts", "feature_parts", "trading_parts")
    found = verify(changed(folder, tmp_path / "without", **dict.fromkeys(versions)), store)
    assert found.equal, found.first_difference
    assert found.not_checked == verify(DecisionLog(folder), store).not_checked


def test_replay_with_another_bundle_gives_its_actions_and_a_counterfactual_account(
    desk: Desk, store: BundleStore, capsys: pytest.CaptureFixture[str]
) -> None:
    log = DecisionLog(run(desk, "own"))
    own = store.versions("tiny-dqn")[0]
    same = replay_other(log, open_bundle(store.path("tiny-dqn", own)))
    assert same.actions.equal == same.actions.compared == len(log.flat("decisions"))
    assert read_sheet(log).summary == same.logged  # of one risk policy and one market
    assert same.other == same.logged  # the same orders meet the same paper market
    assert same.fills == len(log.flat("fills"))
    long_only = desk.publish(terms=TERMS.model_copy(update={"allow_short": False}))
    command = ["replay", str(desk.folder / "own" / "log"), "--store", str(store.root)]
    choice = ["--policy", "tiny-dqn", "--version", long_only]
    assert main([*command, *choice, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["counterfactual"]
    assert document["actions"]["equal_share"] == 1.0
    assert document["actions"]["mean_target_distance"] > 0.0
    assert document["counterfactual_account"] != document["logged_account"]
    tilt = store.path("tilt", store.versions("tilt")[0])
    assert main([*command, "--bundle", str(tilt)]) == 0
    printed = capsys.readouterr().out
    assert "counterfactual" in printed
    assert "(0.00%)" in printed
    assert main([*command, *choice[:2]]) == 2
    assert "--policy and --version go together" in capsys.readouterr().err
