"""A time limit that costs nothing where there is nothing to wait for."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, Generic, TypeVar

__all__ = ["within"]

_T = TypeVar("_T")


async def within(seconds: float, work: Coroutine[Any, Any, _T]) -> _T:
    """Runs a coroutine as `asyncio.timeout` does, but sets a timer only once it waits.

    A broker in this process answers without waiting, at every tick; a timer is some forty calls.

    Args:
        seconds: How long it may wait.
        work: What to do; it begins at once.

    Raises:
        TimeoutError: It has waited for so long, and was cancelled.
    """
    try:
        waits_for = work.send(None)
    except StopIteration as done:
        result: _T = done.value
        return result
    async with asyncio.timeout(seconds):
        return await _Begun(work, waits_for)


class _Begun(Generic[_T]):
    """A coroutine that waits for something already."""

    def __init__(self, work: Coroutine[Any, Any, _T], waits_for: object) -> None:
        self._work = work
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, _T]:
        while True:
            go_on: Callable[[], object]
            try:
                sent = yield self._waits_for
                go_on = partial(self._work.send, sent)
            except BaseException as problem:  # also that it is cancelled
                go_on = partial(self._work.throw, problem)
            try:
                self._waits_for = go_on()
            except StopIteration as done:
                result: _T = done.value
                return result
