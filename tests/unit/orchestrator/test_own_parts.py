"""Brokers and feeds of one's own in the settings: found, set, made, or refused with the line."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import orchestrator
from orchestrator.agents.runner import build_agent
from orchestrator.brokers import BROKERS, OrderSettings, PaperBroker, PaperBrokerSettings
from orchestrator.feeds import FEEDS
from orchestrator.live.wire import MessageReader, encode
from orchestrator.settings import OrchestratorSettings
from tradewind.errors import ComponentError, SettingsError
from tradewind.settings import load_settings, settings_from_text

MODULE = """
import orchestrator

class Options(orchestrator.Settings):
    key: str
    fee: float = 0.003

class Venue(orchestrator.Broker):
    Options = Options

    def terms(self):
        return orchestrator.BrokerTerms(name="venue", fee=self.options.fee)

class Wire(orchestrator.Feed):
    class Options(orchestrator.Settings):
        depth: int = 3

        def model_post_init(self, context):
            if self.depth == 13:
                raise ValueError("13 is no depth")
            if self.depth == 14:
                raise KeyError("no such depth")

    def __init__(self, options):
        super().__init__(options)
        if options.depth < 0:
            raise ConnectionError("no line")

    def bars(self, mandate):
        return None

    def known_times(self, mandate):
        return None

class Odd(orchestrator.Feed):
    Options = {"depth": 3}

    def bars(self, mandate): ...

class Plain(orchestrator.Feed):
    async def bars(self, mandate):
        yield orchestrator.FeedFault("nothing", 0)

def make(*_): ...
"""
FILE = """\
allocations:
  - {symbol: BTC, policy: p}
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of somebody's own, which can be imported for the time of a test."""
    name = "somebodys_own"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)


def settings(text: str) -> OrchestratorSettings:
    return settings_from_text((FILE + text).encode(), "desk.yaml", OrchestratorSettings)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("broker:\n  kind: alpaca", r"broker.kind: .*no broker 'alpaca'; there are paper.*line 4"),
        ("feed:\n  kind: kafka", r"feed.kind: .*there are sample, files, websocket.*line 4"),
        ("feed:\n  kind: nowhere:Wire", r"feed.kind: .*nowhere cannot be imported.*line 4"),
        ("feed:\n  kind: M:make", r"feed.kind: .*is function 'make'; .*orchestrator.Feed .*line 4"),
        ("feed:\n  kind: M:Venue", r"feed.kind: .*class 'Venue'; .*orchestrator.Feed \(line 4"),
        ("broker:\n  kind: M:Wire", r"broker.kind: .*'Wire'; .*orchestrator.Broker \(line 4"),
        ("feed:\n  kind: M:Odd", r"feed.options: .*Options of Odd is \{'depth': 3\}.*line 3"),
        ("broker:\n  kind: M:Venue", r"broker.options.key: Field required \(line 3"),
        (
            "broker:\n  kind: M:Venue\n  options:\n    key: a\n    fe: 1\n    fee: dear",
            r"options.fee: .*valid number.* \(line 8\); .*options.fe: Extra inputs .*\(line 7",
        ),
        ("broker:\n  kind: M:Venue\n  key: a", r"broker.key: Extra inputs .*\(line 5"),
        ("feed:\n  kind: M:Plain\n  options: {x: 1}", r"feed.options.x: Extra .*\(line 5"),
        ("feed:\n  kind: M:Wire\n  options: {depth: 13}", r"feed.options: .*13 is no depth.*ine 5"),
        ("feed:\n  kind: M:Wire\n  options: {depth: 14}", r"Wire.Options raised KeyError.*ine 5"),
        ("feed:\n  kind: [1]", r"feed.kind: Input should be a valid string \(line 4"),
        ("feed: {}", r"feed.kind: Field required \(line 3"),
        ("broker:\n  kind: paper\n  options: {}", r"broker.options: Extra inputs .*\(line 5"),
        ("feed:\n  kind: websocket\n  url: x", r"feed.url: String should match .*\(line 5"),
        ("orders:\n  kind: STOP", r"orders.kind: Input should be .*MARKET.*LIMIT.*\(line 4"),
        ("orders:\n  limit_distance: 0.6", r"orders.limit_distance: .*less than 0.5 \(line 4"),
    ],
)
def test_settings_with_a_part_that_cannot_be_are_refused_with_field_and_line(
    module: str, text: str, says: str
) -> None:
    with pytest.raises(SettingsError, match=says):
        settings(text.replace("M:", f"{module}:"))


