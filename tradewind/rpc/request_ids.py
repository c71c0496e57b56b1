"""The id of a request in the metadata of its call, there and back."""

from __future__ import annotations  # grpcio's own classes are generic in their stubs only

from typing import Any

import grpc

from tradewind.logs import current_request_id, loggable_id

__all__ = [
    "REQUEST_ID_KEY",
    "Metadata",
    "given_request_id",
    "keep_trailers",
    "request_metadata",
]

REQUEST_ID_KEY = "x-request-id"
"""The key that proxies use, too."""

Metadata = tuple[tuple[str, str], ...] | None


def request_metadata(request: Any, own: Metadata) -> Metadata:
    """What a client sends along: the id in the request, else that of what is worked on here.

    An id that metadata cannot carry stays in the request alone.

    Args:
        request: A message; None where there is none yet.
        own: What the client sends along with every call.
    """
    request_id = loggable_id(getattr(request, "request_id", "")) or current_request_id()
    return ((REQUEST_ID_KEY, request_id), *(own or ())) if request_id else own


def given_request_id(context: grpc.ServicerContext) -> str:
    """The id that a caller sent along; empty for none, and for one that must not be logged."""
    for key, value in context.invocation_metadata():
        if key == REQUEST_ID_KEY:
            return loggable_id(value if isinstance(value, str) else "")
    return ""


def keep_trailers(status: grpc.Status, context: grpc.ServicerContext) -> grpc.Status:
    """A status with the trailers that were set before; grpcio would drop them."""
    set_before = context.trailing_metadata() or ()
    changed: grpc.Status = status._replace(  # type: ignore[attr-defined]
        trailing_metadata=(*set_before, *(status.trailing_metadata or ()))
    )
    return changed
