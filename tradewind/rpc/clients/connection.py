"""How both kinds of clients are connected."""

from typing import Any, ClassVar

import grpc

from tradewind.rpc.call_spans import ClientSpans
from tradewind.rpc.clients.call import Service
from tradewind.rpc.clients.channel import Addresses, call_metadata, channel_options, channel_target
from tradewind.tracing import Tracer

__all__ = ["Connection"]


class Connection:
    """A connection to one service.

    Args:
        address: `HOST:PORT` or `unix:PATH`; or several `IP:PORT`, with commas between or as a
            sequence, whose servers then get calls in turn.
        timeout_s: Deadline of a call that is given none, in seconds; by default the service's.
        credentials: For TLS; without any the connection is in plain text.
        token: Shown to the server with every call. In plain text it goes no further than this
            machine.
        tracer: Gives every call a span; none by default.
        max_message_bytes: Largest message that the server takes, its `max_message_bytes`: a larger
            one is refused here, unsent. Without, the server refuses it.

    Raises:
        InvalidInputError: The address is refused, or the token: it would leave in plain text.
    """

    service: ClassVar[Service]
    _grpc: ClassVar[Any] = grpc
    """What makes the channel."""

    def __init__(
        self,
        address: Addresses,
        *,
        timeout_s: float | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        token: str | None = None,
        tracer: Tracer | None = None,
        max_message_bytes: int | None = None,
    ) -> None:
        self._timeout_s = self.service.timeout_s if timeout_s is None else timeout_s
        self._target = channel_target(address)
        self._spans = ClientSpans(tracer, self.service.full_name, self._target)
        plaintext = credentials is None
        self._metadata = call_metadata(token, address, plaintext=plaintext)
        options = channel_options(
            self.service,
            address,
            shows_token=token is not None and plaintext,
            max_message_bytes=max_message_bytes,
        )
        if credentials is None:
            self._channel = self._grpc.insecure_channel(self._target, options)
        else:
            self._channel = self._grpc.secure_channel(self._target, credentials, options)
        self._stub = self.service.stub(self._channel)
