"""Accounts: names, any number of them, and what becomes of those that memory lets go of."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from risk_service.accounts import Accounts
from risk_service.audit.chain import Head
from risk_service.audit.database import Database
from risk_service.audit.decision import JournaledDecision
from risk_service.audit.journal import Entry
from risk_service.audit.trail import AuditTrail
from tradewind.errors import InvalidInputError, StorageError
from tradewind.risk.decision import DecisionKind, Halt
from tradewind.risk.rules import Action, WindowState

HALT = Halt(Action.HALT, 1.0, "rule", "reason", "id")
MARKED = {"rule": WindowState(3, (2.0,), (2.0,))}
UNMARKED = {"rule": WindowState(3, (), ())}


class Desk:
    """Decides on accounts over a real trail, as the evaluator does."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.count = 0
        url = f"sqlite:///{folder}/audit.sqlite"
        self.trail = AuditTrail(Database(url), folder / "journal")
        self.reads: list[Head] = []
        self.accounts = Accounts(self.trail.restored, limit, self.read)

    def read(self, place: Head) -> JournaledDecision:
        self.reads.append(place)
        return self.trail.decision_at(place)

    def decide(
        self, name: str, halt: Halt | None = None, state: Mapping[str, WindowState] | None = None
    ) -> None:
        self.count += 1
        with self.accounts.hold(name) as account:
            decision = JournaledDecision(
                decision_id=f"{self.folder.name}-{self.count}",
                decided_at=float(self.count),
                account=account.name,
                kind=DecisionKind.EVALUATE,
                action=Action.ALLOW,
                halt=halt,
                windows=state or {},
            )
            account.entry = entry = self.trail.submit(decision)
            account.halt, account.windows = halt, state or {}
        self.trail.wait(entry)

    def halt_of(self, name: str) -> Halt | None:
        with self.accounts.hold(name) as account:
            return account.halt


@pytest.fixture
def open_desk(tmp_path: Path) -> Callable[..., Desk]:
    return lambda limit=2: Desk(tmp_path, limit)


def test_hold_with_no_name_gives_the_default_account(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk()
    with desk.accounts.hold("") as account:
        assert account.name == "default"
    desk.trail.close()


@pytest.mark.parametrize("name", ["a b", "x" * 65, "é", "a/b", "\0"])
def test_hold_with_an_impossible_name_is_refused(open_desk: Callable[..., Desk], name: str) -> None:
    desk = open_desk()
    with pytest.raises(InvalidInputError, match="must match"), desk.accounts.hold(name):
        pass
    desk.trail.close()


def test_accounts_with_a_thousand_junk_names_forget_no_halt_and_no_window_and_refuse_nobody(
    open_desk: Callable[..., Desk],
) -> None:
    desk = open_desk(limit=5)
    desk.decide("halted", HALT)
    desk.decide("marked", state=MARKED)
    desk.decide("unmarked", state=UNMARKED)
    for number in range(1_000):
        desk.decide(f"junk-{number}")
    assert desk.accounts.halted_count() == 1
    assert not desk.accounts.is_known("unmarked")
    assert desk.halt_of("halted") == HALT
    with desk.accounts.hold("marked") as account:
        assert account.windows == MARKED
    assert desk.halt_of("genuine") is None
    assert len(desk.reads) == 2
    desk.trail.close()


def test_accounts_after_a_restart_have_every_halt_also_of_more_accounts_than_memory_keeps(
    open_desk: Callable[..., Desk],
) -> None:
    desk = open_desk(limit=3)
    for number in range(20):
        desk.decide(f"halted-{number}", HALT)
        desk.decide(f"resumed-{number}", HALT)
        desk.decide(f"resumed-{number}")
    desk.trail.close()
    desk = open_desk(limit=3)
    assert desk.accounts.halted_count() == 20
    assert [desk.halt_of(f"halted-{number}") for number in range(20)] == [HALT] * 20
    assert [desk.halt_of(f"resumed-{number}") for number in range(20)] == [None] * 20
    assert desk.accounts.halted_count() == 20
    desk.trail.close()


def test_accounts_keep_one_whose_decision_could_not_be_recorded(
    open_desk: Callable[..., Desk],
) -> None:
    desk = open_desk(limit=1)
    with desk.accounts.hold("failed") as account:
        account.entry = Entry("lost", None)
        account.entry.error = StorageError("the disk is full")
        account.halt = HALT
    for number in range(10):
        desk.decide(f"junk-{number}")
    assert desk.halt_of("failed") == HALT
    assert desk.reads == []
    desk.trail.close()


def test_accounts_with_many_callers_and_little_memory_never_have_two_of_one_account(
    open_desk: Callable[..., Desk],
) -> None:
    desk = open_desk(limit=1)
    held: set[str] = set()
    overlaps: list[str] = []
    counted = dict.fromkeys("abcd", 0)
    decide = threading.Lock()

    def work(names: str) -> None:
        for _ in range(30):
            for name in names:
                with desk.accounts.hold(name) as account:
                    if name in held:
                        overlaps.append(name)
                    held.add(name)
                    count = int(account.halt.reason) if account.halt is not None else 0
                    halt = Halt(Action.HALT, 1.0, "rule", str(count + 1), "id")
                    with decide:
                        desk.count += 1
                        identity = f"decision-{desk.count}"
                    account.entry = entry = desk.trail.submit(
                        JournaledDecision(
                            identity, 1.0, name, DecisionKind.EVALUATE, Action.HALT, halt=halt
                        )
                    )
                    account.halt = halt
                    counted[name] += 1
                    held.discard(name)
                desk.trail.wait(entry)

    threads = [threading.Thread(target=work, args=(names,)) for names in ("abcd", "dcba", "bdac")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == []
    for name, count in counted.items():
        halt = desk.halt_of(name)
        assert halt is not None
        assert halt.reason == str(count) == "90"
    desk.trail.close()


def test_hold_of_an_account_whose_row_was_changed_meanwhile_is_refused(
    open_desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = open_desk(limit=1)
    desk.decide("halted", HALT)
    desk.decide("other")
    place = Head(1, "0" * 64)
    monkeypatch.setitem(
        desk.accounts._let_go, "halted", desk.accounts._let_go["halted"]._replace(place=place)
    )
    with pytest.raises(StorageError, match="changed from outside"):
        desk.halt_of("halted")
    assert desk.accounts.halted_count() == 1
    desk.trail.close()
