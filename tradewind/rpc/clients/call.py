"""A call before it is made: what the sync and the asyncio clients share."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from tradewind.errors import RpcError, UnavailableError

__all__ = [
    "Call",
    "Exchange",
    "Page",
    "Service",
    "describe",
    "health_check",
    "no_answer",
    "not_ready",
]

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Service:
    """A service as its clients need to know it.

    Attributes:
        full_name: Its name in the proto.
        stub: Makes the generated stub of a channel, sync or asyncio.
        retried_methods: Methods that may be sent twice: they change nothing, or the service
            recognises a repeated request.
        timeout_s: Deadline of a call when nobody says another.
    """

    full_name: str
    stub: Callable[[Any], Any]
    retried_methods: tuple[str, ...]
    timeout_s: float


@dataclass(slots=True)
class Call(Generic[R]):
    """One call: which method, with what, how its answer is read, and how long it may take.

    Attributes:
        method: Name of the method in the proto.
        request: The message to send.
        parse: Makes the typed result of an answer.
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


@dataclass(frozen=True, slots=True)
class Exchange:
    """A bidirectional method with one answer per request, in order.

    Attributes:
        method: Name of the method in the proto.
        wrap: Puts a unary call's request into a message of the stream.
        unwrap: Takes a unary call's answer out of a message of the stream.
    """

    method: str
    wrap: Callable[[Any], Message]
    unwrap: Callable[[Any], Message]


def health_check(service: Service, timeout_s: float) -> Call[bool]:
    """Asks the server whether a service of it serves."""
    return Call(
        "Check",
        health_pb2.HealthCheckRequest(service=service.full_name),
        lambda answer: bool(answer.status == health_pb2.HealthCheckResponse.SERVING),
        timeout_s,
    )


def not_ready(service: Service, target: str, timeout_s: float) -> UnavailableError:
    """What `wait_ready` raises when it has waited long enough."""
    return UnavailableError(f"{service.full_name} at {target} did not serve within {timeout_s:g} s")


def no_answer(exchange: Exchange, timeout_s: float) -> RpcError:
    """What a stream raises when a request of it is not answered in time."""
    code = "DEADLINE_EXCEEDED"
    return RpcError(
        f"{code}: {exchange.method} gave no answer within {timeout_s:g} s", metadata={"code": code}
    )


def describe(method: Callable[..., Any], build: Callable[..., Call[Any]]) -> None:
    """Gives a client's method the name, documentation and signature of what builds its call."""
    signature = inspect.signature(build)
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__name__ = build.__name__
    method.__doc__ = build.__doc__
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[this, *signature.parameters.values()],
        return_annotation=inspect.Signature.empty,
    )
