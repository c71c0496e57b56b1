"""A policy of several symbols, trained as its configuration says, traded through the services."""

import asyncio
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from orchestrator.account.portfolio import Allocation
from orchestrator.agents.contract_guard import ContractGuard
from orchestrator.agents.runner import build_agent
from orchestrator.analysis.decision_replay import open_bundle, replay_other, verify
from orchestrator.analysis.decision_replay.bundles import OpenBundle
from orchestrator.decision_log import DecisionLog
from orchestrator.live.state import LiveState
from orchestrator.settings import OrchestratorSettings
from tests.integration.orchestrator.conftest import (
    RISK_POLICY,
    TERMS,
    Desk,
    open_desk,
    publisher,
    run_to,
)
from tests.integration.orchestrator.own_features import Late
from tests.integration.orchestrator.panels import (
    FRICTIONLESS,
    KNOWN,
    MISSING,
    OWN_FEATURES,
    ROWS,
    SHORT_ROWS,
    SYMBOLS,
    TRAINING,
    bundle_of,
    draft_of,
    mixed,
    run,
    settings_of,
)
from tests.integration.orchestrator.tilt import publish_tilt
from tradewind.bundle import BundleDraft, BundleStore, read_bundle
from tradewind.errors import BundleFormatError, ComponentError, ConflictError, InvalidInputError
from tradewind.market import (
    BarPanel,
    Bars,
    FeaturePipeline,
    FeatureSpec,
    load_sample,
    split_bars,
)
from tradewind.rpc.clients import AsyncInferenceClient, AsyncRiskClient, PolicyVersion
from tradewind_cli.__main__ import main
from trainer_service import EnvironmentConfig, IntradayTradingEnv

LATE = 110  # the tick at which a feature group fails


@pytest.fixture(scope="module")
def desk(
    tmp_path_factory: pytest.TempPathFactory, released_draft: Callable[..., BundleDraft]
) -> Iterator[Desk]:
    """Both services, two policies of three symbols, and one of one symbol of any name."""
    folder = tmp_path_factory.mktemp("desk")
    risk_policy = folder / "trained.yaml"
    risk_policy.write_text(yaml.safe_dump(RISK_POLICY, explicit_end=True))
    changes = {**TRAINING, "risk_config.policy_yaml": risk_policy}
    flags = [it for name, value in changes.items() for it in ("--set", f"{name}={value}")]
    store = ["--store", str(folder / "store"), "--policy", "panel"]
    assert main(["train", "config/training/ppo_panel.yaml", *store, *flags]) == 0
    publish = publisher(BundleStore(folder / "store"), released_draft)
    publish_tilt(publish, "bold", symbols=SYMBOLS, gain=5.0)
    fails_at_ns = int(load_sample("BTC").timestamps_ns[20_000 + LATE])
    publish_tilt(publish, "late", features=FeatureSpec(groups=(Late(fails_at_ns=fails_at_ns),)))
    with open_desk(folder, released_draft) as desk:
        yield desk


@pytest.fixture(scope="module")
def bundle(desk: Desk) -> OpenBundle:
    return bundle_of(desk, "panel")


@pytest.fixture(scope="module")
def series() -> list[Bars]:
    """Held-out bars, each opening where the one before closed.

    An order is sized at the close that it was decided on and filled at the next open, where the
    environment sizes it: the two are the same where the prices are.
    """
    samples = [load_sample(symbol) for symbol in (*SYMBOLS, "XRP")]
    panel = split_bars(BarPanel.align(samples), 0.2)[1].slice(0, ROWS)
    opens = [np.concatenate([bars.open[:1], bars.close[:-1]]) for bars in panel.series]
    return [
        dataclasses.replace(
            bars, open=own, high=np.maximum(bars.high, own), low=np.minimum(bars.low, own)
        )
        for bars, own in zip(panel.series, opens, strict=True)
    ]


