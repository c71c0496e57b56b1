"""A time limit that sets no timer where nothing waits, and is one where something does."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from orchestrator.agents.within import within


async def at_once(value: int) -> int:
    return value


async def after_steps(said: list[str], value: int) -> int:
    for step in range(3):
        await asyncio.sleep(0)
        said.append(f"step {step}")
    async with asyncio.timeout(30.0):  # it knows its task
        await asyncio.sleep(0.001)
    return value


async def for_ever(said: list[str]) -> int:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)  # it may still wait while it ends
        said.append("ended")
    return 0


async def fails(steps: int) -> int:
    for _ in range(steps):
        await asyncio.sleep(0)
    raise ValueError("no")


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def test_work_that_never_waits_gives_its_result_without_a_timer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_timer(*_: object) -> None:
        raise AssertionError("a timer was set")

    monkeypatch.setattr(asyncio, "timeout", no_timer)
    assert run(within(0.0, at_once(5))) == 5


def test_work_that_waits_gives_its_result_and_is_ended_in_order_when_it_waits_too_long() -> None:
    said: list[str] = []
    assert run(within(30.0, after_steps(said, 7))) == 7
    assert said == ["step 0", "step 1", "step 2"]
    with pytest.raises(TimeoutError):
        run(within(0.01, for_ever(said)))
    assert said[3:] == ["ended"]


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_work_that_fails_raises_what_it_raised(steps: int) -> None:
    with pytest.raises(ValueError, match="no"):
        run(within(30.0, fails(steps)))


def test_work_whose_task_is_cancelled_is_cancelled_and_not_late() -> None:
    said: list[str] = []

    async def cancel() -> None:
        task = asyncio.create_task(within(30.0, for_ever(said)))
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(cancel())
    assert said == ["ended"]
