"""A replay of real bars through the real services, from the feed to the decision log."""

import asyncio
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from orchestrator.agents import OrchestratorAgent
from orchestrator.agents.runner import build_agent
from orchestrator.brokers import Holdings
from orchestrator.decision_log import DecisionLog
from orchestrator.markets import Markets
from orchestrator.settings import OrchestratorSettings
from tests.integration.orchestrator.conftest import (
    RISK_POLICY,
    SPEC,
    SYMBOLS,
    TERMS,
    Desk,
    run_to,
)
from tests.integration.orchestrator.panels import FRICTIONLESS, bundle_of
from tradewind.errors import ConflictError
from tradewind.market import load_sample, split_bars
from tradewind.market.saving import save_bars
from trainer_service import EnvironmentConfig, IntradayTradingEnv


def run(settings: OrchestratorSettings) -> OrchestratorAgent:
    agent = build_agent(settings)
    asyncio.run(agent.run())
    return agent


def holdings(agent: OrchestratorAgent, settings: OrchestratorSettings) -> Holdings:
    """What the books of a paper broker say after a run."""

    async def read() -> Holdings:
        broker = agent._open_broker(Markets.unknown(settings.symbols, settings.interval_ns))
        held = await broker.holdings()
        await broker.close()
        return held

    return asyncio.run(read())


def test_replay_with_three_symbols_logs_every_tick_and_its_account(shared_desk: Desk) -> None:
    settings = shared_desk.account("three")
    agent = run(settings)
    log = DecisionLog(settings.log.folder)
    counters = agent.bus.snapshot().counters
    assert len(log.ticks) == counters["ticks"] > 300
    decisions, fills = log.flat("decisions"), log.flat("fills")
    assert set(decisions["reason"].to_pylist()) == {""}
    assert counters["fills"] == len(fills) > 0
    risk = log.ticks["risk"].combine_chunks()
    asked = pc.drop_null(pc.struct_field(risk, "decision_id"))
    assert len(asked) == len(log.ticks) - log.ticks["outcome"].to_pylist().count("WARM_UP")
    held = holdings(agent, settings)
    last = log.ticks.slice(len(log.ticks) - 1).to_pylist()[0]
    assert held.cash == pytest.approx(last["cash"], abs=0.005)
    for position in last["positions"]:
        quantity = held.positions.get(position["symbol"], 0.0)
        assert quantity * position["mark_price"] == pytest.approx(
            position["quantity"] * position["mark_price"], abs=0.005
        )
    spent = pc.sum(pc.add(pc.multiply(fills["quantity"], fills["price"]), fills["fee"])).as_py()
    assert 60_000.0 - spent == pytest.approx(last["cash"], abs=0.005)


def test_replay_in_two_halves_gives_the_bits_of_one(shared_desk: Desk) -> None:
    whole, halves = (
        # Of one account: its name is part of what orders are called, and of how they are filled.
        shared_desk.settings(account="halved", folder=folder, log__folder=folder / "log")
        for folder in (shared_desk.folder / "whole", shared_desk.folder / "halves")
    )
    run(whole)
    run_to(build_agent(halves), 150)
    run(halves)
    one, two = (DecisionLog(item.log.folder) for item in (whole, halves))
    assert two.ticks["sequence"].to_pylist() == one.ticks["sequence"].to_pylist()
    for column in ("equity", "cash", "fees_paid"):
        assert np.array_equal(one.ticks[column].to_numpy(), two.ticks[column].to_numpy())
    assert one.flat("decisions")["action"].equals(two.flat("decisions")["action"])


