"""Calculators from outside at work: whatever one does, its metrics are values or have a reason."""

import threading
from collections import UserDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest

from tradewind.risk import (
    AccountView,
    BatchBar,
    NoSettings,
    OrderBook,
    Position,
    PythonCalculator,
    RiskAgentV2,
    RiskInputs,
    RiskPolicy,
)
from tradewind.risk.outside import running
from tradewind.risk.rules import Action, Readings, RuleEngine
from tradewind.risk.testing import check_calculator

ACCOUNT = RiskInputs(returns=np.array([-0.25, 0.1]))
VERSIONS = count(1)  # of one version, a calculator is tried once


def calculator(calculate: Callable[[AccountView], Any], **fields: Any) -> PythonCalculator[Any]:
    """One with the metric mood; it is well behaved while it is tried, on 30 returns."""

    def behave(_: NoSettings, account: AccountView) -> Any:
        is_trial = hasattr(account, "returns") and account.returns.size == 30
        return {"mood": 1.0} if is_trial else calculate(account)

    declared: dict[str, Any] = {
        "metrics": lambda _: {"mood": "1"},
        "windows": lambda _: {"returns": 30},
        "calculate": behave,
        **fields,
    }
    return PythonCalculator(name="mood", version=next(VERSIONS), settings=NoSettings, **declared)


def agent_of(part: PythonCalculator[Any], **entry: Any) -> RiskAgentV2:
    return RiskAgentV2(
        RiskPolicy.parse(
            {
                "calculators": {"mood": {"use": part, **entry}},
                "limits": {"mood": {"limit": 10.0, "weight": 2.0}},
                "rules": [{"name": "mood", "when": {"metric": "mood"}, "action": "BLOCK"}],
            }
        )
    )


class Liar(UserDict[str, float]):
    """A mapping that raises when it is read."""

    def keys(self) -> Any:
        raise RuntimeError("no keys")


class UnsayableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Endless(int):
    def __float__(self) -> float:
        raise OverflowError("too large")


def raising(problem: BaseException) -> Callable[[AccountView], Any]:
    def calculate(_: AccountView) -> Any:
        raise problem

    return calculate


@pytest.mark.parametrize(
    ("calculate", "said"),
    [
        (raising(ValueError("two\nlines")), "mood raised ValueError: two lines"),
        (raising(SystemExit(3)), "mood raised SystemExit: 3"),
        (raising(GeneratorExit()), "mood raised GeneratorExit:"),
        (raising(MemoryError()), "mood raised MemoryError:"),
        (raising(UnsayableError()), "mood raised UnsayableError"),
        (raising(ValueError("x" * 5_000)), "mood raised ValueError: " + "x" * 176),
        (lambda _: None, "mood gave NoneType instead of a mapping of its metrics"),
        (lambda _: np.zeros(3), "mood gave ndarray of shape (3,) instead of a mapping of its"),
        (lambda _: [1.0], "mood gave list instead of a mapping of its metrics"),
        (lambda _: {}, "mood gave the metrics [], and declares ['mood']"),
        (lambda _: {"mood": 1.0, "var_95": 0.0}, "mood gave the metrics ['mood', 'var_95'], and"),
        (lambda _: {3: 1.0}, "mood gave the metrics ['3'], and declares ['mood']"),
        (lambda _: {"mood": np.nan}, "mood gave nan for mood"),
        (lambda _: {"mood": -np.inf}, "mood gave -inf for mood"),
        (lambda _: {"mood": np.float32(np.inf)}, "mood gave inf for mood"),
        (lambda _: {"mood": None}, "mood gave NoneType instead of a number for mood"),
        (lambda _: {"mood": True}, "mood gave bool instead of a number for mood"),
        (lambda _: {"mood": np.bool_(True)}, "mood gave bool of shape () instead of a number"),
        (lambda _: {"mood": np.zeros(())}, "mood gave ndarray of shape () instead of a number"),
        (lambda _: {"mood": 10**400}, "mood raised OverflowError: int too large"),
        (lambda _: {"mood": Endless()}, "mood raised OverflowError: too large"),
        (lambda _: {"mood": 1j}, "mood gave complex instead of a number for mood"),
        (lambda _: Liar(mood=1.0), "mood raised RuntimeError: no keys"),
        (lambda account: account.returns.sort(), "mood raised ValueError: "),
        (lambda account: account.positions, "mood raised AttributeError: positions is in neither"),
        (lambda _: {"mood": "the market\n is closed"}, "the market is closed"),
        (lambda _: {"mood": ""}, "no reason given"),
    ],
)
def test_calculator_that_gives_no_value_makes_its_metric_unavailable_in_every_entrance(
    calculate: Callable[[AccountView], Any], said: str
) -> None:
    agent = agent_of(calculator(calculate))
    report = agent.calculate_only(ACCOUNT)
    assert report.unavailable["mood"].startswith(said)
    assert len(report.unavailable["mood"]) <= 210
    assert "mood" not in report.metric_values
    assert report.unchecked_limits == ("mood",)
    assert report.risk_score is None
    assert agent.tracker().update(ACCOUNT) == report
    batch = agent.batch(2, ("BTC",), 1.0)
    step_of(batch)
    for row in range(2):
        assert batch.report(row).unavailable["mood"] == report.unavailable["mood"]
    # Rules fail closed.
    rules = RuleEngine(agent.policy.rules, agent.policy.rule_limits())
    outcome = rules.evaluate(Readings(report.metric_values, report.unavailable), None, {})
    assert outcome.action is Action.BLOCK
    assert outcome.breaches[0].reason.endswith(report.unavailable["mood"])


