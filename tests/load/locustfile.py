"""Orchestrators, as Locust users: each asks all three services, and checks every answer.

    locust -f tests/load/locustfile.py --headless --questions FILE --inference HOST:PORT
        --risk HOST:PORT --trainer HOST:PORT --users 8 --rate 25 --run-time 60s

Locust patches the standard library for gevent, so this runs in a process of Locust's alone. The
questions are those of tests.load.answers. An answer that is not the expected one, to the last bit,
is a failure like a call without an answer. No call is tried again.
"""

import itertools
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import grpc
import numpy as np
from google.rpc import code_pb2
from grpc.experimental.gevent import init_gevent
from locust import User, constant_throughput, events, task
from locust.env import Environment

from tests.load.connect import open_channel
from tests.load.questions import Questions
from tests.load.results import OK, WRONG, Results
from tradewind.errors import TradewindError
from tradewind.rpc.clients import PredictStream, inference_calls, risk_calls, trainer_calls
from tradewind.rpc.clients.call import Call, Service
from tradewind.rpc.status import error_from_rpc, status_from_error

R = TypeVar("R")

TIMEOUT_S = 5.0
BATCH = 32
STREAM_MESSAGES = 10
# Users share accounts, as the strategies of one desk do; there are no more than this.
ACCOUNTS = 16


class WrongAnswer(Exception):  # noqa: N818  # what it is called in Locust's report
    """An answer came, and it is not the right one."""


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_arguments(parser: ArgumentParser) -> None:
    """What Locust's own options do not say."""
    for service in ("inference", "risk", "trainer"):
        parser.add_argument(f"--{service}", metavar="HOST:PORT", required=True)
    parser.add_argument("--questions", type=Path, required=True, help="written by tests.load")
    parser.add_argument("--rate", type=float, default=10.0, help="tasks of a user per second")
    parser.add_argument("--results", type=Path, help="file for every call's latency and outcome")


@events.init.add_listener  # type: ignore[untyped-decorator]
def prepare(environment: Environment, **_: Any) -> None:
    """Reads the questions; has gRPC wait by gevent, which must be said before any channel."""
    init_gevent()
    options = environment.parsed_options
    assert options is not None
    Orchestrator.questions = Questions.read(options.questions)
    Orchestrator.results = results = Results()
    if options.results is not None:
        quitting: Any = environment.events.quitting
        quitting.add_listener(lambda **_: results.write(options.results))


