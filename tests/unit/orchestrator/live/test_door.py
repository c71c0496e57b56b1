"""What clients cannot take of the live view, however they ask: connections, time, requests."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import ClientSession, web

from orchestrator.live.door import Bounds, Door

Visit = Callable[[Door, str], Awaitable[None]]


def serve(bounds: Bounds, visit: Visit) -> Door:
    """Runs a visit of a page whose `/` answers at once, `/large` much and `/never` not."""
    door = Door(bounds)

    async def small(_: web.Request) -> web.Response:
        return web.Response(text="here")

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=bytes(64 << 20))

    async def never(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async def spaced(request: web.Request) -> web.Response:
        await door.space_out(request, "it", 3600.0)
        return web.Response(text="once")

    async def body(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def run() -> None:
        application = web.Application(middlewares=[door.middleware()])
        for path, handler in (
            ("/", small), ("/large", large), ("/never", never), ("/spaced", spaced),
        ):  # fmt: skip
            application.router.add_get(path, handler)
        application.router.add_post("/", body)
        await door.open(application, "127.0.0.1:0")
        try:
            async with asyncio.timeout(120.0):
                await visit(door, door.address)
        finally:
            await door.close()

    asyncio.run(run())
    return door


async def connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = address.split(":")
    return await asyncio.open_connection(host, int(port))


async def status(address: str, path: str = "/") -> int:
    async with ClientSession() as session, session.get(f"http://{address}{path}") as answer:
        await answer.read()
        return answer.status


async def is_sent_away(reader: asyncio.StreamReader) -> bool:
    """Waits until the other side ends it; what it says before does not matter."""
    with contextlib.suppress(ConnectionError):
        while await reader.read(1 << 16):
            pass
    return True


def test_requests_beyond_the_bound_of_a_connection_are_refused_and_others_are_answered() -> None:
    async def visit(_: Door, address: str) -> None:
        async with ClientSession() as session:
            answers = []
            for _attempt in range(8):
                async with session.get(f"http://{address}/") as answer:
                    answers.append(answer.status)
        # After a refusal the client has to connect anew, and has a new bound.
        assert answers[:4] == [200, 200, 200, 429]
        assert await status(address) == 200

    bounds = Bounds(own_per_s=1e-3, own_burst=3, longest_wait_s=0.0)
    assert serve(bounds, visit).refused_count >= 2


def test_requests_beyond_the_bound_of_all_are_refused_on_whatever_connections() -> None:
    async def visit(_: Door, address: str) -> None:
        answers = [await status(address) for _ in range(6)]
        assert answers == [200, 200, 200, 429, 429, 429]

    bounds = Bounds(requests_per_s=1e-3, requests_burst=3, longest_wait_s=0.0)
    assert serve(bounds, visit).refused_count == 3


def test_what_is_spaced_out_is_given_at_once_first_and_makes_the_second_wait() -> None:
    async def visit(_: Door, address: str) -> None:
        reader, writer = await connect(address)
        writer.write(b"GET /spaced HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
        # The second one would wait for an hour; its time is over before, and so is it.
        assert (await reader.read()).count(b"once") == 1
        writer.close()

    serve(Bounds(answer_s=0.2), visit)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: a",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf",
        b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=["nothing", "half a head", "half a body", "no answer", "an answer that is not taken"],
)
def test_client_that_takes_too_long_is_sent_away(sent: bytes) -> None:
    async def visit(door: Door, address: str) -> None:
        reader, writer = await connect(address)
        writer.write(sent)
        if b"/large" in sent:  # read nothing until the other side has had enough of it
            while door.refused_count == 0:
                await asyncio.sleep(0.01)
        assert await is_sent_away(reader)
        writer.close()
        assert await status(address) == 200

    serve(Bounds(idle_s=0.3, answer_s=0.3), visit)


def test_drops_of_a_head_do_not_hold_a_connection_open() -> None:
    async def visit(_: Door, address: str) -> None:
        reader, writer = await connect(address)
        writer.write(b"GET / HTTP/1.1\r\n")
        gone = asyncio.create_task(is_sent_away(reader))
        while not gone.done():
            with contextlib.suppress(ConnectionError):
                writer.write(b"X-A: b\r\n")
                await writer.drain()
            await asyncio.sleep(0.01)
        assert await gone
        writer.close()

    serve(Bounds(idle_s=0.3), visit)


def test_a_thousand_idle_connections_keep_nobody_out_and_are_bounded() -> None:
    async def visit(door: Door, address: str) -> None:
        idle = await asyncio.gather(*(connect(address) for _ in range(1_000)))
        assert await status(address) == 200
        assert len(door._visitors) <= 16
        for _, writer in idle:
            writer.close()

    bounds = Bounds(connections=16, new_per_s=1e5, young_s=0.0, idle_s=3600.0)
    assert serve(bounds, visit).refused_count >= 16  # the kernel lets some wait, and drops some


def test_connections_that_are_all_busy_make_others_wait_until_one_ends() -> None:
    async def visit(_: Door, address: str) -> None:
        busy = [asyncio.create_task(status(address, "/never")) for _ in range(2)]
        await asyncio.sleep(0.05)
        waiting = asyncio.create_task(status(address))
        assert await waiting == 200  # after the time for an answer of the others
        await asyncio.wait(busy)
        for task in busy:
            assert task.exception() is not None or task.result() != 200

    serve(Bounds(connections=2, answer_s=0.5), visit)


def test_pipelined_requests_are_answered_in_their_order_and_bounded() -> None:
    async def visit(_: Door, address: str) -> None:
        reader, writer = await connect(address)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 200)
        assert await is_sent_away(reader)
        writer.close()

    bounds = Bounds(own_per_s=1e-3, own_burst=50, longest_wait_s=0.0)
    assert serve(bounds, visit).refused_count == 1
