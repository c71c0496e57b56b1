"""Books that differ after a crash, brokers that do not answer, and crashes of the start itself."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.account.journal import Journal, JournalEntry
from orchestrator.account.portfolio import Allocation, Portfolio
from orchestrator.agents.reconciliation import PendingOrders, reconcile, reconcile_within
from orchestrator.brokers import Holdings, Order, OrderState, OrderStatus, PaperBroker
from orchestrator.decision_log import FillRecord
from tests.unit.orchestrator.agents.test_recovery import (
    allow,
    bars,
    broker,
    crash_before_the_last_orders,
    order,
)
from tradewind.errors import ConflictError, UnavailableError

LAST = (order("2-BTC", "BTC", 1.0, 2, 200.0), order("2-ETH", "ETH", -1.0, 2, 200.0))
READS = ("observe", "open_orders", "fills", "holdings", "order", "submit")


class Odd:
    """A paper broker whose answers a test changes, and that counts what is sent to it."""

    def __init__(self, inner: PaperBroker, **changes: Any) -> None:
        self._inner = inner
        self._changes = changes
        self.sent: list[Order] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        async def call(*arguments: Any) -> Any:
            if name == "submit":
                self.sent += arguments[0]
            answer = await method(*arguments)
            change = self._changes.get(name)
            return change(answer) if change is not None else answer

        return call


def run_odd(path: Path, **changes: Any) -> list[Order]:
    """Reconciles with such a broker, which must be refused; gives what was sent to it."""
    match = changes.pop("match")

    async def run() -> list[Order]:
        entries, portfolio = await crash_before_the_last_orders(path, LAST, 0)
        odd: Any = Odd(broker(path), **changes)
        with pytest.raises(ConflictError, match=match):
            await reconcile(odd, entries, portfolio, allow)
        await odd.close()
        sent: list[Order] = odd.sent
        return sent

    return asyncio.run(run())


def fill(sequence: int, name: str, symbol: str, quantity: float) -> FillRecord:
    return FillRecord(sequence, name, symbol, quantity, 200.0, 200.0, 0.0, 1)


def known(item: Order) -> Callable[[Any], OrderState | None]:
    return lambda found: OrderState(item) if found is None else found


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"holdings": lambda it: replace(it, cash=it.cash + 0.02)}, r"cash 0\.0000 here, 0\.0200"),
        ({"holdings": lambda it: replace(it, cash=float("nan"))}, "cash .* nan there"),
        ({"holdings": lambda it: Holdings(it.cash, {"ETH": 99.0})}, r"ETH 100\.0 here, 99\.0"),
        ({"holdings": lambda it: Holdings(it.cash, {**it.positions, "XRP": 1.0})}, "XRP 0.0 here"),
        ({"holdings": lambda it: Holdings(it.cash, {})}, r"ETH 100\.0 here, 0\.0 there"),
        (
            {"open_orders": lambda _: (OrderState(order("9-BTC", "BTC", 1.0, 2, 200.0)),)},
            "open order that is not in the journal: 9-BTC",
        ),
        (
            {"open_orders": lambda _: (OrderState(replace(LAST[0], quantity=5.0)),)},
            "knows order 2-BTC as another one",
        ),
        ({"order": known(replace(LAST[0], quantity=5.0))}, "knows order 2-BTC as another one"),
        ({"fills": lambda _: [fill(3, "2-BTC", "BTC", 1.0)]}, "fill 3 comes where 2 should"),
        ({"fills": lambda _: [fill(2, "manual", "BTC", 1.0)]}, "is of an order that is not in"),
        ({"fills": lambda _: [fill(2, "2-BTC", "ETH", 1.0)]}, "is of an order that is not in"),
        ({"fills": lambda _: [fill(2, "2-BTC", "BTC", 1.0)]}, r"cash -200\.0000 here"),
    ],
)
def test_broker_with_other_books_is_refused_before_anything_is_sent(
    tmp_path: Path, changes: dict[str, Any], match: str
) -> None:
    assert run_odd(tmp_path / "books", match=match, **changes) == []


def test_panel_of_symbols_whose_books_differ_is_refused_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    async def run() -> list[Order]:
        entries, _ = await crash_before_the_last_orders(tmp_path / "books", LAST, 0)
        panel = Portfolio([Allocation(("BTC", "ETH"), "p", 10_000.0)])
        for entry in entries:
            panel.apply(entry.fills)
            panel.close_bars(entry.bars)
        odd: Any = Odd(
            broker(tmp_path / "books"), holdings=lambda it: Holdings(it.cash, {"BTC": 1.0})
        )
        with pytest.raises(ConflictError, match=r"BTC 0\.0 here, 1\.0 there; ETH 100\.0 here"):
            await reconcile(odd, entries, panel, allow)
        odd._changes.clear()
        await reconcile(odd, entries, panel, allow)
        await odd.close()
        sent: list[Order] = odd.sent
        return sent

    assert asyncio.run(run()) == list(LAST)


def test_fills_missed_while_down_agree_and_fills_between_two_looks_are_waited_for(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        entries, portfolio = await crash_before_the_last_orders(tmp_path / "books", LAST, 2)
        again = broker(tmp_path / "books")
        await again.observe(bars(3, 150.0))  # the market went on
        assert [item.client_order_id for item in await again.fills(1)] == ["2-BTC", "2-ETH"]
        odd: Any = Odd(again)
        reconciled = await reconcile(odd, entries, portfolio, allow)
        assert (odd.sent, reconciled.withheld, reconciled.rejected) == ([], {}, {})

        held = iter([Holdings(0.0, {"ETH": 101.0}), await again.holdings()])
        looks = iter([[], await again.fills(1), await again.fills(1)])
        odd = Odd(again, fills=lambda _: next(looks), holdings=lambda _: next(held))
        await reconcile(odd, entries, portfolio, allow)
        await again.close()

    asyncio.run(run())


def test_order_that_must_not_be_sent_is_withheld_and_one_that_is_rejected_is_told(
    tmp_path: Path,
) -> None:
    too_large = order("2-BTC", "BTC", 1e6, 2, 200.0)

    async def run() -> None:
        entries, portfolio = await crash_before_the_last_orders(
            tmp_path / "books", (too_large, LAST[1]), 0
        )
        again: Any = Odd(broker(tmp_path / "books"))
        asked: list[tuple[PendingOrders, Mapping[str, float]]] = []

        async def judge(orders: PendingOrders, held: Mapping[str, float]) -> dict[str, str]:
            assert again.sent == []
            asked.append((orders, held))
            return {"2-ETH": "RISK_HALT"}

        reconciled = await reconcile(again, entries, portfolio, judge)
        assert asked == [([(too_large, "POLICY"), (LAST[1], "POLICY")], {"ETH": 100.0})]
        assert again.sent == [too_large]
        assert reconciled.withheld == {"2-ETH": "RISK_HALT"}
        assert reconciled.rejected == {"2-BTC": "ORDER_REJECTED"}
        await again.close()

    asyncio.run(run())


@pytest.mark.parametrize("step", READS)
def test_broker_that_fails_at_a_step_is_asked_again_and_gets_each_order_once(
    tmp_path: Path, step: str
) -> None:
    async def run() -> None:
        entries, portfolio = await crash_before_the_last_orders(tmp_path / "books", LAST, 0)
        failures = iter([True, True])

        def fail(answer: Any) -> Any:
            if next(failures, False):
                raise UnavailableError("it is gone, and whether it did it is not known")
            return answer

        odd: Any = Odd(broker(tmp_path / "books"), **{step: fail})
        await reconcile_within(60.0, odd, entries, portfolio, allow)
        states = {state.order: state.status for state in await odd.open_orders()}
        assert states == dict.fromkeys(LAST, OrderStatus.NEW)
        await odd.close()

    asyncio.run(run())


@pytest.mark.parametrize("step", READS[:-1])
def test_broker_that_does_not_answer_ends_the_start_with_nothing_sent(
    tmp_path: Path, step: str
) -> None:
    class Silent(Odd):
        def __getattr__(self, name: str) -> Any:
            return (
                (lambda *_: asyncio.Event().wait()) if name == step else super().__getattr__(name)
            )

    async def run() -> None:
        entries, portfolio = await crash_before_the_last_orders(tmp_path / "books", LAST, 0)
        silent: Any = Silent(broker(tmp_path / "books"))
        with pytest.raises(UnavailableError, match="within 0.05 s"):
            await reconcile_within(0.05, silent, entries, portfolio, allow)
        assert silent.sent == []
        await silent.close()

    asyncio.run(run())


def recover(journal: Path, books: Path, portfolio: Portfolio, step: str, nth: int) -> None:
    """One start, which dies before the nth call of a method; after it, if nth is negative."""
    entries = Journal(journal).entries
    calls = 0

    class Dying(Odd):
        def __getattr__(self, name: str) -> Any:
            method = super().__getattr__(name)

            async def call(*arguments: Any) -> Any:
                nonlocal calls
                calls += name == step
                if name == step and calls == nth:
                    os.kill(os.getpid(), signal.SIGKILL)
                answer = await method(*arguments)
                if name == step and calls == -nth:
                    os.kill(os.getpid(), signal.SIGKILL)
                return answer

            return call

    async def run() -> None:
        dying: Any = Dying(broker(books))
        await reconcile(dying, entries, portfolio, allow)
        if step == "end":
            os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(run())


def in_a_process(work: Callable[[], None]) -> int:
    """Runs work in a forked process; gives the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


@pytest.mark.parametrize("nth", [1, -1])
@pytest.mark.parametrize("step", [*READS, "end"])
def test_start_killed_twice_at_a_step_sends_each_order_once(
    tmp_path: Path, step: str, nth: int
) -> None:
    books, path = tmp_path / "books", tmp_path / "journal"
    entries, portfolio = asyncio.run(crash_before_the_last_orders(books, LAST, 0))
    write(path, entries)
    for _ in range(2):
        killed = in_a_process(lambda: recover(path, books, portfolio, step, nth))
        assert killed == signal.SIGKILL or step == "submit"
    assert in_a_process(lambda: recover(path, books, portfolio, "", 0)) == 0

    async def look() -> None:
        again = broker(books)
        assert {state.order for state in await again.open_orders()} == set(LAST)
        await again.observe(bars(3, 200.0))
        assert [item.quantity for item in await again.fills(1)] == [1.0, -1.0]
        await again.close()

    asyncio.run(look())


def write(path: Path, entries: Sequence[JournalEntry]) -> None:
    journal = Journal(path)
    for entry in entries:
        journal.append(entry)
    journal.close()
