"""Typed clients of the inference service."""

from tradewind.rpc.clients import aio, client
from tradewind.rpc.clients import inference_calls as calls
from tradewind.rpc.clients.streams import AsyncStream, Stream, async_exchange, exchange

__all__ = ["AsyncInferenceClient", "AsyncPredictStream", "InferenceClient", "PredictStream"]


class PredictStream(Stream):
    """An open stream of predictions; each of them may name another policy."""

    predict = exchange(calls.predict)


class InferenceClient(client.Client):
    """Calls the inference service."""

    service = calls.SERVICE

    predict = client.unary(calls.predict)
    predict_batch = client.unary(calls.predict_batch)
    list_policies = client.unary(calls.list_policies)
    get_policy = client.unary(calls.get_policy)
    latency_reports = client.unary(calls.latency_reports)
    get_routing = client.unary(calls.get_routing)
    roll_back_variant = client.unary(calls.roll_back_variant)
    reinstate_variant = client.unary(calls.reinstate_variant)
    shadow_answers = client.unary(calls.shadow_answers)

    def predict_stream(self) -> PredictStream:
        """Opens a stream of predictions, which costs less for each than a call of its own.

        A stream stays with one server and is never retried.
        """
        span = self._spans.start(calls.PREDICT_STREAM.method)
        return PredictStream(
            self._stub, calls.PREDICT_STREAM, self._timeout_s, self._metadata, span
        )


class AsyncPredictStream(AsyncStream):
    """An open stream of predictions; each of them may name another policy."""

    predict = async_exchange(calls.predict)


class AsyncInferenceClient(aio.AsyncClient):
    """Calls the inference service on asyncio."""

    service = calls.SERVICE

    predict = aio.unary(calls.predict)
    predict_batch = aio.unary(calls.predict_batch)
    list_policies = aio.unary(calls.list_policies)
    get_policy = aio.unary(calls.get_policy)
    latency_reports = aio.unary(calls.latency_reports)
    get_routing = aio.unary(calls.get_routing)
    roll_back_variant = aio.unary(calls.roll_back_variant)
    reinstate_variant = aio.unary(calls.reinstate_variant)
    shadow_answers = aio.unary(calls.shadow_answers)

    def predict_stream(self) -> AsyncPredictStream:
        """Opens a stream of predictions, which costs less for each than a call of its own.

        A stream stays with one server and is never retried.
        """
        span = self._spans.start(calls.PREDICT_STREAM.method)
        return AsyncPredictStream(
            self._stub, calls.PREDICT_STREAM, self._timeout_s, self._metadata, span
        )