@pytest.fixture(scope="module")
def alone(desk: Desk, series: list[Bars]) -> DecisionLog:
    """The log of an account of the panel policy alone, on the costs of its training."""
    short = [bars.slice(0, SHORT_ROWS) for bars in series[:3]]
    chosen = settings_of(desk, "alone", short, **{"broker.market": FRICTIONLESS})
    run(chosen)
    return DecisionLog(chosen.log.folder)


@pytest.fixture(scope="module")
def gapped(series: list[Bars]) -> list[Bars]:
    """The same bars, of which some symbols lack a few, and once too many to go on."""
    kept = [sorted({*range(ROWS)} - MISSING.get(bars.symbol, set())) for bars in series]
    columns = ("timestamps_ns", "open", "high", "low", "close", "volume")
    return [
        dataclasses.replace(bars, **{name: getattr(bars, name)[rows] for name in columns})
        for bars, rows in zip(series, kept, strict=True)
    ]


@pytest.fixture(scope="module")
def together(desk: Desk, gapped: list[Bars]) -> OrchestratorSettings:
    """The settings of such an account, after a run."""
    chosen = mixed(desk, "together", gapped)
    run(chosen)
    return chosen


@pytest.fixture(scope="module")
def bold(desk: Desk, series: list[Bars]) -> DecisionLog:
    """The same of a policy that goes to large positions, long and short, and turns them."""
    allocation = {"symbols": list(SYMBOLS), "policy": "bold", "cash": TERMS.initial_cash}
    changes = {"broker.market": FRICTIONLESS, "allocations": [allocation]}
    short = [bars.slice(0, SHORT_ROWS) for bars in series[:3]]
    chosen = settings_of(desk, "bold", short, **changes)
    run(chosen)
    return DecisionLog(chosen.log.folder)


@pytest.mark.parametrize(("policy", "log"), [("panel", "alone"), ("bold", "bold")])
def test_panel_policy_through_the_services_trades_as_in_training_to_the_last_bit(
    desk: Desk, series: list[Bars], policy: str, log: str, request: pytest.FixtureRequest
) -> None:
    bundle = bundle_of(desk, policy)
    contract = bundle.contract
    assert contract.symbols == SYMBOLS
    config = EnvironmentConfig(
        **dict(contract.terms), episode_bars=None, random_start=False, min_equity_fraction=0.0
    )
    panel = BarPanel(tuple(series[:3])).slice(0, SHORT_ROWS)
    env = IntradayTradingEnv(panel, config, contract.features)
    observation, info = env.reset()
    ticks = request.getfixturevalue(log).ticks.to_pylist()
    decided = [tick for tick in ticks if tick["decisions"]]
    assert len(decided) == SHORT_ROWS - contract.features.lookback + 1
    traded, shorts, gross = 0, 0, []
    for number, tick in enumerate(decided):
        (decision,) = tick["decisions"]
        assert not decision["reason"]
        assert decision["observation"] == observation.tobytes()
        assert tick["equity"] == info["equity"]
        held = [position["quantity"] for position in tick["positions"]]
        assert held == info.get("quantities", np.zeros(3)).tolist()
        action = bundle.serving.act(observation[np.newaxis].copy())[0][0]
        assert decision["action_values"] == action.tolist()
        assert decision["targets"] == contract.terms.targets(action, 3).tolist()
        traded += len(tick["fills"])
        shorts += min(held) < 0.0 < max(held)
        gross.append(sum(map(abs, decision["targets"])))
        if number < len(decided) - 1:
            observation, _, terminated, _, info = env.step(action)
            assert not terminated
    assert traded > 50
    assert sum(abs(quantity) for quantity in held) > 0.0
    if policy == "bold":  # what it wants has often to be scaled down, and is long and short at once
        assert np.mean(np.array(gross) > contract.terms.gross_limit) > 0.25
        assert shorts > 50
    assert ticks[-1]["cash"] == env.holdings.cash


