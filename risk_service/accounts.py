"""What the service remembers of each account between two decisions."""

import re
import threading
from collections.abc import Iterable, Mapping

from risk_service.audit.decision import Decision
from tradewind.errors import FieldViolation, InvalidInputError, OverloadedError
from tradewind.risk.decision import Halt
from tradewind.risk.rules import WindowState

__all__ = ["Account", "Accounts"]

_DEFAULT = "default"
_NAME = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class Account:
    """The state of one account; to be read and changed under its lock.

    Attributes:
        name: Its name.
        lock: Held while a decision is made, so that decisions are recorded in their order.
        halt: Its halt; None when it is not halted.
        windows: What the rules with a window remember.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock = threading.Lock()
        self.halt: Halt | None = None
        self.windows: Mapping[str, WindowState] = {}


class Accounts:
    """The accounts, as the last decision on each left it.

    Args:
        decisions: The last decision of each account.
        limit: How many accounts there may be.
    """

    def __init__(self, decisions: Iterable[Decision], limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._by_name: dict[str, Account] = {}
        for decision in decisions:
            account = Account(decision.account)
            account.halt, account.windows = decision.halt, decision.windows
            self._by_name[account.name] = account

    def get(self, name: str) -> Account:
        """The account of that name, new when there was none; empty is the account "default".

        Raises:
            InvalidInputError: It is not a name.
            OverloadedError: It would be one account too many.
        """
        name = name or _DEFAULT
        account = self._by_name.get(name)
        if account is None:
            if not _NAME.fullmatch(name):
                violation = FieldViolation("account", f"must match {_NAME.pattern}")
                raise InvalidInputError("the account is refused", [violation])
            with self._lock:
                if name not in self._by_name and len(self._by_name) >= self._limit:
                    raise OverloadedError(f"there are {self._limit} accounts already")
                account = self._by_name.setdefault(name, Account(name))
        return account

    def find(self, name: str) -> Account | None:
        """The account of that name; None when no decision was ever made on it."""
        return self._by_name.get(name)

    def halted_count(self) -> int:
        """How many accounts are halted."""
        return sum(account.halt is not None for account in list(self._by_name.values()))
