"""What a start after a crash makes of the journal's last line."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from orchestrator.account.journal import JournalEntry
from orchestrator.account.portfolio import Allocation, Portfolio
from orchestrator.agents.reconciliation import PendingOrders, reconcile
from orchestrator.agents.recovery import restore
from orchestrator.brokers import (
    Order,
    OrderStatus,
    PaperBroker,
    PaperBrokerSettings,
    PaperMarketSettings,
)
from orchestrator.decision_log import BarRecord
from orchestrator.mandate import Mandate
from tradewind.errors import ConflictError, StorageError

STEP = 60_000_000_000
START = 1_600_000_020_000_000_000
FREE = PaperMarketSettings(latency_ms=0.0, fee=0.0, half_spread=0.0, level_spacing=0.0)


def bars(index: int, price: float) -> tuple[BarRecord, ...]:
    start_ns = START + index * STEP
    return tuple(
        BarRecord(symbol, start_ns, price, price, price, price, 1e6, start_ns + STEP)
        for symbol in ("BTC", "ETH")
    )


def order(name: str, symbol: str, quantity: float, index: int, price: float) -> Order:
    close_ns = START + (index + 1) * STEP
    return Order(name, symbol, quantity, price, close_ns, close_ns + STEP)


async def allow(orders: PendingOrders, held: Mapping[str, float]) -> dict[str, str]:
    """Keeps nothing from being sent."""
    return {}


def broker(path: Path) -> PaperBroker:
    mandate = Mandate(("BTC", "ETH"), STEP, path.name, 10_000.0, path.parent)
    return PaperBroker(mandate, PaperBrokerSettings(market=FREE))


async def crash_before_the_last_orders(
    path: Path, last: tuple[Order, ...], sent: int
) -> tuple[list[JournalEntry], Portfolio]:
    """A run that bought ETH for all it had, saw its price double, and sent some of its orders."""
    portfolio = Portfolio([Allocation((name,), "p", 5_000.0) for name in ("BTC", "ETH")])
    first = broker(path)
    entries = []
    for index, (price, orders) in enumerate(
        [(100.0, (order("0-ETH", "ETH", 100.0, 0, 100.0),)), (100.0, ()), (200.0, last)]
    ):
        await first.observe(bars(index, price))
        fills = tuple(await first.fills(portfolio.last_fill_sequence))
        portfolio.apply(fills)
        portfolio.close_bars(bars(index, price))
        lines = tuple((item, "POLICY") for item in orders)
        entries.append(
            JournalEntry(index, START + (index + 1) * STEP, bars(index, price), fills, lines)
        )
        await first.submit(orders[:sent] if orders is last else orders)
    await first.close()
    return entries, portfolio


@pytest.mark.parametrize("sent", [0, 1, 2])
def test_start_sends_what_was_not_sent_once_and_at_the_prices_of_the_crash(
    tmp_path: Path, sent: int
) -> None:
    # 37,000 of 20,000 × 2 at the last close; at what was paid for ETH, it would be too much.
    last = (order("2-BTC", "BTC", 85.0, 2, 200.0), order("2-ETH", "ETH", -1.0, 2, 200.0))

    async def run() -> None:
        entries, portfolio = await crash_before_the_last_orders(tmp_path / "books", last, sent)
        again = broker(tmp_path / "books")
        for _ in range(2):
            await reconcile(again, entries, portfolio, allow)
        states = {state.order: state.status for state in await again.open_orders()}
        assert states == dict.fromkeys(last, OrderStatus.NEW)
        await again.observe(bars(3, 200.0))
        fills = await again.fills(1)
        assert [(fill.client_order_id, fill.quantity) for fill in fills] == [
            ("2-BTC", 85.0),
            ("2-ETH", -1.0),
        ]
        await reconcile(again, entries, portfolio, allow)
        await again.close()

    asyncio.run(run())


def test_start_with_a_broker_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        entries, portfolio = await crash_before_the_last_orders(tmp_path / "books", (), 0)
        other = broker(tmp_path / "other")
        with pytest.raises(ConflictError, match=r"cash 0\.0000 here, 10000\.0000 there; ETH 100"):
            await reconcile(other, entries, portfolio, allow)
        await other.close()

    asyncio.run(run())


@pytest.mark.parametrize(("entries", "last"), [(0, -1), (2, 1)])
def test_start_with_a_journal_that_ends_before_the_decision_log_is_refused(
    entries: int, last: int
) -> None:
    journalled = [JournalEntry(number, START, (), (), ()) for number in range(entries)]
    others: dict[str, Any] = {
        name: Mock() for name in ("guard", "agent", "portfolio", "history", "log")
    }
    with pytest.raises(StorageError, match=rf"up to 2, and the journal only up to {last}: .* copy"):
        asyncio.run(restore(journalled, account="a", run_id="r", logged=2, **others))
