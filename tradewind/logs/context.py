"""What the lines that are logged now are about, following a call through threads and tasks."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Protocol

__all__ = [
    "LogScope",
    "current_fields",
    "current_request_id",
    "enter_scope",
    "log_context",
    "loggable_id",
]

REQUEST_ID = "request_id"
_LOGGABLE_ID = re.compile(r"[!-~]{1,128}")


class LogScope(Protocol):
    """Says on demand which fields the lines inside it have: entering one costs next to nothing."""

    def fields(self) -> Mapping[str, Any]:
        """The fields; those that are empty are left out of the lines."""


class _Fields:
    """Fields that are known beforehand, on top of those of the scope around."""

    def __init__(self, outer: LogScope | None, fields: Mapping[str, Any]) -> None:
        self._outer = outer
        self._fields = fields

    def fields(self) -> Mapping[str, Any]:
        outer = {} if self._outer is None else self._outer.fields()
        return {**outer, **self._fields}


_SCOPE: ContextVar[LogScope | None] = ContextVar("tradewind_log_scope", default=None)


def enter_scope(scope: LogScope) -> None:
    """Gives what is logged from here on, in this context, the fields of a scope.

    There is no way back: it is for code that has a context of its own, as every call of a gRPC
    server has.
    """
    _SCOPE.set(scope)


@contextlib.contextmanager
def log_context(**fields: Any) -> Iterator[None]:
    """Gives what is logged inside the block these fields, on top of those around it.

    A `request_id` that must not be logged is left out.
    """
    if REQUEST_ID in fields:
        fields[REQUEST_ID] = loggable_id(fields[REQUEST_ID])
    token = _SCOPE.set(_Fields(_SCOPE.get(), fields))
    try:
        yield
    finally:
        _SCOPE.reset(token)


def current_fields() -> Mapping[str, Any]:
    """The fields of what is logged here and now."""
    scope = _SCOPE.get()
    return {} if scope is None else scope.fields()


def current_request_id() -> str:
    """The request that is worked on here and now; empty for none that can be named."""
    request_id: str = current_fields().get(REQUEST_ID, "")
    return request_id


def loggable_id(request_id: str | None) -> str:
    """The id of a request as it may be logged and handed on.

    Returns:
        The id; empty for none, and for one that is not 1 to 128 printable ASCII characters without
        a space. Such an id is no reason to refuse its call.
    """
    return request_id if request_id and _LOGGABLE_ID.fullmatch(request_id) else ""