def test_replay_of_one_symbol_trades_as_in_training_to_the_last_bit(
    shared_desk: Desk, tmp_path: Path
) -> None:
    held_out = split_bars(load_sample("BTC"), 0.01)[1]
    # An order is sized at the close that it was decided on, in the environment at the open.
    opens = np.concatenate([held_out.open[:1], held_out.close[:-1]])
    high, low = np.maximum(held_out.high, opens), np.minimum(held_out.low, opens)
    bars = dataclasses.replace(held_out, open=opens, high=high, low=low)
    save_bars(bars, tmp_path / "BTC.parquet")
    settings = shared_desk.account(
        "alone",
        allocations=[{"symbol": "BTC", "policy": "tiny-dqn", "cash": TERMS.initial_cash}],
        feed={"kind": "files", "files": {"BTC": tmp_path / "BTC.parquet"}},
        broker__market=FRICTIONLESS,
    )
    run(settings)
    bundle = bundle_of(shared_desk, "tiny-dqn")
    config = EnvironmentConfig(
        **dict(bundle.contract.terms),
        episode_bars=None,
        random_start=False,
        min_equity_fraction=0.0,
    )
    env = IntradayTradingEnv(bars, config, bundle.contract.features)
    observation, info = env.reset()
    ticks = DecisionLog(settings.log.folder).ticks.to_pylist()
    decided = [tick for tick in ticks if tick["outcome"] == "DECIDED"]
    for number, tick in enumerate(decided):
        (decision,) = tick["decisions"]
        assert decision["observation"] == observation.tobytes()
        assert tick["equity"] == info["equity"]
        assert decision["action"] == bundle.serving.act(observation[np.newaxis].copy())[0][0]
        if number < len(decided) - 1:
            observation, _, ended, _, info = env.step(decision["action"])
            assert not ended
    assert len(decided) == len(bars) - SPEC.lookback + 1
    assert ticks[-1]["cash"] == env.account.cash
    assert ticks[-1]["fees_paid"] == env.account.fees_paid > 0.0


def test_run_with_a_policy_of_other_bars_is_refused(shared_desk: Desk) -> None:
    with pytest.raises(ConflictError, match="trained on bars of 1800 s, here they take 3600 s"):
        run(shared_desk.account("hours", bar_seconds=3600.0))


@pytest.fixture
def breached(shared_desk: Desk) -> Iterator[None]:
    """A risk policy that every account breaks."""
    shared_desk.set_risk_policy({**RISK_POLICY, "limits": {"max_drawdown": {"limit": 1e-6}}})
    yield
    shared_desk.set_risk_policy(RISK_POLICY)


@pytest.mark.usefixtures("breached")
def test_run_with_a_breached_rule_holds_and_says_halt(shared_desk: Desk) -> None:
    settings = shared_desk.account("halted", safety__on_halt="flatten")
    agent = run(settings)
    snapshot = agent.bus.snapshot()
    assert snapshot.counters["RISK_HALT"] > 200
    assert snapshot.state == "STOPPED"
    log = DecisionLog(settings.log.folder)
    assert "FLATTEN" in log.flat("orders")["reason"].to_pylist()
    assert holdings(agent, settings).positions == {}
    halted = [tick.risk.halted for tick in snapshot.ticks if tick.risk is not None]
    assert halted[-1]
    assert {symbol for symbol in SYMBOLS if agent.portfolio.quantity(symbol)} == set()


def test_run_with_a_service_gone_holds_and_says_so(desk: Desk) -> None:
    # Each tick after the end of the service waits for its budget: a hundred of them are enough.
    settings = desk.settings(safety__budget_ms=50.0, feed__held_out_fraction=0.003)
    agent = build_agent(settings)

    async def trade() -> None:
        trading = asyncio.create_task(agent.run())
        with agent.bus.subscribe() as ticks:
            async for tick in ticks:
                if tick.sequence == 50:
                    desk.inference.popen.kill()
                    break
        await trading

    asyncio.run(trade())
    log = DecisionLog(settings.log.folder)
    reasons = {reason for item in log.ticks["reasons"].to_pylist()[60:] for reason in item}
    assert reasons & {"INFERENCE_UNAVAILABLE", "DEADLINE"}
    assert set(log.ticks["outcome"].to_pylist()[60:]) == {"HELD"}
    assert all(not orders for orders in log.ticks["orders"].to_pylist()[60:])
    assert Path(settings.folder / "default.journal").stat().st_size > 0
