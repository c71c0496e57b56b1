"""The process of the live view: it says what the bus says, and cannot hold the bus up."""

import asyncio
import dataclasses
import json
import math
import os
import re
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import ClientSession, WSMsgType

from orchestrator.decision_log import PositionRecord, RefusedBarRecord, TickRecord
from orchestrator.events import EventBus, Status
from orchestrator.live.process import WatchProcess
from orchestrator.live.wire import Message, MessageReader, encode
from orchestrator.metrics import MetricsText
from tests.unit.orchestrator.live.test_hub import settings
from tradewind.errors import SettingsError
from tradewind.risk.decision import Halt
from tradewind.risk.rules import Action

MakeTick = Callable[..., TickRecord]
DUE = r"^tradewind_orchestrator_next_tick_due_timestamp_seconds (.*)$"
WATCHED = {"live": {"listen": "127.0.0.1:0"}, "metrics_listen": "127.0.0.1:0"}


async def get(url: str) -> str:
    async with ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.text()


async def until(url: str, holds: Callable[[str], bool]) -> str:
    """Asks until an answer is as a test wants it."""
    async with asyncio.timeout(60.0):
        while not holds(text := await get(url)):
            await asyncio.sleep(0.05)
    return text


def run(body: Callable[[], Any]) -> None:
    asyncio.run(body())


def test_message_through_a_pipe_is_what_was_sent(tick: MakeTick) -> None:
    sent: list[Message] = [
        settings(**WATCHED),
        tick(3),
        tick(4, equity=math.inf, cash=-math.inf, risk=None),
        Status("HALTED", "why", {"a": [1]}, {"ticks": 2}, Halt(Action.HALT, 1.5, "r", "w", "d"), 7),
        Status("TRADING", "", {}, {}, None),
        Status(
            "TRADING",
            "",
            None,
            {},
            None,
            0,
            10**18,
            10**12,
            RefusedBarRecord("é", 5, "JUMP", "\u0007"),
        ),
    ]

    async def body() -> None:
        stream = asyncio.StreamReader()
        stream.feed_data(b"".join(encode(message) for message in sent))
        stream.feed_eof()
        reader = MessageReader(stream)
        assert [await reader.read() for _ in sent] == sent
        assert await reader.read() is None

    run(body)


def test_view_in_its_process_shows_ticks_status_and_counts_of_the_bus(tick: MakeTick) -> None:
    async def body() -> None:
        bus = EventBus()
        bus.publish(tick(0))
        async with WatchProcess(settings(**WATCHED), bus) as watch:
            halted = dataclasses.replace(tick(0).risk, halted=True)  # type: ignore[type-var]
            for sequence in range(1, 50):
                bus.publish(tick(sequence, reasons=("RISK_HALT",), risk=halted))
            bus.count("halts")
            halt = Halt(Action.HALT, 1.0, "ruin", "too much", "d7")
            bus.set_halt(halt, "HALTED, and what is done")
            # Ticks go over some at a time, and what happens at once is not held up by them.
            text = await until(
                f"{watch.url}state",
                lambda it: '"HALTED"' in it and json.loads(it)["account"]["sequence"] == 49,
            )
            state = json.loads(text)
            assert state["counters"] == bus.snapshot().counters
            assert state["counters"]["ticks"] == 50
            assert state["detail"] == "HALTED, and what is done"
            # Known without being allowed to ask the risk service for it.
            assert state["halt"]["cause"]["rule"] == "ruin"
            for page in (f"{watch.url}metrics", f"http://{watch.metrics_address}/metrics"):
                metrics = await until(page, lambda it: "halts_total 1.0" in it)
                assert 'tradewind_orchestrator_state{state="HALTED"} 1.0' in metrics
                assert "tradewind_orchestrator_ticks_total 50.0" in metrics
                assert "tradewind_orchestrator_exposure 0.75" in metrics

    run(body)


