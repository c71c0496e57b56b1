"""Alerts reach real receivers on this machine, once, and hold nobody up."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.waiting import wait_until
from tradewind.alerts import AlertKind, Alerts, AlertSettings
from tradewind.errors import SettingsError
from tradewind.settings import parse_settings

SECRET = "s3cr3t-path"


class Receiver:
    """A program that takes alerts by HTTP.

    Attributes:
        got: What was posted.
        status: What it answers.
        gate: It answers once this is set.
    """

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.status = 200
        self.gate = threading.Event()
        self.gate.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.gate.wait(60)
                receiver.got.append(json.loads(body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"json://127.0.0.1:{self._server.server_port}/{SECRET}"

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()

    def is_told(self) -> bool:
        return bool(self.got)

    @property
    def titles(self) -> list[str]:
        return [each["title"] for each in self.got]


@pytest.fixture
def receivers() -> Iterator[list[Receiver]]:
    made = [Receiver(), Receiver()]
    yield made
    for receiver in made:
        receiver.close()


def settings(*receivers: Receiver, **values: Any) -> AlertSettings:
    return AlertSettings(urls=tuple(receiver.url for receiver in receivers), **values)


def test_trouble_with_two_receivers_is_told_to_both(receivers: list[Receiver]) -> None:
    with Alerts(settings(*receivers), "orchestrator main") as alerts:
        alerts.trouble(AlertKind.HALT, "main", "rule drawdown_halt")
        for receiver in receivers:
            wait_until(receiver.is_told)
    for receiver in receivers:
        (got,) = receiver.got
        assert got["title"] == "[orchestrator main] halt: main"
        assert got["message"] == "rule drawdown_halt"
        assert got["type"] == "failure"


def test_trouble_with_a_receiver_that_hangs_is_told_to_the_other(
    receivers: list[Receiver],
) -> None:
    hanging, good = receivers
    hanging.gate.clear()
    with Alerts(settings(hanging, good), "x") as alerts:
        alerts.trouble(AlertKind.HALT, "main", "why")
        wait_until(good.is_told)
        assert not hanging.got
        hanging.gate.set()


def test_same_trouble_within_the_quiet_time_is_told_once_and_counted(
    receivers: list[Receiver],
) -> None:
    now = [0.0]
    with Alerts(settings(receivers[0], quiet_s=10.0), "x", clock=lambda: now[0]) as alerts:
        for _ in range(5):
            alerts.trouble(AlertKind.FEED_STALE, "feed of main", "no bars")
        alerts.trouble(AlertKind.FEED_STALE, "feed of other", "no bars")
        now[0] = 10.0
        alerts.trouble(AlertKind.FEED_STALE, "feed of main", "no bars")
        wait_until(lambda: len(receivers[0].got) == 3)
    assert receivers[0].titles == [
        "[x] feed stale: feed of main",
        "[x] feed stale: feed of other",
        "[x] feed stale: feed of main",
    ]
    assert "4 more times" in receivers[0].got[2]["message"]


def test_another_halt_of_an_account_is_told_however_soon_it_comes(
    receivers: list[Receiver],
) -> None:
    with Alerts(settings(receivers[0]), "x") as alerts:
        for decision in ("d-1", "d-1", "d-2"):
            alerts.trouble(AlertKind.HALT, "main", decision, decision)
        wait_until(lambda: len(receivers[0].got) == 2)
    assert [each["message"] for each in receivers[0].got] == ["d-1", "d-2"]


def test_trouble_that_comes_and_goes_is_as_quiet_as_one_that_stays(
    receivers: list[Receiver],
) -> None:
    now = [0.0]
    with Alerts(settings(receivers[0], quiet_s=10.0), "x", clock=lambda: now[0]) as alerts:
        for _ in range(5):
            alerts.trouble(AlertKind.SERVICE_DOWN, "risk service of main", "no answer")
            alerts.over(AlertKind.SERVICE_DOWN, "risk service of main", "it answers")
        now[0] = 10.0
        alerts.trouble(AlertKind.SERVICE_DOWN, "risk service of main", "no answer")
        wait_until(lambda: len(receivers[0].got) == 3)
    assert [title.startswith("[x] over: ") for title in receivers[0].titles] == [False, True, False]
    assert "4 more times" in receivers[0].got[2]["message"]


def test_end_of_a_trouble_is_told_where_the_trouble_was(receivers: list[Receiver]) -> None:
    with Alerts(settings(receivers[0]), "x") as alerts:
        alerts.over(AlertKind.HALT, "other", "nothing was said of it")
        alerts.trouble(AlertKind.HALT, "main", "why")
        alerts.over(AlertKind.HALT, "main", "resumed")
        wait_until(lambda: len(receivers[0].got) == 2)
    assert receivers[0].titles == ["[x] halt: main", "[x] over: halt: main"]
    assert receivers[0].got[1]["type"] == "success"


def test_kinds_that_nobody_wants_are_not_told(receivers: list[Receiver]) -> None:
    with Alerts(settings(receivers[0], kinds=("halt",)), "x") as alerts:
        alerts.trouble(AlertKind.JOB_FAILED, "job", "why")
        alerts.trouble(AlertKind.HALT, "main", "why")
        wait_until(receivers[0].is_told)
    assert receivers[0].titles == ["[x] halt: main"]


def test_receiver_that_refuses_is_tried_again_and_its_secret_never_logged(
    receivers: list[Receiver], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradewind.alerts.sender._PAUSES_S", (0.0, 0.0))
    receivers[0].status = 500
    with caplog.at_level(logging.DEBUG), Alerts(settings(receivers[0]), "x") as alerts:
        alerts.trouble(AlertKind.HALT, "main", "why")
        wait_until(lambda: alerts.lost_count == 1)
    assert len(receivers[0].got) == 3
    said = " ".join(
        record.getMessage() for record in caplog.records if record.name.startswith("tradewind")
    )
    assert "alert not delivered by json (urls[0]): [x] halt: main" in said
    assert SECRET not in caplog.text


def test_alerts_that_wait_at_the_end_are_sent_or_said_to_be_lost(
    receivers: list[Receiver], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, refusing = receivers
    hanging.gate.clear()
    refusing.status = 500
    with Alerts(settings(refusing), "x") as alerts:  # pauses of half a minute, cut short
        alerts.trouble(AlertKind.HALT, "main", "why")
    assert (len(refusing.got), alerts.lost_count) == (4, 1)
    monkeypatch.setattr("tradewind.alerts.sender._CLOSE_S", 0.1)
    with Alerts(settings(hanging), "x") as alerts:
        alerts.trouble(AlertKind.HALT, "first", "why")
        alerts.trouble(AlertKind.HALT, "second", "why")
    assert alerts.lost_count == 2
    for account in ("first", "second"):
        assert f"not delivered by json (urls[0]): [x] halt: {account}" in caplog.text


def test_alerts_with_more_than_the_queue_takes_lose_some_and_say_so(
    receivers: list[Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradewind.alerts.sender._CLOSE_S", 0.1)
    receivers[0].gate.clear()
    with Alerts(settings(receivers[0]), "x") as alerts:
        for number in range(150):
            alerts.trouble(AlertKind.HALT, f"account-{number}", "why")
        assert alerts.lost_count >= 49


@pytest.mark.parametrize("url", ["bogus://x", "no address"])
def test_address_that_nobody_knows_is_refused_without_a_word_of_it(url: str) -> None:
    wanted = AlertSettings(urls=("json://127.0.0.1:1/", f"{url}-{SECRET}"))
    with pytest.raises(SettingsError, match=r"alerts\.urls\[1\]") as refused:
        Alerts(wanted, "x")
    assert SECRET not in str(refused.value)


def test_settings_without_an_address_are_refused() -> None:
    with pytest.raises(SettingsError, match="urls"):
        parse_settings({"urls": []}, AlertSettings)
