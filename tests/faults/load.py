"""Callers that go on through every fault and check each answer that they get."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tests.faults.stack import Stack
from tests.waiting import wait_until
from tradewind.errors import (
    OverloadedError,
    StorageError,
    TradewindError,
    UnavailableError,
)
from tradewind.policy import TorchScriptPolicy
from tradewind.risk import RiskAgentV2, RiskInputs
from tradewind.risk.rules import Action
from tradewind.rpc.clients import InferenceClient, RiskClient

Step = Callable[[InferenceClient, RiskClient], Callable[[], None]]

__all__ = ["CALM", "CRASHED", "KINDS", "Load"]

KINDS = ("predict", "calculate", "evaluate", "halt")
CALM = RiskInputs(portfolio_values=np.array([100.0, 101.0, 100.5]))
CRASHED = RiskInputs(portfolio_values=np.array([100.0, 70.0]))

_CALL_TIMEOUT_S = 1.0
_OBSERVATIONS = 64
# Between two calls of a caller: the load is there to notice, not to measure how much can be done.
_PAUSE_S = 0.01
# What a fault may do to a call: it is refused, or stays without an answer.
_REFUSALS = (UnavailableError, StorageError, OverloadedError)


class Load:
    """Calls Predict, CalculateOnly and Evaluate without an end, and checks every answer.

    An answer is wrong when it is not, to the last bit, what the bundle or the risk agent gives in
    this process; when a halted account is told anything but HALT; or when a call fails in a way
    that no fault explains. Use it as a context manager: leaving it stops the callers.

    Args:
        stack: What is called.
        policy: Name of the policy that is asked.

    Attributes:
        wrong: What was wrong, in words.
        refused: Calls that were refused or not answered, by kind.
        answered: Answers, by kind.
        versions: Answers of Predict, by version.
        decisions: Ids of every decision that was answered.
        halted: Accounts that were told to halt, each with the decision that said so.
    """

    def __init__(self, stack: Stack, policy: str = "tiny-dqn") -> None:
        self._stack = stack
        self._policy = policy
        self._agent = RiskAgentV2.from_yaml(stack.risk_policy)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._last_s: dict[str, float] = {}
        self._expected: dict[str, NDArray[np.int64]] = {}
        generator = np.random.default_rng(7)
        self._observations = generator.normal(size=(_OBSERVATIONS, 6)).astype(np.float32)
        self._threads = [
            threading.Thread(target=self._call, args=(kind, make))
            for kind, make in (
                ("predict", self._predict),
                ("predict", self._predict),
                ("calculate", self._calculate),
                ("evaluate", self._evaluate),
                ("halt", self._halt),
            )
        ]
        self.wrong: list[str] = []
        self.refused: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.versions: Counter[str] = Counter()
        self.decisions: list[str] = []
        self.halted: dict[str, str] = {}

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def observation(self) -> NDArray[np.float32]:
        """One that Predict takes."""
        first: NDArray[np.float32] = self._observations[0]
        return first

    def stop(self) -> None:
        """Ends the callers; nothing changes afterwards."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def recovery_s(self, since: float, kinds: Sequence[str] = KINDS) -> float:
        """Seconds from a moment until calls that began after it were answered, of all kinds.

        Args:
            since: The moment, by time.monotonic.
            kinds: What is waited for.
        """
        wait_until(
            lambda: all(self._last_s.get(kind, 0.0) > since for kind in kinds),
            f"answers to {', '.join(kinds)}",
        )
        return time.monotonic() - since

    def _call(self, kind: str, make: Step) -> None:
        with (
            InferenceClient(
                self._stack.addresses["inference_service"], timeout_s=_CALL_TIMEOUT_S
            ) as inference,
            RiskClient(self._stack.addresses["risk_service"], timeout_s=_CALL_TIMEOUT_S) as risk,
        ):
            step = make(inference, risk)
            while not self._stopping.is_set():
                started = time.monotonic()
                try:
                    step()
                except TradewindError as problem:
                    self._refuse(kind, problem)
                else:
                    self.answered[kind] += 1
                    self._last_s[kind] = started
                self._stopping.wait(_PAUSE_S)

    def _refuse(self, kind: str, problem: TradewindError) -> None:
        timed_out = problem.metadata.get("code") == "DEADLINE_EXCEEDED"
        if isinstance(problem, _REFUSALS) or timed_out:
            self.refused[kind] += 1
        else:
            self.wrong.append(f"{kind}: {type(problem).__name__}: {problem}")

    def _predict(self, inference: InferenceClient, _: RiskClient) -> Callable[[], None]:
        rows = itertools.cycle(range(_OBSERVATIONS))

        def step() -> None:
            row = next(rows)
            answer = inference.predict(self._observations[row], policy=self._policy)
            self.versions[answer.version] += 1
            if answer.action != self._action(answer.version, row):
                self.wrong.append(f"{answer.version} gave {answer.action} for observation {row}")

        return step

    def _action(self, version: str, row: int) -> int:
        with self._lock:
            if version not in self._expected:
                bundle = TorchScriptPolicy.load_bundle(
                    self._stack.store.path(self._policy, version)
                )
                self._expected[version] = bundle.predict_batch(self._observations)[0]
        return int(self._expected[version][row])

    def _calculate(self, _: InferenceClient, risk: RiskClient) -> Callable[[], None]:
        expected = self._agent.calculate_only(CALM)

        def step() -> None:
            report = risk.calculate_only(CALM)
            if dict(report.metric_values) != dict(expected.metric_values):
                self.wrong.append(f"other metrics: {report.metric_values}")

        return step

    def _evaluate(self, _: InferenceClient, risk: RiskClient) -> Callable[[], None]:
        def step() -> None:
            answer = risk.evaluate(CALM, account="calm")
            self.decisions.append(answer.decision_id)
            if answer.action is not Action.ALLOW:
                self.wrong.append(f"a calm account was told to {answer.action.name}")

        return step

    def _halt(self, _: InferenceClient, risk: RiskClient) -> Callable[[], None]:
        """Halts ten accounts, and asks for a halted one again and again, with calm inputs."""
        names = itertools.cycle(f"crashed-{serial}" for serial in range(10))

        def step() -> None:
            account = next(names)
            known = account in self.halted
            answer = risk.evaluate(CALM if known else CRASHED, account=account)
            self.decisions.append(answer.decision_id)
            if answer.action is not Action.HALT:
                self.wrong.append(f"{account}, halted, was told to {answer.action.name}")
            self.halted.setdefault(account, answer.decision_id)

        return step