def test_tick_that_is_overdue_and_what_was_refused_last_show_in_the_process_of_the_view(
    tick: MakeTick,
) -> None:
    async def body() -> None:
        bus = EventBus()
        bus.set_state("TRADING")
        async with WatchProcess(settings(**WATCHED), bus) as watch:
            # What was said before anybody looked is told without anything new.
            await until(f"{watch.url}state", lambda it: '"TRADING"' in it)
            bus.publish(tick(0))
            due_ns = time.time_ns() + 1_500_000_000
            bus.expect(due_ns)
            for number in range(3_000):  # a flood, of which the last one counts
                bus.refuse(RefusedBarRecord("BTC", number, "FUTURE", f"closes {number} s later"))
            # It notices by itself: nothing more is said to it.
            text = await until(
                f"{watch.url}state", lambda it: '"WAITING"' in it and "closes 2999 s" in it
            )
            shown = json.loads(text)
            assert (shown["state"], shown["detail"]) == ("WAITING", bus.snapshot().detail)
            assert "the last bar was refused: FUTURE BTC: closes 2999 s later" in shown["detail"]
            for page in (f"{watch.url}metrics", f"http://{watch.metrics_address}/metrics"):
                metrics = await until(page, lambda it: 'state="WAITING"} 1.0' in it)
                (line,) = re.findall(DUE, metrics, re.M)
                assert float(line) == pytest.approx(due_ns / 1e9, abs=1e-3)
            bus.publish(tick(1))
            bus.expect(time.time_ns() + 10**15)
            await until(f"{watch.url}state", lambda it: '"state":"TRADING"' in it)

    run(body)


def test_halt_that_was_found_at_the_start_shows_before_the_first_tick() -> None:
    async def body() -> None:
        bus = EventBus()
        async with WatchProcess(settings(**WATCHED), bus) as watch:
            bus.set_halt(Halt(Action.HALT, 1.0, "ruin", "too much", "d7"), "while it was down")
            text = await until(f"{watch.url}state", lambda it: '"state":"HALTED"' in it)
            state = json.loads(text)
            assert state["detail"] == "while it was down"
            assert state["halt"]["cause"]["rule"] == "ruin"
            bus.set_halt(None)
            await until(f"{watch.url}state", lambda it: '"state":"TRADING"' in it)

    run(body)


def test_flood_of_refused_bars_is_a_few_statuses(tick: MakeTick) -> None:
    async def body() -> None:
        bus = EventBus()
        async with WatchProcess(settings(**WATCHED), bus) as watch:
            sent: list[bytes] = []
            write = watch._pipe.write
            watch._pipe.write = lambda data: (sent.append(data), write(data))[1]  # type: ignore
            began = asyncio.get_running_loop().time()
            for number in range(2_000):
                bus.refuse(RefusedBarRecord("BTC", number, "FUTURE", ""))
                await asyncio.sleep(0)
            took = asyncio.get_running_loop().time() - began
            assert len(sent) <= 2 + took / 0.1
            bus.publish(tick(0))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert any(data[4:5] == b"T" for data in sent)  # a tick does not wait

    run(body)


def test_halted_account_that_still_holds_is_counted_tick_by_tick(tick: MakeTick) -> None:
    def count(bus: EventBus) -> float:
        body, _ = MetricsText(bus).page()
        name = "tradewind_orchestrator_halted_ticks_holding"
        (found,) = re.findall(f"^{name} (.*)$", body.decode(), re.M)
        return float(found)

    bus = EventBus()
    free = tick(0).risk
    assert free is not None
    halted = dataclasses.replace(free, halted=True)
    flat = (PositionRecord("BTC", 0.0, None, 1.5),)
    seen = []
    risks = [None, free, None, halted, None, halted, halted]
    for sequence, risk in enumerate(risks):
        if sequence == 3:
            bus.set_halt(Halt(Action.HALT, 1.0, "ruin", "too much", "d7"))
        bus.publish(tick(sequence, risk=risk, **({"positions": flat} if sequence == 6 else {})))
        seen.append(count(bus))
    # A tick without an answer counts within the halt, and not before it.
    assert seen == [0, 0, 0, 1, 2, 3, 0]
    bus.publish(tick(7, risk=halted))
    bus.set_halt(None)
    assert count(bus) == 0


