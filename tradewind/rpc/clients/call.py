"""A call before it is made: what is common to the sync and the asyncio clients."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

from google.protobuf.message import Message

__all__ = ["Call", "Page", "Service", "method_of"]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Service:
    """A service as its clients need to know it.

    Attributes:
        full_name: Its name in the proto.
        stub: Makes the generated stub of a channel, sync or asyncio.
        retried_methods: Methods that may be sent twice: they change nothing, or the service knows
            a repeated request.
    """

    full_name: str
    stub: Callable[[Any], Any]
    retried_methods: tuple[str, ...]


@dataclass(slots=True)
class Call(Generic[R]):
    """One call: which method, with what, how its answer is read, and how long it may take.

    Attributes:
        method: Name of the method in the proto.
        request: The message to send.
        parse: What makes the typed result of an answer.
        timeout_s: Deadline in seconds; None for the client's own.
    """

    method: str
    request: Message
    parse: Callable[[Any], R]
    timeout_s: float | None


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Some of a list's items, and the token of the next page; empty on the last one."""

    items: Sequence[R]
    next_page_token: str


def method_of(build: Callable[..., Call[Any]], method: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a client's method the name, documentation and signature of what builds its call."""
    signature = inspect.signature(build)
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__name__ = build.__name__
    method.__doc__ = build.__doc__
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[this, *signature.parameters.values()],
        return_annotation=inspect.Signature.empty,
    )
    return method
