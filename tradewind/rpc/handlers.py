"""Puts something around the handler of a method, whatever its kind."""

from __future__ import annotations  # grpcio's own classes are generic in their stubs only

from collections.abc import Callable
from typing import Any

import grpc

__all__ = ["Handler", "wrap_handler"]

Handler = Callable[[Any, grpc.ServicerContext], Any]


def wrap_handler(
    handler: grpc.RpcMethodHandler[Any, Any],
    wrap_call: Callable[[Handler], Handler],
    wrap_stream: Callable[[Handler], Handler],
    *,
    reads: bool = True,
) -> grpc.RpcMethodHandler[Any, Any]:
    """The handler of a method, wrapped.

    Args:
        handler: What answers the method.
        wrap_call: Wraps what gives one answer.
        wrap_stream: Wraps what gives a stream of answers.
        reads: Whether grpcio reads the messages; without, the wrapped handler gets their bytes.
    """
    codecs = {
        "request_deserializer": handler.request_deserializer if reads else None,
        "response_serializer": handler.response_serializer,
    }
    if handler.unary_unary is not None:
        return grpc.unary_unary_rpc_method_handler(wrap_call(handler.unary_unary), **codecs)
    if handler.stream_unary is not None:
        return grpc.stream_unary_rpc_method_handler(wrap_call(handler.stream_unary), **codecs)
    if handler.unary_stream is not None:
        return grpc.unary_stream_rpc_method_handler(wrap_stream(handler.unary_stream), **codecs)
    assert handler.stream_stream is not None
    return grpc.stream_stream_rpc_method_handler(wrap_stream(handler.stream_stream), **codecs)
