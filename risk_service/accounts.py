"""What the service remembers of each account between two decisions."""

import itertools
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final

from risk_service.audit.chain import Head
from risk_service.audit.decision import JournaledDecision
from risk_service.audit.journal import Entry
from risk_service.audit.trail import Standing
from tradewind.errors import FieldViolation, InvalidInputError
from tradewind.risk.decision import Halt
from tradewind.risk.rules import WindowState

__all__ = ["Account", "Accounts"]

_DEFAULT: Final = "default"
_NAME: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_LOOKED_AT: Final = 300
"""Accounts that are looked at for one to let go of; more than calls can hold at a time."""


class Account:
    """The state of one account; to be read and changed while it is held.

    Attributes:
        name: Its name.
        halt: Its halt; None when it is not halted.
        windows: What the rules with a window remember.
        entry: The last decision on it that was submitted; None when there was none.
    """

    def __init__(self, name: str, standing: Standing | None) -> None:
        self.name = name
        self.halt: Halt | None = None
        self.windows: Mapping[str, WindowState] = {}
        self.entry: Entry | None = None
        # Held while a decision is made, so that decisions are recorded in their order.
        self._lock = threading.Lock()
        self._holders = 0
        self._standing = standing
        self._is_read = standing is None

    @property
    def is_halted(self) -> bool:
        """Whether it is halted, whether or not its state has been read yet."""
        if not self._is_read:
            return self._standing is not None and self._standing.is_halted
        return self.halt is not None

    @property
    def _has_state(self) -> bool:
        return self.halt is not None or any(state.possible for state in self.windows.values())


class Accounts:
    """The accounts, as the last decision on each left it.

    Those not heard of longest are let go of; their state is read again, from the decision that has
    left it, once somebody asks for them. So there may be any number of accounts, no name keeps
    another one out, and no halt is forgotten.

    Args:
        standings: Where the state of each account stands that has any.
        limit: How many accounts are kept in memory.
        read: Gives the decision at a place in the trail.
    """

    def __init__(
        self,
        standings: Mapping[str, Standing],
        limit: int,
        read: Callable[[Head], JournaledDecision],
    ) -> None:
        self._limit = limit
        self._read = read
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Account] = OrderedDict()
        self._let_go = dict(standings)

    def hold(self, name: str) -> "_Hold":
        """Inside the block, nobody else has the account; empty is the account "default".

        Raises:
            InvalidInputError: It is not a name.
            StorageError: Its state cannot be read.
        """
        return _Hold(self, name or _DEFAULT)

    def is_known(self, name: str) -> bool:
        """Whether it has any state that is not an account's without decisions, or is in memory."""
        return name in self._kept or name in self._let_go

    def halted_count(self) -> int:
        """How many accounts are halted."""
        with self._lock:
            kept = sum(account.is_halted for account in self._kept.values())
            return kept + sum(standing.is_halted for standing in self._let_go.values())

    def _take(self, name: str) -> Account:
        with self._lock:
            account = self._kept.get(name)
            if account is None:
                if name not in self._let_go and not _NAME.fullmatch(name):
                    violation = FieldViolation("account", f"must match {_NAME.pattern}")
                    raise InvalidInputError("the account is refused", [violation])
                account = self._kept[name] = Account(name, self._let_go.pop(name, None))
                account._holders = 1
                self._let_others_go()
            else:
                account._holders += 1
                self._kept.move_to_end(name)
            return account

    def _restore(self, account: Account) -> None:
        assert account._standing is not None
        decision = self._read(account._standing.place)
        account.halt, account.windows = decision.halt, decision.windows
        account._is_read = True

    def _let_others_go(self) -> None:
        while len(self._kept) > self._limit:
            oldest = itertools.islice(self._kept.values(), _LOOKED_AT)
            account = next((each for each in oldest if self._can_go(each)), None)
            if account is None:
                return
            del self._kept[account.name]
            standing = _standing(account)
            if standing is not None:
                self._let_go[account.name] = standing

    def _can_go(self, account: Account) -> bool:
        # What could not be recorded, or is not yet, is in memory only, and in force.
        entry = account.entry
        return account._holders == 0 and (entry is None or entry.row is not None)


class _Hold:
    """What `Accounts.hold` gives: a contextlib.contextmanager takes longer."""

    __slots__ = ("_account", "_accounts")

    def __init__(self, accounts: Accounts, name: str) -> None:
        self._accounts = accounts
        self._account = accounts._take(name)

    def __enter__(self) -> Account:
        account = self._account
        account._lock.acquire()
        if not account._is_read:
            try:
                self._accounts._restore(account)
            except BaseException:
                self._let_go()
                raise
        return account

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._let_go()

    def _let_go(self) -> None:
        account = self._account
        account._lock.release()
        with self._accounts._lock:
            account._holders -= 1


def _standing(account: Account) -> Standing | None:
    """Where the state of an account stands that can be let go of; None when it has none."""
    if account.entry is None:
        return account._standing
    assert account.entry.row is not None
    if not account._has_state:
        return None
    return Standing(account.entry.row.head, account.halt is not None)