def step_of(batch: Any) -> Any:
    """The risk after two bars."""
    bar = BatchBar.zeros(2, 1)
    bar.portfolio_values[:] = bar.prices[:] = 1.0
    batch.begin(np.arange(2), bar)
    bar.timestamps[:] = 1.0
    return batch.update(bar)


@pytest.mark.parametrize(
    "value", [2, 2.0, np.int64(2), np.float32(2.0), np.uint8(2)], ids=lambda value: type(value)
)
def test_calculator_that_gives_any_number_has_its_value(value: Any) -> None:
    report = agent_of(calculator(lambda _: {"mood": value})).calculate_only(ACCOUNT)
    assert report.metric_values["mood"] == 2.0
    assert type(report.metric_values["mood"]) is float
    assert report.penalty == report.risk_score == 0.2


def test_batch_with_a_calculator_from_outside_has_its_values_score_and_judgement() -> None:
    calls: Iterator[int] = count(1)
    part = calculator(lambda _: {"mood": next(calls)} if next(calls) < 3 else {"mood": "tired"})
    batch = agent_of(part).batch(2, ("BTC",), 1.0)
    risk = step_of(batch)
    assert np.array_equal(risk.metric("mood"), [2.0, np.nan], equal_nan=True)
    assert np.array_equal(risk.risk_score, [0.2, np.nan], equal_nan=True)
    assert np.array_equal(risk.penalty, [0.2, np.nan], equal_nan=True)
    assert risk.judged.tolist() == [True, False]
    state = batch.get_state()
    batch.set_state(state)
    assert batch.report(1).unavailable["mood"] == (
        "its calculator said why before this state was saved"
    )


def test_calculator_without_what_it_needs_is_not_called_and_says_what_is_missing() -> None:
    part = calculator(raising(ValueError("called")), needs=lambda _: {"returns": 3, "positions": 1})
    report = agent_of(part).calculate_only(ACCOUNT)
    assert report.unavailable["mood"] == "returns: 3 needed, 2 in the window"
    report = agent_of(part).calculate_only({"returns": [0.1, 0.2, 0.3]})
    assert report.unavailable["mood"].startswith("positions: none given")


