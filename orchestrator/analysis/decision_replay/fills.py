"""The fills of a log: traded again by the paper broker, or held against another one's terms."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from orchestrator.account.portfolio import read_allocations
from orchestrator.analysis.decision_replay.ticks import LoggedTick
from orchestrator.brokers import (
    BrokerTerms,
    Order,
    OrderKind,
    PaperBroker,
    PaperBrokerSettings,
    PaperMarketSettings,
    TimeInForce,
    read_terms,
)
from orchestrator.brokers.sent import SentOrders
from orchestrator.decision_log import FillRecord, LogPart
from orchestrator.mandate import Mandate
from orchestrator.markets import Markets

__all__ = ["hold_against_terms", "markets_of", "open_paper_broker", "trade_again"]

_HELD: Final = ("client_order_id", "symbol", "quantity")

Held = dict[str, tuple[object, object]]
"""What was compared of a fill: what the log has and what was expected, by the column."""


def trade_again(ticks: Sequence[LoggedTick], parts: Sequence[LogPart]) -> list[list[FillRecord]]:
    """What the paper broker gives for the logged orders and bars, for each tick.

    Args:
        ticks: From the first one on.
        parts: Their facts, the terms of a paper broker among them.
    """
    with tempfile.TemporaryDirectory(prefix="tradewind-replay-") as folder:
        return asyncio.run(_trade(ticks, parts, Path(folder)))


def hold_against_terms(
    ticks: Sequence[LoggedTick], parts: Sequence[LogPart]
) -> list[list[tuple[FillRecord, Held]]]:
    """Each fill of a log beside its order and its broker's terms, for each tick.

    Args:
        ticks: From the first one on.
        parts: Their facts, the terms of a broker among them.
    """
    held: list[list[tuple[FillRecord, Held]]] = []
    orders = SentOrders()
    for part in parts:
        orders.terms = read_terms(part.facts)
        for tick in ticks[part.first_row : part.stop_row]:
            held.append([(fill, _hold(fill, orders)) for fill in tick.fills])
            orders.add(order for order in tick.orders if order.sent)
    return held


def _hold(fill: FillRecord, orders: SentOrders) -> Held:
    held: Held = {name: (getattr(fill, name),) * 2 for name in _HELD}
    if orders.terms is not None and orders.terms.fee is not None:
        held["fee"] = fill.fee, fill.fee
    return held | {doubt.field: (doubt.found, doubt.expected) for doubt in orders.book(fill)}


def not_traded_again(terms: BrokerTerms) -> str:
    """What of a broker's fills is not proved, for people."""
    fees = "" if terms.fee is not None else "; its terms say nothing of fees"
    return (
        f"prices, times and quantities of fills: the broker {terms.name} is no simulation that can "
        f"be traded again, so each fill was held against its order and the broker's terms{fees}"
    )


def paper_stands_for(facts: Mapping[str, Any]) -> list[str]:
    """What the paper broker, where it stands for another one, does otherwise, in sentences."""
    terms = read_terms(facts)
    if terms is None:
        return ["the log does not say the broker's terms: the defaults were taken"]
    if terms.paper is not None:
        return []
    fee = _fee_on_paper(terms)
    return [
        f"the broker {terms.name} cannot be traded again: on paper, a fee of {fee:.4%} was taken"
    ]


def open_paper_broker(folder: Path, facts: Mapping[str, Any]) -> PaperBroker:
    """A paper broker on the terms of a run.

    Args:
        folder: Where it keeps its books.
        facts: Of the run.

    Raises:
        SettingsError: The log's terms are none.
    """
    terms = read_terms(facts)
    settings = PaperBrokerSettings()
    if terms is not None:
        market = PaperMarketSettings(fee=_fee_on_paper(terms))
        settings = terms.paper or PaperBrokerSettings(market=market)
    mandate = Mandate(
        tuple(_symbols(facts)),
        facts["interval_ns"],
        "replay",
        facts["capital_base"],
        folder,
        markets_of(facts),
    )
    return PaperBroker(mandate, settings)


def _fee_on_paper(terms: BrokerTerms) -> float:
    """What comes next to a broker's fee on paper, which is a fraction of the notional."""
    return PaperMarketSettings().fee if terms.fee is None else max(terms.fee, 0.0)


def markets_of(facts: Mapping[str, Any]) -> Markets:
    """The markets that a run traded in."""
    return Markets.of_log(_symbols(facts), facts)


def _symbols(facts: Mapping[str, Any]) -> list[str]:
    return [symbol for item in read_allocations(facts) for symbol in item.symbols]


async def _trade(
    ticks: Sequence[LoggedTick], parts: Sequence[LogPart], folder: Path
) -> list[list[FillRecord]]:
    given: list[list[FillRecord]] = []
    count = 0
    for part in parts:
        markets = markets_of(part.facts)
        broker = open_paper_broker(folder, part.facts)
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
                        OrderKind(order.kind),
                        order.limit_price,
                        order.stop_price,
                        TimeInForce(order.time_in_force),
                    )
                    for order in tick.orders
                    if order.sent
                ]
                if orders:
                    await broker.submit(orders)
        finally:
            await broker.close()
    return given
