"""A running stack under load, and the table of what each fault did to it."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.faults.load import Load
from tests.faults.scenario import Outcome, Scenario
from tests.faults.stack import Stack
from tests.waiting import wait_until
from tradewind.bundle import BundleDraft

_OUTCOMES = pytest.StashKey[list[Outcome]]()


@pytest.fixture
def make_stack(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    """Makes stacks that end with the test; `make_stack(folder, settings=…)`."""
    with ExitStack() as owned:

        def make(folder: Path = tmp_path, **options: Any) -> Stack:
            return owned.enter_context(Stack(folder, **options))

        yield make


@pytest.fixture
def outcomes(request: pytest.FixtureRequest) -> list[Outcome]:
    """The rows of the table at the end."""
    return request.config.stash[_OUTCOMES]


@pytest.fixture
def begin(
    released_draft: Callable[..., BundleDraft], outcomes: list[Outcome]
) -> Iterator[Callable[[Stack], Scenario]]:
    """Publishes a policy, puts a stack under load, and waits until accounts are halted."""
    with ExitStack() as owned:

        def begin(stack: Stack) -> Scenario:
            stack.store.publish(released_draft())
            load = owned.enter_context(Load(stack))
            load.recovery_s(time.monotonic())
            wait_until(lambda: len(load.halted) >= 5, "five halted accounts")
            return Scenario(stack, load, outcomes)

        yield begin


@pytest.fixture
def scenario(make_stack: Callable[..., Stack], begin: Callable[[Stack], Scenario]) -> Scenario:
    """All three services under load."""
    stack = make_stack()
    stack.start_all()
    return begin(stack)


@pytest.fixture
def tiny_config() -> dict[str, Any]:
    """A training of a second on real bars."""
    return {
        "algorithm": "DQN",
        "algo_params": {"learning_starts": 100, "batch_size": 16},
        "training_params": {"total_timesteps": 500, "seed": 3, "n_envs": 1},
        "risk_config": {"enabled": True, "policy_yaml": "config/risk_limits.yaml"},
        "data": {"symbol": "BTC"},
        "environment": {"episode_bars": 100},
        "evaluation": {"resamples": 100, "report": False},
    }


@pytest.fixture
def job_config(tiny_config: dict[str, Any]) -> dict[str, Any]:
    """A training of some seconds."""
    return {**tiny_config, "training_params": {"total_timesteps": 8_000, "seed": 3, "n_envs": 1}}


@pytest.fixture
def endless_config(tiny_config: dict[str, Any]) -> dict[str, Any]:
    """A training that ends when it is cancelled."""
    return {**tiny_config, "training_params": {"total_timesteps": 100_000_000}}


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_OUTCOMES] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    outcomes = terminalreporter.config.stash[_OUTCOMES]
    if not outcomes:
        return
    terminalreporter.section("faults: wrong answers and lost records are failures above")
    line = "{:<58}{:>10}{:>10}{:>14}"
    terminalreporter.write_line(line.format("fault", "answers", "refusals", "serving again"))
    for row in outcomes:
        recovery = f"{row.recovery_s:.2f} s"
        terminalreporter.write_line(line.format(row.fault, row.answered, row.refused, recovery))
