"""What is served changes while an account is traded: it is compared before it is traded on."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest
import yaml

from orchestrator.agents import OrchestratorAgent
from orchestrator.agents.runner import build_agent
from orchestrator.brokers import Order, OrderState, PaperBroker
from orchestrator.decision_log import DecisionLog
from orchestrator.feeds import FeedBar, FeedFault
from tests.integration.orchestrator.conftest import NO_OVERLAY, RISK_POLICY, TERMS, Desk
from tradewind.risk.policy import RiskPolicy
from tradewind.rpc.clients import AsyncInferenceClient

Change = Callable[[], Awaitable[None]]
Bars = AsyncIterable[FeedBar | FeedFault]

TIGHT = {**RISK_POLICY, "pre_trade": {"order_notional": 1.0}}
STEP = 30
OVERLAY = f"""\
base: {RiskPolicy.parse(RISK_POLICY).digest()}
pre_trade: {{order_notional: 1.0}}
...
"""
TIGHTENED, LOOSENED, OVERLAID, LIFTED, SAME_CONTRACT, OTHER_CONTRACT, END = range(
    STEP, 8 * STEP, STEP
)


class Changing:
    """The bars of a feed up to END closes; before some of them everything waits for a change."""

    def __init__(self, feed: Bars, agent: OrchestratorAgent, changes: Mapping[int, Change]) -> None:
        self._feed, self._agent, self._changes = feed, agent, changes

    async def __aiter__(self) -> AsyncIterator[FeedBar | FeedFault]:
        closes, last_ns = 0, None
        async for item in self._feed:
            if item.arrived_ns != last_ns:
                if closes in self._changes:
                    while self._agent.bus.snapshot().counters.get("ticks", 0) < closes:
                        await asyncio.sleep(0.005)
                    await self._changes[closes]()
                if closes == END:
                    return
                closes, last_ns = closes + 1, item.arrived_ns
            yield item


def changes_of(desk: Desk, versions: list[str]) -> dict[int, Change]:
    async def risk_policy(policy: dict[str, Any]) -> None:
        desk.risk_policy.write_text(yaml.safe_dump(policy, explicit_end=True))
        await asyncio.to_thread(desk.wait_for_risk_policy, policy)

    async def overlay(text: str) -> None:
        await asyncio.to_thread(desk.put_on, text)

    async def publish(**changes: Any) -> None:
        versions.append(await asyncio.to_thread(lambda: desk.publish(**changes)))
        async with AsyncInferenceClient(desk.inference.address) as client, asyncio.timeout(60.0):
            while (await client.get_policy("tiny-dqn")).policy_version.version != versions[-1]:
                await asyncio.sleep(0.02)

    other = TERMS.model_copy(update={"position_fraction": 0.25})
    return {
        TIGHTENED: lambda: risk_policy(TIGHT),
        LOOSENED: lambda: risk_policy(RISK_POLICY),
        OVERLAID: lambda: overlay(OVERLAY),
        LIFTED: lambda: overlay(NO_OVERLAY),
        SAME_CONTRACT: publish,
        OTHER_CONTRACT: lambda: publish(terms=other),
    }


@pytest.fixture
def journalled(monkeypatch: pytest.MonkeyPatch, desk: Desk) -> list[str]:
    """Ids of the orders that came to the broker, each of them after its line of the journal."""
    ids: list[str] = []
    submit = PaperBroker.submit

    async def checked(broker: PaperBroker, orders: Sequence[Order]) -> Sequence[OrderState]:
        lines = (
            (desk.folder / "state" / "default.journal").read_bytes().rstrip(b"\0\1").splitlines()
        )
        for order in orders:
            assert f'"{order.client_order_id}"'.encode() in lines[-1]
            ids.append(order.client_order_id)
        return await submit(broker, orders)

    monkeypatch.setattr(PaperBroker, "submit", checked)
    return ids


def test_run_with_changes_compares_each_before_it_trades_on_it_and_never_on_another_contract(
    desk: Desk, journalled: list[str]
) -> None:
    settings = desk.settings()
    agent = build_agent(settings)
    open_feed, versions = agent._open_feed, ["2026-11-22.1"]
    changes = changes_of(desk, versions)
    agent._open_feed = lambda *after: Changing(open_feed(*after), agent, changes)
    asyncio.run(agent.run())

    log = DecisionLog(settings.log.folder)
    ticks = log.ticks.to_pylist()
    assert len(ticks) == END
    sent = {tick["sequence"] for tick in ticks for order in tick["orders"] if order["sent"]}
    assert len(journalled) == sum(order["sent"] for tick in ticks for order in tick["orders"])

    # The tick that notices holds, whatever it was; the next one knows.
    noticed = {
        TIGHTENED: "RISK_POLICY_CHANGED",
        LOOSENED: "RISK_POLICY_CHANGED",
        SAME_CONTRACT: "VERSION_CHANGED",
        OTHER_CONTRACT: "VERSION_CHANGED",
    }
    for at, reason in noticed.items():
        assert reason in ticks[at]["reasons"]
        assert ticks[at]["outcome"] == "HELD"
        assert at not in sent
    said = {reason for tick in ticks for reason in tick["reasons"]} - {"WARM_UP", "MISSING_BAR"}
    assert said == {*noticed.values(), "PRE_TRADE_LIMIT", "CONTRACT_MISMATCH"}

    # Under the tighter risk policy nothing passes, under the old one again all.
    assert sent & {*range(TIGHTENED)}
    assert not sent & {*range(TIGHTENED, LOOSENED + 1)}
    limited = {tick["sequence"] for tick in ticks if "PRE_TRADE_LIMIT" in tick["reasons"]}
    assert limited & {*range(TIGHTENED + 1, LOOSENED)}
    assert limited <= {*range(TIGHTENED + 1, LOOSENED), *range(OVERLAID, LIFTED)}
    tight = RiskPolicy.parse(TIGHT).digest()
    under = [
        tick["sequence"] for tick in ticks if (tick["risk"] or {}).get("policy_digest") == tight
    ]
    assert under == [*range(TIGHTENED, LOOSENED)]

    # An overlay that is put on or lifted holds no tick: its limits count from the first on.
    overlays = {tick["sequence"] for tick in ticks if (tick["risk"] or {}).get("overlay_digest")}
    assert overlays == {*range(OVERLAID, LIFTED)}
    assert limited & overlays
    assert not sent & overlays
    assert sent & {*range(LOOSENED, OVERLAID)}
    assert sent & {*range(LIFTED, SAME_CONTRACT)}
    held = {tick["sequence"] for tick in ticks if tick["outcome"] == "HELD"}
    assert not held & {OVERLAID, LIFTED}

    # The version of the same contract is traded on, the one of another never.
    assert sent & {*range(SAME_CONTRACT + 1, OTHER_CONTRACT)}
    assert max(sent) < OTHER_CONTRACT
    for tick in ticks[OTHER_CONTRACT + 1 :]:
        assert "CONTRACT_MISMATCH" in tick["reasons"]
        assert tick["outcome"] == "HELD"
    served = [{decision["version"] for decision in tick["decisions"]} for tick in ticks]
    same, other = versions[1:]
    assert served[SAME_CONTRACT:OTHER_CONTRACT] == [{same}] * STEP
    assert served[OTHER_CONTRACT:] == [{other}] * STEP