def test_calculator_that_writes_to_what_it_is_given_changes_nothing_of_the_account() -> None:
    def calculate(account: AccountView) -> dict[str, float]:
        before = float(account.order_books["BTC"].bid_prices[0])
        account.order_books["BTC"].bid_prices[:] = -1.0
        vars(account).clear()
        return {"mood": before}

    needs = {"order_books": 1, "feed_timestamps": 1}
    tracker = agent_of(calculator(calculate, needs=lambda _: needs)).tracker()
    sizes = np.ones(1)
    book = OrderBook(np.full(1, 9.0), sizes, np.full(1, 11.0), sizes)
    held = {"BTC": Position("BTC", 1.0, 10.0)}
    first = tracker.update(
        {
            "returns": [0.1],
            "order_books": {"BTC": book},
            "feed_timestamps": {"BTC": 1.0},
            "positions": tuple(held.values()),
        }
    )
    second = tracker.update({"returns": [0.1]})
    assert first.metric_values["mood"] == second.metric_values["mood"] == 9.0
    assert second.metric_values["depth_shock"] == first.metric_values["depth_shock"]
    assert book.bid_prices[0] == 9.0


def test_calculator_that_is_slow_ten_times_in_a_row_is_not_called_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    durations_ns = iter([5_000, *[9_000] * 9, 5_000, *[9_000] * 10])
    clock: Iterator[int] = iter([])

    def tick() -> int:
        nonlocal clock
        try:
            return next(clock)
        except StopIteration:
            clock = iter([next(durations_ns)])
            return 0

    agent = agent_of(calculator(lambda _: {"mood": 1.0}), budget_us=1e6)
    for each in agent._plan.outside._each:  # type: ignore[union-attr]
        each._budget_us = 8.0
    monkeypatch.setattr(running, "stopwatch_ns", tick)
    for _ in range(21):
        assert agent.calculate_only(ACCOUNT).metric_values["mood"] == 1.0
    report = agent.calculate_only(ACCOUNT)
    assert report.unavailable["mood"] == (
        "mood took longer than its budget of 8 µs 10 times in a row, and is not called until the "
        "policy is loaded anew"
    )
    cost = agent.costs()["mood"]
    assert (cost.calls, cost.slow, cost.failures) == (21, 19, 0)
    assert cost.seconds == pytest.approx((2 * 5 + 19 * 9) * 1e-6)


def test_calculator_that_is_not_thread_safe_is_called_by_one_thread_at_a_time() -> None:
    inside, most = [0], [0]

    def calculate(_: AccountView) -> dict[str, float]:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        threading.Event().wait(0.001)  # lets others in, if anything does
        inside[0] -= 1
        return {"mood": 1.0}

    agent = agent_of(calculator(calculate), budget_us=1e9)
    threads = [
        threading.Thread(target=lambda: [agent.calculate_only(ACCOUNT) for _ in range(5)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert agent.costs()["mood"].calls == 20


def test_calculator_that_asks_its_own_agent_ends_with_a_reason() -> None:
    agents: list[RiskAgentV2] = []
    part = calculator(lambda _: {"mood": agents[0].calculate_only(ACCOUNT).metric_values["mood"]})
    agents.append(agent_of(part))
    assert "mood" in agents[0].calculate_only(ACCOUNT).unavailable


def test_interrupt_of_the_main_thread_is_not_taken_for_an_answer() -> None:
    agent = agent_of(calculator(raising(KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        agent.calculate_only(ACCOUNT)
    found: list[Mapping[str, str]] = []
    thread = threading.Thread(
        target=lambda: found.append(agent.calculate_only(ACCOUNT).unavailable)
    )
    thread.start()
    thread.join()
    assert found[0]["mood"].startswith("mood raised KeyboardInterrupt")


def test_check_of_a_calculator_that_keeps_its_promises_passes() -> None:
    part = calculator(lambda _: None)
    check_calculator(replace(part, calculate=lambda _, at: {"mood": float(np.ptp(at.returns))}))


@pytest.mark.parametrize(
    ("calculate", "said"),
    [
        (lambda account, calls: float(next(calls) > 40), "a tracker and whole arrays|same account"),
        (
            lambda account, calls: -1.0 if next(calls) < 30 else np.nan,
            "failed: .*gave nan for mood",
        ),
        (lambda account, calls: "never today", "never had a value: .*never today"),
    ],
)
def test_check_of_a_calculator_that_breaks_a_promise_says_which(
    calculate: Callable[..., Any], said: str
) -> None:
    calls = count()
    part = calculator(lambda _: None)
    part = replace(part, calculate=lambda _, account: {"mood": calculate(account, calls)})
    with pytest.raises(AssertionError, match=said):
        check_calculator(part, accounts=1)
