"""The account: allocations of symbols to policies, cash and positions, and what they sum up to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.brokers import Holdings as BrokerHoldings
from orchestrator.records import BarRecord, FillRecord, PositionRecord
from tradewind.errors import ConflictError
from tradewind.market import Account, Holdings, Instrument, PositionState, TradingTerms
from tradewind.market.bar_conditions import elapsed_costs
from tradewind.risk import FloatArray

__all__ = ["CENT", "Allocation", "Portfolio", "WantedTrade", "read_allocations"]

CENT = 0.01
"""Account and broker agree when they differ by less, in the currency of the prices."""

_FLAT = PositionState(0.0, 0.0, 0)


@dataclass(frozen=True, slots=True)
class Allocation:
    """Symbols, the policy that trades them, and the cash that this policy begins with."""

    symbols: tuple[str, ...]
    policy: str
    cash: float


def read_allocations(facts: Mapping[str, Any]) -> tuple[Allocation, ...]:
    """The allocations that a decision log's facts name; in older ones each has one symbol."""
    return tuple(
        Allocation(tuple(item.get("symbols") or [item["symbol"]]), item["policy"], item["cash"])
        for item in facts["allocations"]
    )


@dataclass(frozen=True, slots=True)
class WantedTrade:
    """What has to be traded of a symbol: a signed quantity, and its price at the last close."""

    symbol: str
    quantity: float
    price: float


