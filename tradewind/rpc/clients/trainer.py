"""Typed clients of the trainer service."""

from tradewind.rpc.clients import aio, client
from tradewind.rpc.clients import trainer_calls as calls

__all__ = ["AsyncTrainerClient", "TrainerClient"]


class TrainerClient(client.Client):
    """Calls the trainer service."""

    service = calls.SERVICE

    start_training = client.unary(calls.start_training)
    get_job = client.unary(calls.get_job)
    list_jobs = client.pages(calls.list_jobs)
    watch = client.server_stream(calls.watch)
    cancel = client.unary(calls.cancel)


class AsyncTrainerClient(aio.AsyncClient):
    """Calls the trainer service on asyncio."""

    service = calls.SERVICE

    start_training = aio.unary(calls.start_training)
    get_job = aio.unary(calls.get_job)
    list_jobs = aio.pages(calls.list_jobs)
    watch = aio.server_stream(calls.watch)
    cancel = aio.unary(calls.cancel)
