"""The feed through the guard that the orchestrator puts before everything that uses its bars."""

import asyncio
from pathlib import Path

import pytest
from tail_feed import TailFeed, TailOptions

from orchestrator import FeedBar, Mandate
from orchestrator.feeds import BarGuard, BarGuardSettings, read_ticks
from orchestrator.records import BarRecord, RefusedBarRecord
from orchestrator.settings import OrchestratorSettings
from tradewind.errors import SettingsError
from tradewind.settings import parse_settings

MINUTE = 60_000_000_000
MANDATE = Mandate(("BTC",), MINUTE)
LINES = """\
2024-01-02T09:30:00+00:00 BTC 100.0 101.0 99.5 100.5 12.0
2024-01-02T09:31:00+00:00 BTC 100.5 dear 99.5 100.5 12.0
2024-01-02T09:31:00+00:00 BTC 100.5 101.0 99.5 100.0 12.0
2024-01-02T09:32:00+00:00 XRP 1.0 1.0 1.0 1.0 1.0
2024-01-02T09:32:00+00:00 BTC 100.0 99.0 98.0 100.0 12.0
end
"""


def read(path: Path, mandate: Mandate = MANDATE) -> tuple[list[BarRecord], list[str]]:
    """Bars that are let through, and why others are not."""
    bars: list[BarRecord] = []
    refused: list[RefusedBarRecord] = []

    async def run() -> None:
        feed = TailFeed(TailOptions(path=path, poll_s=0.01, ends_with="end"))
        guard = BarGuard(BarGuardSettings(), mandate.symbols, mandate.interval_ns)
        ticks = read_ticks(
            feed.bars(mandate),
            guard,
            mandate.symbols,
            interval_ns=mandate.interval_ns,
            wait_s=1.0,
            tell_refusal=refused.append,
        )
        async for tick in ticks:
            bars.extend(tick.bars)

    asyncio.run(run())
    return bars, [item.fault for item in refused]


def test_lines_become_bars_and_what_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bars.txt"
    path.write_text(LINES)
    bars, refused = read(path)
    assert [bar.close for bar in bars] == [100.5, 100.0]
    assert refused == ["MALFORMED", "UNKNOWN_SYMBOL", "ABSURD"]


def test_feed_goes_on_after_the_last_close_that_was_traded_on(tmp_path: Path) -> None:
    path = tmp_path / "bars.txt"
    path.write_text(LINES)
    (first, _), _ = read(path)
    later = Mandate(("BTC",), MINUTE, after_ns=first.start_ns + MINUTE)
    bars, _ = read(path, later)
    assert [bar.close for bar in bars] == [100.0]


def test_lines_that_come_later_are_read_and_half_a_line_is_not(tmp_path: Path) -> None:
    path = tmp_path / "bars.txt"

    async def run() -> list[float]:
        feed = TailFeed(TailOptions(path=path, poll_s=0.01, ends_with="end"))
        bars = feed.bars(MANDATE)
        return [item.bar.close if isinstance(item, FeedBar) else 0.0 async for item in bars]

    async def write() -> None:
        for end in range(20, len(LINES) + 20, 20):
            await asyncio.sleep(0.01)
            path.write_text(LINES[:end])

    async def both() -> list[float]:
        found, _ = await asyncio.gather(run(), write())
        return found

    assert asyncio.run(both()) == [100.5, 0.0, 100.0, 1.0, 100.0]


def test_settings_name_it_by_its_entry_point_and_check_its_options() -> None:
    values = {"allocations": [{"symbol": "BTC", "policy": "p"}]}
    feed = {"kind": "tail", "options": {"path": "bars.txt"}}
    settings = parse_settings({**values, "feed": feed}, OrchestratorSettings)
    assert settings.feed.kind == "tail"
    with pytest.raises(SettingsError, match=r"feed\.options\.path: Field required"):
        parse_settings({**values, "feed": {"kind": "tail"}}, OrchestratorSettings)