def test_view_that_hangs_holds_nothing_up_and_says_later_what_it_missed(
    tick: MakeTick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.live.process._LARGEST_BACKLOG", 100_000)

    async def body() -> None:
        bus = EventBus()
        async with WatchProcess(settings(**WATCHED), bus) as watch:
            os.kill(watch._process.pid, signal.SIGSTOP)
            try:
                for sequence in range(2_000):  # each is as soon done as if nobody looked
                    bus.publish(tick(sequence))
                    await asyncio.sleep(0)
            finally:
                os.kill(watch._process.pid, signal.SIGCONT)
            bus.set_state("TRADING")
            shown = await until(f"{watch.url}state", lambda it: '"ticks":2000,' in it)
            missed = json.loads(shown)["view"]["missed_ticks"]
            assert missed == watch._missed > 0

    run(body)


def test_view_that_dies_is_logged_and_ends_nothing(
    tick: MakeTick, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        bus = EventBus()
        async with WatchProcess(settings(**WATCHED), bus) as watch:
            watch._process.kill()
            async with asyncio.timeout(60.0):
                while "the live view has ended" not in caplog.text:
                    await asyncio.sleep(0.01)
            for sequence in range(20):
                bus.publish(tick(sequence))
                await asyncio.sleep(0)
        assert bus.snapshot().counters["ticks"] == 20

    run(body)


def test_view_ignores_the_signals_of_a_terminal_and_gives_the_last_word_at_the_end(
    tick: MakeTick,
) -> None:
    async def body() -> None:
        bus = EventBus()
        async with ClientSession() as session:
            async with WatchProcess(settings(**WATCHED), bus) as watch:
                socket = await session.ws_connect(f"{watch.url}stream")
                for number in (signal.SIGINT, signal.SIGTERM):
                    os.kill(watch._process.pid, number)
                bus.publish(tick(0))
                bus.set_state("STOPPED", "by a signal")
            messages = [json.loads(it.data) async for it in socket if it.type is WSMsgType.TEXT]
            assert (messages[-1]["state"], messages[-1]["detail"]) == ("STOPPED", "by a signal")
            assert messages[-1]["account"]["sequence"] == 0
        assert watch._process.returncode == 0

    run(body)


def test_metrics_without_a_view_are_served_and_nothing_else() -> None:
    async def body() -> None:
        bus = EventBus()
        async with WatchProcess(settings(metrics_listen="127.0.0.1:0"), bus) as watch:
            assert watch.url == ""
            bus.set_state("TRADING")
            text = await until(
                f"http://{watch.metrics_address}/metrics", lambda it: 'state="TRADING"} 1.0' in it
            )
            assert "live_browsers" not in text
            async with ClientSession() as session:
                async with session.get(f"http://{watch.metrics_address}/state") as answer:
                    assert answer.status == 404

    run(body)


@pytest.mark.parametrize("name", ["live", "metrics_listen"])
def test_view_whose_port_is_taken_is_refused_at_the_start(name: str) -> None:
    async def body() -> None:
        taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        address = f"127.0.0.1:{taken.sockets[0].getsockname()[1]}"
        account = settings(**{name: {"listen": address} if name == "live" else address})
        with pytest.raises(SettingsError, match=f"cannot serve .* on {address}"):
            async with WatchProcess(account, EventBus()):
                pass
        taken.close()

    run(body)


def test_socket_that_is_spoken_to_is_closed_and_one_that_takes_nothing_does_not_hang_the_view(
    tick: MakeTick,
) -> None:
    async def body() -> None:
        bus = EventBus()
        many = tick(0)
        many = dataclasses.replace(many, reasons=tuple(f"R{i}" for i in range(200)))
        async with (
            WatchProcess(
                settings(live={"listen": "127.0.0.1:0", "interval_s": 0.05}), bus
            ) as watch,
            ClientSession() as session,
        ):
            spoken = await session.ws_connect(f"{watch.url}stream")
            await spoken.send_str("hello")
            async for _ in spoken:
                pass
            assert spoken.close_code == 1008
            deaf = await session.ws_connect(f"{watch.url}stream")
            protocol: Any = deaf._conn and deaf._conn.protocol
            protocol.pause_reading()
            for sequence in range(400):
                bus.publish(dataclasses.replace(many, sequence=sequence))
                await asyncio.sleep(0.005)
            shown = await until(f"{watch.url}state", lambda it: '"ticks":400,' in it)
            assert json.loads(shown)["account"]["sequence"] == 399

    run(body)
