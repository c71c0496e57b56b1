"""What a browser is sent, one that is slow above all, and what a view does that cannot start."""

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.decision_log import TickRecord
from orchestrator.events import EventBus
from orchestrator.live import LiveView
from orchestrator.live.desk import RiskDesk
from orchestrator.live.hub import Hub
from orchestrator.live.state import LiveState
from orchestrator.settings import LiveSettings, OrchestratorSettings
from tradewind.errors import SettingsError
from tradewind.settings import parse_settings

MakeTick = Callable[..., TickRecord]


def settings(**changes: Any) -> OrchestratorSettings:
    values = {
        "allocations": [{"symbol": name, "policy": "p", "cash": 50.0} for name in ("BTC", "ETH")],
        **changes,
    }
    return parse_settings(values, OrchestratorSettings)


def hub(bus: EventBus, state: LiveState) -> Hub:
    account = settings()
    desk = RiskDesk(account.services, account.account)
    return Hub(bus, state, desk, interval_s=0.05, resume={"allowed": False})


def merge(shown: dict[str, Any], message: dict[str, Any]) -> None:
    """What the page does with a message."""
    if message["type"] == "snapshot":
        shown.clear()
    rows = shown.setdefault("rows", [])
    rows += [row["sequence"] for row in message["ticks"] if row["sequence"] not in rows]
    curves = message["curves"]
    for name, points in curves["columns"].items():
        column = shown.setdefault(name, [])
        column[curves["start"] :] = points
    shown["equity_now"] = message["account"] and message["account"]["equity"]


def test_slow_browser_loses_updates_and_not_the_picture(tick: MakeTick) -> None:
    async def watch() -> None:
        bus, state = EventBus(), LiveState(settings(), points=10)
        view = hub(bus, state)
        quick, slow = {}, {}  # type: dict[str, Any], dict[str, Any]
        with view.browser() as fast, view.browser() as late:
            for browser, shown in ((fast, quick), (late, slow)):
                first = json.loads(await browser.next_message() or "")
                assert first["resume"] == {"allowed": False}
                merge(shown, first)
            for sequence in range(40):
                state.take(tick(sequence))
                view.tell_last()
                merge(quick, json.loads(await fast.next_message() or ""))
            assert view.skipped_count > 0
            fast.end()
            late.end()
            assert await fast.next_message() is None
            messages = []
            while (message := await late.next_message()) is not None:
                messages.append(json.loads(message))
            assert messages[0]["type"] == "snapshot"
            assert len(messages) <= 9
            for item in messages:
                merge(slow, item)
        assert slow == quick
        assert quick["rows"] == list(range(40))
        assert quick["equity_now"] == quick["equity"][-1] == tick(39).equity
        assert len(quick["equity"]) <= 10

    asyncio.run(watch())


def test_metric_that_is_absent_is_shown_with_its_reason_and_never_as_0(tick: MakeTick) -> None:
    state = LiveState(settings())
    limits = {"max_drawdown": 0.2, "var_95": 0.1, "pre_trade.order_notional": 5.0}
    state.set_limits(limits, "digest", "")
    state.take(tick(0))

    risk: Any = state.figures()["risk"]
    shown = {item["name"]: item for item in risk["metrics"]}

    assert shown["max_drawdown"]["utilization"] == pytest.approx(0.5)
    assert (shown["var_95"]["value"], shown["var_95"]["utilization"]) == (None, None)
    assert shown["var_95"]["unavailable"] == "too few"
    assert risk["drawdown"]["value"] is None
    assert risk["is_current"]

    state.take(tick(1, risk=None))
    later: Any = state.figures()["risk"]
    assert not later["is_current"]


def test_view_with_bad_certificates_is_refused_and_opens_no_port(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    live = LiveSettings(listen=f"127.0.0.1:{port}")
    account = settings(services={"tls": {"ca": str(tmp_path / "missing.crt")}})

    async def begin() -> None:
        with pytest.raises(SettingsError, match=r"missing\.crt"):
            async with LiveView(account, live, EventBus()):
                pass
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)

    asyncio.run(begin())


def test_view_whose_port_is_taken_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        live = LiveSettings(listen=f"127.0.0.1:{taken.getsockname()[1]}")

        async def begin() -> None:
            with pytest.raises(SettingsError, match="cannot serve the live view"):
                async with LiveView(settings(), live, EventBus()):
                    pass

        asyncio.run(begin())
