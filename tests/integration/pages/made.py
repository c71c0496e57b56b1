"""Pages with much to show: long names, many symbols, halts, an account that lost a lot."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.analysis.tearsheet import render_tearsheet
from orchestrator.decision_log import (
    BarRecord,
    DecisionLog,
    DecisionLogSettings,
    DecisionLogWriter,
    FillRecord,
    OrderRecord,
    Outcome,
    PolicyDecision,
    PositionRecord,
    RiskAnswer,
    TickRecord,
    Timings,
)
from orchestrator.events import EventBus
from orchestrator.live import LiveView
from orchestrator.settings import LiveSettings, OrchestratorSettings
from tradewind.market import load_sample
from tradewind.risk import RiskPolicy
from tradewind.risk.decision import Halt
from tradewind.risk.rules import Action
from tradewind.settings import parse_settings
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv
from trainer_service.evaluation import WalkForwardConfig
from trainer_service.research.report import render_walk_forward
from trainer_service.research.walk_forward import walk_forward
from trainer_service.training.agent import create_trainer_agent

INTERVAL_NS = 1_800_000_000_000
RISK_POLICY = Path(__file__).parents[3] / "config" / "risk_limits.yaml"
SYMBOLS = ("BTC", "BRK.B/USD-PERP^2026=F&LONG_NAME", *(f"SYM{number:02}" for number in range(18)))
POLICY = RiskPolicy.from_yaml(RISK_POLICY)
DECISION = "decision-of-the-halt-0001"
ALLOCATIONS = [{"symbol": name, "policy": f"policy-{name[:5]}", "cash": 500.0} for name in SYMBOLS]
FACTS = {
    "account": "an-account-with-a-rather-long-name",
    "allocations": ALLOCATIONS,
    "capital_base": 10_000.0,
    "interval_ns": INTERVAL_NS,
    "risk_policy": POLICY.canonical_json(),
    "risk_policy_digest": POLICY.digest(),
    "risk_overlay": {},
    "safety": {"budget_ms": 250.0},
}


def ticks(
    count: int,
    *,
    halted_from: int,
    ends_at: float = 4_000.0,
    symbols: Sequence[str] = SYMBOLS,
) -> Iterator[TickRecord]:
    """Of an account that falls from 10,000 and is halted on the way."""
    noise = np.random.default_rng(7).standard_normal((count, 2))
    fall = (10_000.0 - ends_at) / count
    for number in range(count):
        halted = number >= halted_from
        close_ns = 1_600_000_200_000_000_000 + number * INTERVAL_NS
        price = 100.0 + 10.0 * np.sin(number / 40.0) + float(noise[number, 0])
        opened_ns = close_ns - INTERVAL_NS
        bar = BarRecord(SYMBOLS[0], opened_ns, price, price, price, price, 1.0, close_ns)
        traded = symbols[number % len(symbols)]
        decisions = tuple(
            PolicyDecision(
                (symbol,), f"policy-{symbol[:5]}", "2026-11-22.1", "ab", "", "id", (0.5,), (0.1,),
                (2,), b"", 2, (), (0.05,), 5_000 + 100 * place,
            )
            for place, symbol in enumerate(symbols)
        )  # fmt: skip
        breach = "drawdown_halt: max_drawdown is 0.253594, its limit 0.25"
        risk = RiskAnswer(
            f"d-{number}", "d", "HALT" if halted else "ALLOW", POLICY.digest(), halted,
            (breach,) if halted else (), 0.9 if halted else 0.3,
            {"max_drawdown": 0.26 if halted else 0.1, "current_drawdown": 0.2, "leverage": 0.8},
            {"var_95": "needs 30 returns, has 12: more bars have to come before it is calculated"},
        )  # fmt: skip
        yield TickRecord(
            sequence=number,
            run_id="run",
            account=str(FACTS["account"]),
            close_ns=close_ns,
            decided_ns=close_ns + 5,
            outcome=Outcome.HELD if halted else Outcome.DECIDED,
            reasons=("RISK_HALT",) if halted else (),
            bars=(bar,),
            refused_bars=(),
            fills=(FillRecord(number, "a", traded, 0.5, price + 0.02, price, 0.05, close_ns),),
            positions=tuple(
                PositionRecord(symbol, (-1.0) ** place * 1.5, 90.0, price)
                for place, symbol in enumerate(symbols)
            ),
            cash=1_234_567.891,
            equity=10_000.0 - fall * number + 20.0 * float(noise[number, 1]),
            fees_paid=0.05 * number,
            start_of_day_equity=10_000.0,
            inputs_digest="00" * 16,
            decisions=decisions,
            risk=risk,
            orders=() if halted else (OrderRecord("a-2", SYMBOLS[1], 1.0, 1.5, "POLICY", True),),
            timings=Timings(100_000, 1_000_000, 1_500_000, 10_000, 20_000, 3_000_000 + number),
        )  # fmt: skip


def tearsheet(folder: Path) -> bytes:
    """Of 300 ticks and three of the symbols."""

    facts = {**FACTS, "allocations": ALLOCATIONS[:3]}

    async def write() -> None:
        with DecisionLogWriter(DecisionLogSettings(folder=folder), facts) as writer:
            for record in ticks(300, halted_from=250, symbols=SYMBOLS[:3]):
                await writer.append(record)

    with ThreadPoolExecutor(1) as pool:  # playwright has the loop of this thread
        pool.submit(asyncio.run, write()).result()
    return render_tearsheet(DecisionLog(folder))


def values(folder: Path) -> dict[str, Any]:
    """The smallest training with a report."""
    return {
        "algorithm": "DQN",
        "algo_params": {"learning_starts": 64, "batch_size": 16},
        "training_params": {"total_timesteps": 256},
        "risk_config": {"enabled": True, "policy_yaml": str(RISK_POLICY)},
        "evaluation": {"resamples": 200},
        "policy": "a-policy-with-a-rather-long-name",
        "store": str(folder / "bundles"),
        "drafts": str(folder / "drafts"),
        "tracking": {"tensorboard": None},
    }


def report(folder: Path) -> bytes:
    """Of a bundle that was hardly trained."""
    env = IntradayTradingEnv(load_sample("BTC").slice(0, 1_000), EnvironmentConfig(episode_bars=50))
    return (create_trainer_agent(values(folder)).run(env) / "report.html").read_bytes()


def walk_forward_page(folder: Path) -> bytes:
    """Of two folds."""
    config = create_trainer_agent(values(folder)).config
    env = IntradayTradingEnv(load_sample("BTC").slice(0, 1_400), EnvironmentConfig(episode_bars=50))
    found = walk_forward(config, env, WalkForwardConfig(folds=2))
    return render_walk_forward(found, config=config, symbol="BTC", risk_policy=POLICY)


@contextmanager
def live_view(records: Iterator[TickRecord], *, halt: bool = False) -> Iterator[str]:
    """A live view that has been told of some ticks; its address."""
    settings = parse_settings(
        {"account": FACTS["account"], "allocations": ALLOCATIONS}, OrchestratorSettings
    )
    addresses: list[str] = []
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        bus = EventBus()
        async with LiveView(
            settings, LiveSettings(listen="127.0.0.1:0", interval_s=0.1, allow_resume=True), bus
        ) as view:
            bus.set_facts(FACTS)
            bus.set_state("TRADING")
            for record in records:
                bus.publish(record)
            if halt:
                why = Halt(Action.HALT, 1.7e9, "drawdown_halt", "max_drawdown is 0.26", DECISION)
                bus.set_halt(why, "its positions are being closed")
            addresses.append(view.url)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    while not ready.wait(0.05):
        assert thread.is_alive()
    try:
        yield addresses[0]
    finally:
        done.set()
        thread.join(30)
