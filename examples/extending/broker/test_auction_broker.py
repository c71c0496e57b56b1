"""The broker behind the guard that the orchestrator puts in front of it."""

import asyncio
from pathlib import Path

import pytest
from auction_broker import AuctionBroker, AuctionOptions

from orchestrator import BarRecord, ConflictError, Mandate, NotFoundError, Order, OrderStatus
from orchestrator.brokers import BrokerGuard
from orchestrator.settings import OrchestratorSettings
from tradewind.errors import SettingsError
from tradewind.settings import parse_settings

STEP = 60_000_000_000
BUY = Order("a-0-BTC", "BTC", 2.0, 100.0, STEP, 2 * STEP)


def bar(index: int, price: float) -> BarRecord:
    start_ns = index * STEP
    return BarRecord("BTC", start_ns, price, price, price, price, 9.0, start_ns + STEP)


def open_broker(folder: Path) -> BrokerGuard:
    mandate = Mandate(("BTC",), STEP, "a", cash=1_000.0, folder=folder)
    return BrokerGuard(AuctionBroker(mandate, AuctionOptions()))


def test_order_is_filled_at_the_next_open_for_its_fee_and_books_survive(tmp_path: Path) -> None:
    async def trade() -> None:
        broker = open_broker(tmp_path)
        await broker.observe([bar(0, 100.0)])
        for _ in range(2):  # sent twice, it is one order
            (state,) = await broker.submit([BUY])
            assert state.status is OrderStatus.NEW
        await broker.observe([bar(1, 105.0)])
        again = open_broker(tmp_path)
        again.recover([BUY], [])
        (fill,) = await again.fills(0)
        assert (fill.price, fill.quantity, fill.fee) == (105.0, 2.0, 0.63)
        held = await again.holdings()
        assert held.cash == pytest.approx(1_000.0 - 210.63)
        assert held.positions == {"BTC": 2.0}
        assert again.doubt == ""  # the fill is on the terms that it says

    asyncio.run(trade())


def test_order_is_cancelled_once_and_others_are_refused(tmp_path: Path) -> None:
    async def trade() -> None:
        broker = open_broker(tmp_path)
        await broker.submit([BUY])
        other = Order("a-0-BTC", "BTC", 3.0, 100.0, STEP, 2 * STEP)
        with pytest.raises(ConflictError):
            await broker.submit([other])
        for _ in range(2):
            assert (await broker.cancel("a-0-BTC")).status is OrderStatus.CANCELLED
        await broker.observe([bar(1, 105.0)])
        assert not await broker.fills(0)
        assert not await broker.open_orders()
        inner = AuctionBroker(Mandate(("BTC",), STEP, folder=tmp_path), AuctionOptions())
        with pytest.raises(NotFoundError):
            await inner.cancel("never-sent")

    asyncio.run(trade())


def test_settings_name_it_by_its_entry_point_and_check_its_options() -> None:
    values = {"allocations": [{"symbol": "BTC", "policy": "p"}]}
    chosen = {"kind": "auction", "options": {"fee": 0.002}}
    settings = parse_settings({**values, "broker": chosen}, OrchestratorSettings)
    assert settings.broker.kind == "auction"
    with pytest.raises(SettingsError, match=r"broker\.options\.fees: Extra inputs"):
        parse_settings(
            {**values, "broker": {"kind": "auction", "options": {"fees": 1}}}, OrchestratorSettings
        )
