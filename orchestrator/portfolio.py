"""The account: an allocation for each symbol, cash and positions, and what they sum up to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.brokers import Holdings
from orchestrator.decision_log.records import BarRecord, FillRecord, PositionRecord
from tradewind.errors import ConflictError
from tradewind.market import Account, PositionState

__all__ = ["CENT", "Allocation", "Portfolio"]

CENT = 0.01
"""Account and broker agree when they differ by less, in the currency of the prices."""

_FLAT = PositionState(0.0, 0.0, 0)


@dataclass(frozen=True, slots=True)
class Allocation:
    """A symbol, the policy that trades it, and the cash that this policy begins with."""

    symbol: str
    policy: str
    cash: float


class Portfolio:
    """Accounts of several symbols, each with cash of its own.

    A policy sees the account of its symbol as it did in training, whatever the others do.

    Args:
        allocations: Who trades what, each symbol once.
    """

    def __init__(self, allocations: Sequence[Allocation]) -> None:
        self._allocations = {allocation.symbol: allocation for allocation in allocations}
        self._accounts: dict[str, Account] = {}
        self.capital_base = sum(allocation.cash for allocation in allocations)
        self.last_fill_sequence = 0

    @property
    def symbols(self) -> tuple[str, ...]:
        """What is traded."""
        return tuple(self._allocations)

    def account(self, symbol: str) -> Account | None:
        """The account of a symbol; None before its first bar."""
        return self._accounts.get(symbol)

    def position(self, symbol: str) -> PositionState:
        """What an observation says about the position in a symbol."""
        account = self._accounts.get(symbol)
        return _FLAT if account is None else account.position

    def quantity(self, symbol: str) -> float:
        """Signed position in units of the asset."""
        account = self._accounts.get(symbol)
        return 0.0 if account is None else account.quantity

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
            account = self._accounts.get(fill.symbol)
            if account is None:
                raise ConflictError(f"fill {fill.sequence} is of {fill.symbol}, which has no bar")
            account.apply_fill(
                fill.quantity, fill.price, reference_price=fill.reference_price, fee=fill.fee
            )
            self.last_fill_sequence = fill.sequence

    def close_bars(self, bars: Iterable[BarRecord]) -> None:
        """Marks the accounts at the closes of bars."""
        for bar in bars:
            account = self._accounts.get(bar.symbol)
            if account is None:
                cash = self._allocations[bar.symbol].cash
                self._accounts[bar.symbol] = Account(cash, bar.close)
            else:
                account.close_bar(bar.close)

    @property
    def cash(self) -> float:
        """Cash of all allocations."""
        return sum(
            allocation.cash if account is None else account.cash
            for allocation, account in self._pairs()
        )

    @property
    def equity(self) -> float:
        """What all allocations are worth at the last closes."""
        return sum(
            allocation.cash if account is None else account.equity
            for allocation, account in self._pairs()
        )

    @property
    def fees_paid(self) -> float:
        """Of all fills."""
        return sum(account.fees_paid for account in self._accounts.values())

    def positions(self) -> tuple[PositionRecord, ...]:
        """Every symbol that has had a bar."""
        return tuple(
            PositionRecord(symbol, account.quantity, account.entry_price, account.mark_price)
            for symbol, account in self._accounts.items()
        )

    def check_against(self, holdings: Holdings, pending: Sequence[FillRecord]) -> None:
        """Compares this account with what the broker says.

        Args:
            holdings: What the broker holds.
            pending: Its fills that are not booked here yet.

        Raises:
            ConflictError: They differ; the message says in what.
        """
        differences = []
        cash = self.cash - sum(fill.quantity * fill.price + fill.fee for fill in pending)
        if not abs(holdings.cash - cash) < CENT:
            differences.append(f"cash {cash:.4f} here, {holdings.cash:.4f} there")
        for symbol in sorted({*self._allocations, *holdings.positions}):
            ours, theirs = self.quantity(symbol), holdings.positions.get(symbol, 0.0)
            ours += sum(fill.quantity for fill in pending if fill.symbol == symbol)
            account = self._accounts.get(symbol)
            price = 1.0 if account is None else account.mark_price
            if not abs(ours - theirs) * price < CENT:
                differences.append(f"{symbol} {ours!r} here, {theirs!r} there")
        if differences:
            raise ConflictError(f"the broker holds something else: {'; '.join(differences)}")

    def prices(self) -> Mapping[str, float]:
        """Last close of each symbol that has had a bar."""
        return {symbol: account.mark_price for symbol, account in self._accounts.items()}

    def _pairs(self) -> Iterable[tuple[Allocation, Account | None]]:
        return (
            (allocation, self._accounts.get(symbol))
            for symbol, allocation in self._allocations.items()
        )
