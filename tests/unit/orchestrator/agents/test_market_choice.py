"""The market of each symbol: named, taken from the policy or recognised, never in contradiction."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from orchestrator.account.journal import JournalEntry
from orchestrator.agents.market_choice import choose_markets
from orchestrator.decision_log import BarRecord
from orchestrator.markets import Markets
from orchestrator.settings import AllocationSettings
from tradewind.errors import ConflictError, MarketDataError
from tradewind.market.markets import Market, market_named

HALF_HOUR, DAY = 1_800 * 10**9, 86_400 * 10**9


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def starts(market: str, interval_ns: int, first: str, count: int) -> NDArray[np.int64]:
    """Starts of the bars that a market has, from one of them on."""
    known, times = market_named(market), [ns(first)]
    while len(times) < count:
        times.append(known.next_bar_start_ns(times[-1], interval_ns))
    return np.array(times, dtype=np.int64)


NEW_YORK = starts("XNYS", HALF_HOUR, "2019-01-02 14:30", 1_300)
COINS = starts("always-open", HALF_HOUR, "2019-01-02 14:30", 3_000)
DAYS = starts("XNYS", DAY, "2018-01-03 00:00", 300)


def choose(
    setting: str = "auto",
    trained_on: str | None = None,
    times: Mapping[str, NDArray[np.int64]] | None = None,
    entries: list[JournalEntry] | None = None,
    interval_ns: int = HALF_HOUR,
    allocations: list[AllocationSettings] | None = None,
) -> Markets:
    return choose_markets(
        setting,
        allocations or [AllocationSettings(symbols=("ACME",), policy="p")],
        {"p": trained_on},
        times or {},
        entries or [],
        interval_ns,
    )


@pytest.mark.parametrize(
    ("times", "interval_ns", "name"),
    [(NEW_YORK, HALF_HOUR, "XNYS"), (COINS, HALF_HOUR, "always-open"), (DAYS, DAY, "XNYS")],
)
def test_market_with_bars_alone_is_recognised_and_said_in_one_line(
    times: NDArray[np.int64], interval_ns: int, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        markets = choose(times={"ACME": times}, interval_ns=interval_ns)
    assert markets.names == {"ACME": name}
    (line,) = [record.message for record in caplog.records]
    assert line.startswith(f"market of ACME: {name} (recognised from the bars: ")


def test_market_with_nothing_to_go_by_is_not_known_and_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        markets = choose(times={"ACME": NEW_YORK[:60]})  # not even a week-end
    assert markets.names == {"ACME": None}
    assert "`market` in the settings says which it is" in caplog.text


def test_market_with_a_journal_is_recognised_from_its_bars() -> None:
    entries = [
        JournalEntry(
            row, start + HALF_HOUR,
            (BarRecord("ACME", start, 1.0, 1.0, 1.0, 1.0, 1.0, start + HALF_HOUR, ()),), (), (),
        )
        for row, start in enumerate(NEW_YORK.tolist())
    ]  # fmt: skip
    assert choose(entries=entries).names == {"ACME": "XNYS"}


def test_market_of_the_policy_counts_where_the_settings_name_none() -> None:
    assert choose(trained_on="XNYS").names == {"ACME": "XNYS"}
    assert choose("XNYS", "XNYS", {"ACME": NEW_YORK}).names == {"ACME": "XNYS"}


def test_allocations_have_markets_of_their_own() -> None:
    allocations = [
        AllocationSettings(symbols=("ACME",), policy="p"),
        AllocationSettings(symbols=("BTC",), policy="p"),
        AllocationSettings(symbols=("EUR",), policy="p", market="fx-week"),
    ]
    markets = choose(times={"ACME": NEW_YORK, "BTC": COINS}, allocations=allocations)
    assert markets.names == {"ACME": "XNYS", "BTC": "always-open", "EUR": "fx-week"}


@pytest.mark.parametrize(
    ("setting", "trained_on", "times", "interval_ns", "says"),
    [
        ("XNYS", "always-open", None, HALF_HOUR, "trained on the market always-open, .* XNYS"),
        ("XNYS", None, COINS, HALF_HOUR, "begin while it is closed"),
        ("auto", "XNYS", COINS, HALF_HOUR, "as the policy was trained"),
        ("always-open", None, NEW_YORK, HALF_HOUR, "there are 1300 where it has 6827"),
        ("always-open", None, DAYS, DAY, "there are 300 where it has 436"),
    ],
)
def test_markets_that_contradict_each_other_are_refused(
    setting: str, trained_on: str | None, times: NDArray[np.int64] | None, interval_ns: int,
    says: str,
) -> None:  # fmt: skip
    known = {} if times is None else {"ACME": times}
    with pytest.raises(ConflictError, match=says):
        choose(setting, trained_on, known, interval_ns=interval_ns)


def test_symbols_of_one_policy_in_several_markets_are_refused_unless_one_is_named() -> None:
    allocations = [AllocationSettings(symbols=("ACME", "BTC"), policy="p")]
    with pytest.raises(ConflictError, match="ACME XNYS, BTC always-open"):
        choose(times={"ACME": NEW_YORK, "BTC": COINS}, allocations=allocations)


def test_market_that_there_is_not_is_refused() -> None:
    with pytest.raises(MarketDataError, match="MOON"):
        choose("MOON")


@pytest.mark.parametrize(
    ("market", "missing", "next_close"),
    [
        ("XNYS", 0, "2019-11-27 15:00"),
        ("always-open", 35, "2019-11-26 21:30"),
        (None, 35, "2019-11-26 21:30"),
    ],
)
def test_markets_say_what_is_missing_and_until_when_an_order_may_wait(
    market: str | None, missing: int, next_close: str
) -> None:
    known: Market | None = None if market is None else market_named(market)
    markets = Markets({"ACME": known}, HALF_HOUR)
    found = markets.missing_bars("ACME", ns("2019-11-26 20:30"), ns("2019-11-27 14:30"))
    assert found == missing
    assert markets.next_close_ns("ACME", ns("2019-11-26 21:00")) == ns(next_close)


def test_markets_of_an_older_log_are_always_open() -> None:
    facts = {"interval_ns": HALF_HOUR}
    assert Markets.of_log(["ACME"], facts).names == {"ACME": "always-open"}
    named = {**facts, "markets": {"ACME": "XNYS", "BTC": None}}
    assert Markets.of_log(["ACME", "BTC"], named).names == named["markets"]