class Orchestrator(User):
    """Decides bar by bar: mostly Predict, then the account's risk, now and then what runs where.

    Attributes:
        questions: What is asked.
        results: Where each call is noted.
    """

    questions: Questions
    results: Results
    _serial = itertools.count()

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        options = environment.parsed_options
        assert options is not None
        self._wait = constant_throughput(options.rate)
        serial = next(self._serial)
        self._account = f"load-{serial % ACCOUNTS}"
        self._inference = _connect(inference_calls.SERVICE, options.inference)
        self._risk = _connect(risk_calls.SERVICE, options.risk)
        self._trainer = _connect(trainer_calls.SERVICE, options.trainer)
        # Not all of them ask the same at the same time.
        self._rows = _cycle(len(self.questions.observations), serial)
        self._accounts = _cycle(len(self.questions.accounts), serial)

    def on_start(self) -> None:
        """Asks everything once, so that nothing is left out of a load that is short."""
        asks: list[Any] = self.tasks
        for ask in dict.fromkeys(asks):
            ask(self)

    def wait_time(self) -> float:
        """Keeps to the rate, however long the calls take."""
        return float(self._wait(self))

    @task(60)
    def predict(self) -> None:
        """An action for one observation."""
        row = next(self._rows)
        call = inference_calls.predict(
            self.questions.observations[row], policy=self.questions.policy
        )
        self._ask(self._inference, call, lambda answer: self._check_prediction(answer, row))

    @task(5)
    def predict_batch(self) -> None:
        """Actions for many observations at once."""
        first = next(self._rows)
        rows = np.arange(first, first + BATCH) % len(self.questions.observations)
        call = inference_calls.predict_batch(
            self.questions.observations[rows], policy=self.questions.policy
        )
        expected = self.questions.actions[rows]
        self._ask(
            self._inference,
            call,
            lambda answer: np.array_equal(answer.actions, expected) and self._served(answer),
        )

    @task(3)
    def predict_stream(self) -> None:
        """Some bars on one stream."""
        exchange = inference_calls.PREDICT_STREAM
        with PredictStream(self._inference, exchange, TIMEOUT_S) as stream:
            for row in itertools.islice(self._rows, STREAM_MESSAGES):
                if not self._predict_on(stream, row):
                    return

    @task(15)
    def calculate_only(self) -> None:
        """The metrics of an account."""
        account = self.questions.accounts[next(self._accounts)]
        self._ask(
            self._risk,
            risk_calls.calculate_only(account.inputs),
            lambda answer: (
                dict(answer.metric_values) == account.metric_values
                and dict(answer.unavailable) == account.unavailable
                and answer.policy_digest == self.questions.risk_policy_digest
            ),
        )

    @task(8)
    def evaluate(self) -> None:
        """What an account must do."""
        account = self.questions.accounts[next(self._accounts)]
        self._ask(
            self._risk,
            risk_calls.evaluate(account.inputs, account=self._account),
            lambda answer: (
                answer.action.name == account.action
                and dict(answer.report.metric_values) == account.metric_values
                and bool(answer.decision_id)
            ),
        )

    @task(1)
    def evaluate_halted(self) -> None:
        """An account that is halted stays so, however well it does."""
        account = self.questions.accounts[next(self._accounts)]
        self._ask(
            self._risk,
            risk_calls.evaluate(account.inputs, account=self.questions.halted_account),
            lambda answer: answer.action.name == "HALT" and answer.halt is not None,
        )

    @task(2)
    def get_policy(self) -> None:
        """How the policy's observations are built."""
        self._ask(
            self._inference,
            inference_calls.get_policy(self.questions.policy),
            lambda answer: self._served(answer.policy_version) and bool(answer.metadata_json),
        )

    @task(1)
    def list_policies(self) -> None:
        """What is served."""
        self._ask(
            self._inference,
            inference_calls.list_policies(),
            lambda answer: (
                any(map(self._served, answer.policy_versions)) and not answer.quarantined_versions
            ),
        )

    @task(1)
    def list_training_jobs(self) -> None:
        """What was trained."""
        self._ask(
            self._trainer,
            trainer_calls.list_jobs(),
            lambda answer: self.questions.job_id in {job.job_id for job in answer.items},
        )

    @task(1)
    def get_training_job(self) -> None:
        """How the policy was trained."""
        self._ask(
            self._trainer,
            trainer_calls.get_job(self.questions.job_id),
            lambda answer: answer.job_id == self.questions.job_id,
        )

    def _predict_on(self, stream: PredictStream, row: int) -> bool:
        observation, policy = self.questions.observations[row], self.questions.policy
        return self._measure(
            "PredictStream",
            lambda: stream.predict(observation, policy=policy),
            lambda answer: self._check_prediction(answer, row),
        )

    def _check_prediction(self, answer: Any, row: int) -> bool:
        return bool(answer.action == self.questions.actions[row]) and self._served(answer)

    def _served(self, answer: Any) -> bool:
        asked = self.questions
        return (answer.policy, answer.version, answer.bundle_sha256) == (
            asked.policy,
            asked.version,
            asked.bundle_sha256,
        )

    def _ask(self, stub: Any, call: Call[R], check: Callable[[R], bool]) -> None:
        method = getattr(stub, call.method)

        def send() -> R:
            try:
                return call.parse(method(call.request, timeout=TIMEOUT_S))
            except grpc.RpcError as error:
                raise error_from_rpc(error) from None

        self._measure(call.method, send, check)

    def _measure(self, name: str, send: Callable[[], R], check: Callable[[R], bool]) -> bool:
        """Times one call, checks its answer, and notes both; False when there was no answer."""
        began_s, started = time.time(), time.perf_counter()
        problem: Exception | None = None
        outcome = OK
        answer: R | None = None
        try:
            answer = send()
        except TradewindError as error:
            problem, outcome = error, _code(error)
        elapsed_ms = (time.perf_counter() - started) * 1e3
        if answer is not None and not check(answer):
            problem, outcome = WrongAnswer(f"{name}: {answer}"[:500]), WRONG
        self.results.add(name, began_s, elapsed_ms, outcome)
        self.environment.events.request.fire(
            request_type="gRPC",
            name=name,
            response_time=elapsed_ms,
            response_length=0,
            exception=problem,
            context={},
        )
        return answer is not None


def _connect(service: Service, address: str) -> Any:
    return service.stub(open_channel(address))


def _cycle(length: int, serial: int) -> Iterator[int]:
    return itertools.islice(itertools.cycle(range(length)), serial * 7 % length, None)


def _code(error: TradewindError) -> str:
    return error.metadata.get("code") or code_pb2.Code.Name(status_from_error(error).code)