def test_error_of_an_option_from_elsewhere_does_not_show_it(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENUE_FEE", "s3cret-of-the-house")
    text = f"broker: {{kind: '{module}:Venue', options: {{key: a, fee: '${{VENUE_FEE}}'}}}}"
    with pytest.raises(SettingsError, match=r"broker.options.fee") as refused:
        settings(text)
    assert "s3cret" not in str(refused.value)


def test_settings_with_own_parts_stay_frozen_and_cross_to_the_view_without_a_look(
    module: str,
) -> None:
    broker = f"broker: {{kind: '{module}:Venue', options: {{key: a}}}}"
    found = settings(f"{broker}\nfeed: {{kind: '{module}:Plain'}}")
    assert found.broker.kind == f"{module}:Venue"
    with pytest.raises(ValueError, match="frozen"):
        found.broker.kind = "paper"  # type: ignore[misc]
    assert OrchestratorSettings.model_validate(found.model_dump(mode="json")) == found

    async def cross() -> object:
        stream = asyncio.StreamReader()
        stream.feed_data(encode(found))
        return await MessageReader(stream).read()

    sys.modules.pop(module)
    assert asyncio.run(cross()) == found
    assert module not in sys.modules  # whoever looks on runs none of its code


def test_feed_that_cannot_be_made_is_refused_before_anything_is_called(module: str) -> None:
    text = f"feed: {{kind: '{module}:Wire', options: {{depth: -1}}}}"
    with pytest.raises(ComponentError, match=r"feed.kind: Wire raised ConnectionError: no line"):
        build_agent(settings(text))
    no_bars = build_agent(settings(f"feed: {{kind: '{module}:Wire'}}"))
    with pytest.raises(ComponentError, match=r"feed.kind: .*known_times raised TypeError"):
        FEEDS.make(no_bars._known_times, "feed.kind")


def test_built_in_kinds_are_found_by_the_same_doors(tmp_path: Path) -> None:
    assert BROKERS.names() == ("paper",)
    assert FEEDS.names() == ("sample", "files", "websocket")
    assert BROKERS.find("paper", "broker.kind") is PaperBroker
    assert PaperBroker.Options is PaperBrokerSettings
    path = tmp_path / "desk.yaml"
    path.write_text(FILE + "broker: {max_leverage: 3}\nfeed: {kind: sample, speed: 2}\n")
    found = load_settings(path, OrchestratorSettings)
    assert found.broker == PaperBrokerSettings(max_leverage=3.0)
    by_path = {"kind": "orchestrator.feeds.kinds:SampleFeed", "options": {"speed": 2}}
    own = OrchestratorSettings(allocations=found.allocations, feed=by_path)
    assert build_agent(own).bus is not None
    assert found.orders == OrderSettings()


def test_everything_that_a_part_is_written_with_stands_in_the_face_of_the_package() -> None:
    for name in orchestrator.__all__:
        assert getattr(orchestrator, name).__name__ == name
    wanted: dict[str, Callable[..., Any]] = {
        "Mandate": orchestrator.Mandate,
        "BrokerTerms": orchestrator.BrokerTerms,
        "UnavailableError": orchestrator.UnavailableError,
    }
    assert set(wanted) <= set(orchestrator.__all__)