def test_panel_policy_holds_where_a_symbol_lacks_its_bar_and_sees_the_aligned_panel(
    together: OrchestratorSettings, bundle: OpenBundle, gapped: list[Bars]
) -> None:
    log = DecisionLog(together.log.folder)
    ticks = log.ticks.to_pylist()
    spec, aligned = bundle.contract.features, BarPanel.align(gapped[:3])
    market = np.hstack([FeaturePipeline(spec).transform(bars) for bars in aligned.series])
    rows = dict(zip(aligned.close_times_ns.tolist(), market, strict=True))
    lacking = MISSING["ETH"] | MISSING["LTC"]
    again = max(MISSING["ETH"])  # so many are missing before the next bar that all warm up anew
    warm_up = spec.lookback - 1
    expected = {*range(warm_up, again)} - lacking | {*range(again + 1 + warm_up, ROWS)}
    seen = set()
    for tick in ticks:
        policies = {decision["policy"]: decision for decision in tick["decisions"]}
        if "panel" in policies:
            decision = policies["panel"]
            seen.add(tick["sequence"])
            assert tuple(decision["symbols"]) == SYMBOLS
            observed = np.frombuffer(decision["observation"], dtype="<f4")
            close_ns = tick["close_ns"].value
            if tick["sequence"] < again:
                assert observed[: market.shape[1]].tobytes() == rows[close_ns].tobytes()
        elif tick["sequence"] in lacking and tick["sequence"] > warm_up:
            assert "MISSING_BAR" in tick["reasons"]
            assert not {order["symbol"] for order in tick["orders"]} & {*SYMBOLS}
            assert "tiny-dqn" in policies  # the others go on
        elif tick["sequence"] > again:
            assert "WARM_UP" in tick["reasons"]
    assert seen == expected


