"""Typed clients of the risk service."""

from tradewind.rpc.clients import aio, client
from tradewind.rpc.clients import risk_calls as calls
from tradewind.rpc.clients.streams import AsyncStream, Stream, async_exchange, exchange

__all__ = ["AsyncCalculateStream", "AsyncRiskClient", "CalculateStream", "RiskClient"]


class CalculateStream(Stream):
    """The metrics of an account that grows, under the policy in force when the stream began."""

    update = exchange(calls.update)


class RiskClient(client.Client):
    """Calls the risk service."""

    service = calls.SERVICE

    calculate_only = client.unary(calls.calculate_only)
    evaluate = client.unary(calls.evaluate)
    resume = client.unary(calls.resume)
    get_policy = client.unary(calls.get_policy)
    list_decisions = client.pages(calls.list_decisions)

    def calculate_stream(self) -> CalculateStream:
        """Opens a stream that takes what is new of an account and gives its metrics."""
        span = self._spans.start(calls.CALCULATE_STREAM.method)
        return CalculateStream(
            self._stub, calls.CALCULATE_STREAM, self._timeout_s, self._metadata, span
        )


class AsyncCalculateStream(AsyncStream):
    """The metrics of an account that grows, under the policy in force when the stream began."""

    update = async_exchange(calls.update)


class AsyncRiskClient(aio.AsyncClient):
    """Calls the risk service on asyncio."""

    service = calls.SERVICE

    calculate_only = aio.unary(calls.calculate_only)
    evaluate = aio.unary(calls.evaluate)
    resume = aio.unary(calls.resume)
    get_policy = aio.unary(calls.get_policy)
    list_decisions = aio.pages(calls.list_decisions)

    def calculate_stream(self) -> AsyncCalculateStream:
        """Opens a stream that takes what is new of an account and gives its metrics."""
        span = self._spans.start(calls.CALCULATE_STREAM.method)
        return AsyncCalculateStream(
            self._stub, calls.CALCULATE_STREAM, self._timeout_s, self._metadata, span
        )
