"""A paper account that another bundle trades over the bars of a decision log."""

import asyncio
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.account.carry import read_carried
from orchestrator.account.portfolio import Allocation, Portfolio, WantedTrade, read_allocations
from orchestrator.agents.enforcement import Intent, round_intents
from orchestrator.agents.reasons import Reason
from orchestrator.analysis.decision_replay.answers import targets_of
from orchestrator.analysis.decision_replay.bundles import OpenBundle, run_network
from orchestrator.analysis.decision_replay.fills import markets_of, open_paper_broker
from orchestrator.analysis.decision_replay.observations import MarketRows, build_observations
from orchestrator.analysis.decision_replay.ticks import LoggedTick
from orchestrator.brokers import Broker, Order, OrderSettings
from orchestrator.feeds import BarFlag
from tradewind.errors import InvalidInputError
from tradewind.risk import FloatArray
from tradewind.settings import parse_settings

__all__ = ["TradedAccount", "divide", "trade_account"]


@dataclass(frozen=True, slots=True, eq=False)
class TradedAccount:
    """What became of an account.

    Attributes:
        equity: At each close of the period. Shape [n].
        fill_count: How many fills it had.
        idle: Symbols of the log that the bundle does not trade.
    """

    equity: FloatArray
    fill_count: int
    idle: tuple[str, ...]


def trade_account(
    ticks: Sequence[LoggedTick],
    rows: range,
    facts: Mapping[str, Any],
    bundle: OpenBundle,
    market: MarketRows,
) -> TradedAccount:
    """Trades an account, flat at the begin of a period.

    Args:
        ticks: Of the log, from the first one to the last of the period.
        rows: The period.
        facts: Allocations, account, length of a bar and terms of the paper broker.
        bundle: What trades.
        market: Observations of these ticks.

    Raises:
        SettingsError: The log's terms are none.
    """

    async def run(folder: Path) -> TradedAccount:
        broker = open_paper_broker(folder, facts)
        try:
            desk = _Desk(broker, facts, bundle, market)
            for row in range(rows.start):
                desk.portfolio.close_bars(ticks[row].bars)
            equity = np.array([await desk.trade(row, ticks[row]) for row in rows])
            return TradedAccount(equity, desk.portfolio.last_fill_sequence, desk.idle)
        finally:
            await broker.close()

    with tempfile.TemporaryDirectory(prefix="tradewind-replay-") as folder:
        return asyncio.run(run(Path(folder)))


def divide(
    allocations: Sequence[Allocation], symbols: tuple[str, ...], policy: str
) -> tuple[list[Allocation], list[Allocation]]:
    """Divides the allocations of a log among what a policy trades, and what it does not.

    A symbol of an allocation of several has an equal part of its cash.

    Args:
        allocations: Those of the log.
        symbols: What the policy trades from one account; none for each symbol from its own.
        policy: Its name.

    Returns:
        The allocations that it trades, and the others.

    Raises:
        InvalidInputError: The log's account does not trade one of the symbols.
    """
    if not symbols:
        parts = [
            Allocation((symbol,), policy, allocation.cash / len(allocation.symbols))
            for allocation in allocations
            for symbol in allocation.symbols
        ]
        return parts, []
    missing = {*symbols} - {symbol for item in allocations for symbol in item.symbols}
    if missing:
        raise InvalidInputError(f"the account does not trade {', '.join(sorted(missing))}")
    cash = 0.0
    idle = []
    for allocation in allocations:
        others = tuple(symbol for symbol in allocation.symbols if symbol not in symbols)
        left = allocation.cash * len(others) / len(allocation.symbols)
        cash += allocation.cash - left
        if others:
            idle.append(Allocation(others, allocation.policy, left))
    return [Allocation(symbols, policy, cash)], idle


class _Desk:
    """A paper account whose symbols the bundle trades."""

    def __init__(
        self, broker: Broker, facts: Mapping[str, Any], bundle: OpenBundle, market: MarketRows
    ) -> None:
        self._broker = broker
        self._bundle = bundle
        self._account = facts["account"]
        self._markets = markets_of(facts)
        self._style = parse_settings(
            facts.get("orders", {}), OrderSettings, source="the log's orders"
        )
        contract = bundle.contract
        traded, idle = divide(read_allocations(facts), contract.symbols, bundle.name)
        self.portfolio = Portfolio([*traded, *idle])
        self.portfolio.carry(read_carried(facts), facts["interval_ns"])
        self.idle = tuple(symbol for allocation in idle for symbol in allocation.symbols)
        self._market = {
            allocation.symbols: market.at(allocation.symbols, contract.features)
            for allocation in traded
        }

    async def trade(self, row: int, tick: LoggedTick) -> float:
        """Takes in a tick and sends what the bundle decides; gives the equity at its close."""
        await self._broker.observe(tick.bars)
        self.portfolio.apply(await self._broker.fills(self.portfolio.last_fill_sequence))
        self.portfolio.close_bars(tick.bars)
        busy = {state.order.symbol for state in await self._broker.open_orders()}
        ready = {bar.symbol for bar in tick.bars if BarFlag.LATE not in bar.flags} - busy
        asked = [
            symbols
            for symbols, rows in self._market.items()
            if ready.issuperset(symbols) and np.isfinite(rows[row]).all()
        ]
        orders = list(self._orders(row, tick, asked)) if asked else []
        if orders:
            await self._broker.submit(orders)
        return self.portfolio.equity

    def _orders(
        self, row: int, tick: LoggedTick, asked: Sequence[tuple[str, ...]]
    ) -> Iterator[Order]:
        contract = self._bundle.contract
        held = [[self.portfolio.position(symbol) for symbol in symbols] for symbols in asked]
        columns = list(zip(*held, strict=True))
        observed = build_observations(
            np.stack([self._market[symbols][row] for symbols in asked]),
            {
                name: [np.array([getattr(item, name) for item in column]) for column in columns]
                for name in ("exposure", "unrealized_return", "bars_held")
            },
            contract.features,
        )
        actions = run_network(self._bundle.serving, observed)
        targets = targets_of(actions, contract.terms, contract.symbol_count)
        for symbols, own in zip(asked, targets, strict=True):
            for trade in self._rounded(self.portfolio.wanted_trades(symbols, own, contract.terms)):
                # Named as the log's: the same order then meets the same paper market.
                yield self._style.order(
                    f"{self._account}-{tick.sequence}-{trade.symbol}",
                    trade.symbol,
                    trade.quantity,
                    trade.price,
                    tick.close_ns,
                    self._markets.next_close_ns(trade.symbol, tick.close_ns),
                    instrument=self._markets.instruments.get(trade.symbol),
                )

    def _rounded(self, trades: Iterable[WantedTrade]) -> Iterator[Intent]:
        """What is left of trades by what their instruments take."""
        intents = [Intent(it.symbol, it.quantity, it.price, Reason.POLICY) for it in trades]
        held = {symbol: self.portfolio.quantity(symbol) for symbol in self.portfolio.symbols}
        rounded = round_intents(intents, self._markets.instruments, held)
        return (intent for intent in rounded if not intent.refusal)