class Portfolio:
    """Accounts of one symbol or several, each with cash of its own.

    A policy sees the account of its symbols as it did in training, whatever the others do.

    Args:
        allocations: Who trades what, each symbol once.
    """

    def __init__(self, allocations: Sequence[Allocation]) -> None:
        self.allocations = tuple(allocations)
        self._places = {
            symbol: (allocation, row)
            for allocation in allocations
            for row, symbol in enumerate(allocation.symbols)
        }
        self._holdings: dict[tuple[str, ...], Holdings] = {}
        # Each symbol that has had a bar: its row of the holdings, sharing their memory.
        self._accounts: dict[str, Account] = {}
        self._carried: Mapping[str, Instrument] = {}
        self._interval_ns = 0
        self._closed_ns: dict[str, int] = {}
        self.capital_base = sum(allocation.cash for allocation in allocations)
        self.last_fill_sequence = 0

    def carry(self, carried: Mapping[str, Instrument], interval_ns: int) -> None:
        """Charges funding and borrowing from now on, as the environment does at each close.

        It is for accounts at a simulated broker, whose books do not have them.

        Args:
            carried: What costs something while it is held, by symbol.
            interval_ns: Length of a bar.
        """
        self._carried, self._interval_ns = carried, interval_ns

    @property
    def symbols(self) -> tuple[str, ...]:
        """What is traded."""
        return tuple(self._places)

    def account(self, symbol: str) -> Account | None:
        """The account of a symbol; None before its first bar.

        Its equity is that of all symbols of its allocation.
        """
        return self._accounts.get(symbol)

    def position(self, symbol: str) -> PositionState:
        """What an observation says about the position in a symbol."""
        account = self._accounts.get(symbol)
        return _FLAT if account is None else account.position

    def quantity(self, symbol: str) -> float:
        """Signed position in units of the asset."""
        account = self._accounts.get(symbol)
        return 0.0 if account is None else account.quantity

    def wanted_trades(
        self, symbols: tuple[str, ...], targets: FloatArray, terms: TradingTerms
    ) -> list[WantedTrade]:
        """What takes an allocation from its positions to its targets, at the last closes.

        Args:
            symbols: Of the allocation; each has had a bar.
            targets: Signed fractions of its equity; NaN keeps a quantity. Shape [symbols].
            terms: Costs, gross limit and the smallest trade.

        Returns:
            What reduces positions first: it makes room for the rest.
        """
        holdings = self._holdings[symbols]
        quantities = holdings.plan_trades(targets, terms).tolist()
        prices = holdings.mark_prices.tolist()
        trades = [
            WantedTrade(symbol, quantity, price)
            for symbol, quantity, price in zip(symbols, quantities, prices, strict=True)
            if quantity
        ]
        return sorted(trades, key=lambda it: self.quantity(it.symbol) * it.quantity >= 0.0)

    def apply(self, fills: Iterable[FillRecord]) -> None:
        """Books fills in their order.

        Raises:
            ConflictError: A fill is missing, repeated or of a symbol that has no price yet.
        """
        for fill in fills:
            if fill.sequence != self.last_fill_sequence + 1:
                raise ConflictError(
                    f"fill {fill.sequence} follows {self.last_fill_sequence}: the books differ"
                )
            if fill.symbol not in self._accounts:
                raise ConflictError(f"fill {fill.sequence} is of {fill.symbol}, which has no bar")
            allocation, row = self._places[fill.symbol]
            self._holdings[allocation.symbols].apply_fill(
                row, fill.quantity, fill.price, reference_price=fill.reference_price, fee=fill.fee
            )
            self.last_fill_sequence = fill.sequence

    def close_bars(self, bars: Iterable[BarRecord]) -> None:
        """Marks the accounts at the closes of bars."""
        for bar in bars:
            allocation, row = self._places[bar.symbol]
            if bar.symbol not in self._accounts:
                self._open(bar.symbol, allocation, row, bar.close)
            else:
                holdings = self._holdings[allocation.symbols]
                if bar.symbol in self._carried:
                    self._charge(holdings, row, bar)
                holdings.close_bars({row: bar.close})
            if self._carried:
                closed_ns = bar.start_ns + self._interval_ns
                self._closed_ns[bar.symbol] = max(closed_ns, self._closed_ns.get(bar.symbol, 0))

    def _charge(self, holdings: Holdings, row: int, bar: BarRecord) -> None:
        """Charges what a position has cost since the close before."""
        before_ns, now_ns = self._closed_ns[bar.symbol], bar.start_ns + self._interval_ns
        if now_ns > before_ns:
            each = self._carried[bar.symbol]
            rates = elapsed_costs(each, each.funding, each.borrow_cost, before_ns, now_ns)
            holdings.carry(row, bar.close, *rates)

    def _open(self, symbol: str, allocation: Allocation, row: int, price: float) -> None:
        """Takes in the first bar of a symbol."""
        holdings = self._holdings.get(allocation.symbols)
        if holdings is None:
            # The price of the others is not known yet, and does not count: they are flat.
            holdings = Holdings(allocation.cash, [price] * len(allocation.symbols))
            self._holdings[allocation.symbols] = holdings
        else:
            holdings.close_bars({row: price})
        self._accounts[symbol] = holdings.account(row)

    @property
    def cash(self) -> float:
        """Cash of all allocations."""
        return sum(
            allocation.cash if holdings is None else holdings.cash
            for allocation, holdings in self._pairs()
        )

    @property
    def equity(self) -> float:
        """What all allocations are worth at the last closes."""
        return sum(
            allocation.cash if holdings is None else holdings.equity
            for allocation, holdings in self._pairs()
        )

    @property
    def fees_paid(self) -> float:
        """Of all fills."""
        return sum(account.fees_paid for account in self._accounts.values())

    @property
    def carry_paid(self) -> float:
        """Funding and borrowing so far, which a simulated broker's books do not have."""
        return sum(holdings.carry_paid for holdings in self._holdings.values())

    def positions(self) -> tuple[PositionRecord, ...]:
        """Every symbol that has had a bar."""
        return tuple(
            PositionRecord(symbol, account.quantity, account.entry_price, account.mark_price)
            for symbol, account in self._accounts.items()
        )

    def check_against(self, holdings: BrokerHoldings, pending: Sequence[FillRecord]) -> None:
        """Compares this account with what the broker says.

        Args:
            holdings: What the broker holds.
            pending: Its fills that are not booked here yet.

        Raises:
            ConflictError: They differ; the message says in what.
        """
        differences = []
        cash = (
            self.cash
            + self.carry_paid
            - sum(fill.quantity * fill.price + fill.fee for fill in pending)
        )
        if not abs(holdings.cash - cash) < CENT:
            differences.append(f"cash {cash:.4f} here, {holdings.cash:.4f} there")
        for symbol in sorted({*self._places, *holdings.positions}):
            ours, theirs = self.quantity(symbol), holdings.positions.get(symbol, 0.0)
            ours += sum(fill.quantity for fill in pending if fill.symbol == symbol)
            account = self._accounts.get(symbol)
            price = 1.0 if account is None else account.mark_price
            if not abs(ours - theirs) * price < CENT:
                differences.append(f"{symbol} {ours!r} here, {theirs!r} there")
        if differences:
            raise ConflictError(f"the broker holds something else: {'; '.join(differences)}")

    def _pairs(self) -> Iterable[tuple[Allocation, Holdings | None]]:
        return (
            (allocation, self._holdings.get(allocation.symbols)) for allocation in self.allocations
        )