def test_replay_proves_a_panel_and_finds_what_was_changed_in_it(
    together: OrchestratorSettings, alone: DecisionLog, bundle: OpenBundle, desk: Desk,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    store = BundleStore(desk.folder / "store")
    log = DecisionLog(together.log.folder)
    for proved in (verify(log, store, known=KNOWN), verify(alone, store, known=KNOWN)):
        assert proved.equal, proved.first_difference
        assert len(proved.not_checked) == 1
        compared = {item.column: item.compared for item in proved.columns}
        assert compared["decisions.action_values (compiled)"] > 300
        assert compared["fills.price"] > 50

    rows = log.ticks.to_pylist()
    place = [decision["policy"] for decision in rows[220]["decisions"]].index("panel")
    one, other = (rows[row]["decisions"][place] for row in (220, 230))
    one["targets"][2] = np.nextafter(one["targets"][2], 2.0)
    one["exposures"][1] = np.nextafter(one["exposures"][1], 2.0)
    other["observation"] = other["observation"][:-4] + b"\x01\x00\x00\x00"
    copy = tmp_path / "copy"
    copy.mkdir()
    schema = pq.read_schema(sorted(together.log.folder.iterdir())[0])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), copy / "000000000000.parquet")
    command = ["replay", str(copy), "--store", str(store.root), "--feature", OWN_FEATURES[0]]
    assert main([*command, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    first = {it["column"]: it["first"] for it in document["columns"] if it["different"]}
    where = {name: (it["tick"], it["symbol"], it["item"]) for name, it in first.items()}
    assert where["decisions.targets"] == (220, "LTC", None)
    assert where["decisions.exposure"] == (220, "ETH", None)
    assert where["decisions.observation"] == (230, "BTC ETH LTC", "LTC position_holding_time")


def test_replay_with_other_bundles_of_a_panel_gives_counterfactual_accounts(
    alone: DecisionLog, together: OrchestratorSettings, bundle: OpenBundle, desk: Desk
) -> None:
    same = replay_other(alone, bundle)
    assert same.actions.equal == same.actions.compared == len(alone.flat("decisions"))
    assert same.other == same.logged  # the same orders meet the same paper market
    assert same.fills == len(alone.flat("fills"))

    log = DecisionLog(together.log.folder)
    beside = replay_other(log, bundle)
    assert beside.actions.equal == beside.actions.compared > 200
    assert "XRP with their cash stay as they are" in beside.notes[-1]
    (single,) = (desk.folder / "store" / "tiny-dqn").iterdir()
    each = replay_other(log, open_bundle(single))  # every symbol from an account of its own
    assert each.actions.equal == each.actions.compared > 400
    assert each.other != each.logged
    with pytest.raises(InvalidInputError, match="takes none of the decisions"):
        replay_other(alone, open_bundle(single))


def test_panel_account_after_a_stop_and_a_lost_log_goes_on_with_the_same_bits(
    together: OrchestratorSettings, gapped: list[Bars], desk: Desk
) -> None:
    halves = mixed(desk, "halves", gapped)
    run_to(build_agent(halves), 205)
    sorted(halves.log.folder.iterdir())[-1].unlink()
    run(halves)
    one, two = (DecisionLog(item.log.folder) for item in (together, halves))
    for column in ("sequence", "equity", "cash", "fees_paid"):
        assert np.array_equal(one.ticks[column].to_numpy(), two.ticks[column].to_numpy())
    for column in ("quantity", "entry_price", "mark_price"):
        assert one.flat("positions")[column].equals(two.flat("positions")[column])
    proved = verify(two, BundleStore(desk.folder / "store"), known=KNOWN)
    assert proved.equal, proved.first_difference
    assert proved.recovered_ticks > 0


def test_panel_account_is_shown_drawn_and_compared(
    together: OrchestratorSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "tearsheet.html"
    folder = str(together.log.folder)
    assert main(["tearsheet", folder, "--output", str(page)]) == 0
    assert "BTC + ETH + LTC 60,000 by panel, XRP 20,000 by tiny-dqn" in page.read_text()
    assert main(["compare", folder, "--champion", "panel", "--json"]) == 0
    compared = json.loads(capsys.readouterr().out.partition("{")[2].join(["{", ""]))
    assert compared["champion"]["variant"] == "panel"
    assert compared["challenger"]["variant"] == "tiny-dqn"


def test_panel_account_in_the_live_view_has_its_symbols_with_their_policies(
    desk: Desk, series: list[Bars]
) -> None:
    short = [bars.slice(0, 110) for bars in series]
    chosen = mixed(desk, "watched", short)
    agent = run(chosen)
    state = LiveState(chosen)
    for tick in agent.bus.snapshot().ticks:
        state.take(tick)
    shown: Any = state.figures()
    assert [(it["symbol"], it["policy"]) for it in shown["positions"]] == [
        *((symbol, "panel") for symbol in SYMBOLS),
        ("XRP", "tiny-dqn"),
    ]
    assert all(it["mark_price"] for it in shown["positions"])
    symbols = {it["name"]: it["symbols"] for it in shown["variants"]}
    assert symbols == {"panel": [*SYMBOLS], "tiny-dqn": ["XRP"]}
    targets = [it["targets"] for it in state.rows()[-1]["decisions"]]  # type: ignore[attr-defined]
    assert sorted(map(len, targets)) == [1, 3]


@pytest.mark.parametrize(
    ("allocation", "says"),
    [
        (
            {"symbols": ["ETH", "BTC", "LTC"], "policy": "panel"},
            "trained on BTC, ETH, LTC, in this order; here it is to trade ETH, BTC, LTC",
        ),
        ({"symbols": ["BTC", "ETH"], "policy": "panel"}, "here it is to trade BTC, ETH$"),
        ({"symbol": "BTC", "policy": "panel"}, "here it is to trade BTC$"),
        (
            {"symbols": ["BTC", "ETH"], "policy": "tiny-dqn"},
            "trained on one symbol; here it is to trade BTC, ETH from one account",
        ),
    ],
)
def test_run_of_a_panel_on_other_symbols_than_its_own_is_refused(
    desk: Desk, series: list[Bars], allocation: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConflictError, match=says):
        run(settings_of(desk, "refused", series[:3], allocations=[allocation]))


def test_version_of_a_panel_with_other_costs_or_symbols_is_not_traded_on(
    desk: Desk, bundle: OpenBundle
) -> None:
    store = BundleStore(desk.folder / "store")
    path = store.path("panel", store.versions("panel")[0])

    async def publish(client: AsyncInferenceClient, change: str) -> PolicyVersion:
        version = store.publish(draft_of(path, change)).metadata.version
        async with asyncio.timeout(30.0):
            while True:
                listing = await client.list_policies()
                for served in listing.policy_versions:
                    if (served.policy, served.version) == ("other-panel", version):
                        return served
                await asyncio.sleep(0.02)

    async def refusals() -> list[str]:
        async with (
            AsyncInferenceClient(desk.inference.address) as inference,
            AsyncRiskClient(desk.risk.address) as risk,
        ):
            await publish(inference, "")
            interval_ns = bundle.contract.features.interval_ns
            traded = [Allocation(SYMBOLS, "other-panel", 1.0)]
            guard = ContractGuard(inference, risk, traded, interval_ns, KNOWN)
            await guard.verify()
            found = []
            for change in ("", "costs", "symbols"):
                served = await publish(inference, change)
                version = (served.policy, served.version, served.bundle_sha256)
                found.append(await guard.verify_version(*version))
            return found

    same, costs, symbols = asyncio.run(refusals())
    assert same == ""
    assert "has another contract than" in costs
    assert "trading terms: trading." in costs
    assert "trained on LTC, ETH, BTC, in this order" in symbols


def test_policy_that_needs_a_feature_which_the_settings_do_not_list_is_refused_with_the_cure(
    desk: Desk, series: list[Bars]
) -> None:
    """What a bundle names is never imported: it says name and version, and the settings where."""
    (path,) = (desk.folder / "store" / "panel").iterdir()
    features = read_bundle(path).metadata.features
    assert features is not None
    assert "own_features" not in features.model_dump_json()
    for listed in ((), OWN_FEATURES[1:]):
        with pytest.raises(BundleFormatError) as refusal:
            run(settings_of(desk, "unlisted", series[:3], features=listed))
        said = str(refusal.value)
        assert "features.groups[0]: needs the feature group gap@3; it is not known here" in said
        assert "`features: [package.module:Attribute]`" in said
    nowhere = [OWN_FEATURES[0].replace("Gap", "Nothing")]
    settings = settings_of(desk, "unlisted", series[:3], features=nowhere)
    with pytest.raises(ComponentError, match="features: .*has no Nothing"):
        run(settings)


@pytest.mark.parametrize(("on_trouble", "outcome"), [("hold", "HELD"), ("flatten", "FLATTENED")])
def test_feature_that_fails_at_a_bar_leaves_its_policy_unasked_and_the_replay_equal(
    desk: Desk, on_trouble: str, outcome: str
) -> None:
    bars = load_sample("BTC").slice(20_000, 20_130)
    settings = settings_of(
        desk,
        f"late-{on_trouble}",
        [bars],
        allocations=[{"symbol": "BTC", "policy": "late", "cash": 20_000.0}],
        safety={"budget_ms": 10_000.0, "on_trouble": on_trouble},
    )

    run(settings)

    log = DecisionLog(settings.log.folder)
    ticks = log.ticks.to_pylist()
    failed = [tick for tick in ticks if "FEATURES_FAILED" in tick["reasons"]]
    (tick,) = failed
    (decision,) = tick["decisions"]
    assert (tick["sequence"], tick["outcome"]) == (LATE, outcome)
    assert (decision["reason"], decision["action"]) == ("FEATURES_FAILED", None)
    observed = np.frombuffer(decision["observation"], dtype="<f4")
    assert np.flatnonzero(np.isnan(observed)).tolist() == [24]
    assert [tick["outcome"] for tick in ticks[LATE + 1 :]] == ["DECIDED"] * (len(ticks) - LATE - 1)
    proved = verify(log, BundleStore(desk.folder / "store"), known=KNOWN)
    assert proved.equal, proved.first_difference
