"""The fills of a log, traded again by the paper broker."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.account.portfolio import read_allocations
from orchestrator.analysis.decision_replay.ticks import LoggedTick
from orchestrator.brokers import Order, PaperBroker
from orchestrator.decision_log import FillRecord, LogPart
from orchestrator.markets import Markets
from orchestrator.settings import PaperBrokerSettings
from tradewind.settings import parse_settings

__all__ = ["markets_of", "open_paper_broker", "trade_again"]


def trade_again(ticks: Sequence[LoggedTick], parts: Sequence[LogPart]) -> list[list[FillRecord]]:
    """What the paper broker gives for the logged orders and bars, for each tick.

    Args:
        ticks: From the first one on.
        parts: Their facts, the broker's terms among them.

    Raises:
        SettingsError: The terms are not those of a paper broker.
    """
    with tempfile.TemporaryDirectory(prefix="tradewind-replay-") as folder:
        return asyncio.run(_trade(ticks, parts, Path(folder) / "books"))


def open_paper_broker(path: Path, facts: Mapping[str, Any]) -> PaperBroker:
    """A paper broker on the terms of a run.

    Raises:
        SettingsError: The terms are not those of a paper broker.
    """
    settings = parse_settings(facts["broker"], PaperBrokerSettings, source="the log's broker")
    return PaperBroker(
        path,
        cash=facts["capital_base"],
        symbols=_symbols(facts),
        interval_ns=facts["interval_ns"],
        settings=settings.market,
        max_leverage=settings.max_leverage,
        markets=markets_of(facts),
    )


def markets_of(facts: Mapping[str, Any]) -> Markets:
    """The markets that a run traded in."""
    return Markets.of_log(_symbols(facts), facts)


def _symbols(facts: Mapping[str, Any]) -> list[str]:
    return [symbol for item in read_allocations(facts) for symbol in item.symbols]


async def _trade(
    ticks: Sequence[LoggedTick], parts: Sequence[LogPart], path: Path
) -> list[list[FillRecord]]:
    given: list[list[FillRecord]] = []
    count = 0
    for part in parts:
        markets = markets_of(part.facts)
        broker = open_paper_broker(path, part.facts)
        try:
            for tick in ticks[part.first_row : part.stop_row]:
                await broker.observe(tick.bars)
                fills = list(await broker.fills(count))
                count += len(fills)
                given.append(fills)
                withdrawn = {order.client_order_id for order in tick.orders if not order.sent}
                for state in await broker.open_orders():
                    name = state.order.client_order_id
                    if state.order.valid_until_ns <= tick.close_ns or name in withdrawn:
                        await broker.cancel(name)
                orders = [
                    Order(
                        order.client_order_id,
                        order.symbol,
                        order.quantity,
                        order.reference_price,
                        tick.close_ns,
                        markets.next_close_ns(order.symbol, tick.close_ns),
                    )
                    for order in tick.orders
                    if order.sent
                ]
                if orders:
                    await broker.submit(orders)
        finally:
            await broker.close()
    return given
