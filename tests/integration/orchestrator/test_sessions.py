"""Markets that close: a policy trades across nights, week-ends and holidays as it was trained."""

import asyncio
import dataclasses
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve

from orchestrator.agents.runner import build_agent
from orchestrator.analysis.decision_replay import replay_other, verify
from orchestrator.analysis.tearsheet.sheet import read_sheet
from orchestrator.decision_log import DecisionLog
from tests.integration.orchestrator.conftest import (
    SPEC,
    TERMS,
    Desk,
    open_desk,
    publisher,
    run_to,
)
from tests.integration.orchestrator.panels import FRICTIONLESS, bundle_of, run, settings_of
from tests.integration.orchestrator.tilt import publish_tilt
from tradewind.bundle import BundleDraft, BundleStore
from tradewind.errors import ConflictError, MarketDataError
from tradewind.market import Bars, load_sample
from tradewind.market.markets import market_named
from trainer_service import EnvironmentConfig, IntradayTradingEnv


@dataclasses.dataclass(frozen=True)
class Case:
    """A market and bars of it; `closings` times it closes between two of them."""

    name: str
    market: str
    bar_seconds: float
    first: str
    count: int
    closings: int
    periods_per_year: float

    def bars(self, symbol: str = "ACME") -> Bars:
        """A random walk on the market's calendar; each bar opens where the one before closed."""
        market, interval_ns = market_named(self.market), round(self.bar_seconds * 1e9)
        first = datetime.fromisoformat(self.first).replace(tzinfo=UTC)
        times = [int(first.timestamp()) * 10**9]
        while len(times) < self.count:
            times.append(market.next_bar_start_ns(times[-1], interval_ns))
        draws = np.random.default_rng(11)
        close = 100.0 * np.exp(np.cumsum(draws.normal(0.0, 0.004, self.count)))
        start = np.concatenate([[100.0], close[:-1]])
        return Bars(
            symbol,
            np.array(times, dtype=np.int64),
            start,
            np.maximum(start, close) * 1.001,
            np.minimum(start, close) * 0.999,
            close,
            draws.uniform(1e5, 2e5, self.count),
            interval_ns,
        )


# Over the end of summer time, with Thanksgiving and the half day after it; over
# most of a year; over the week-end at which New York, and so the week, leaves summer time.
CASES = (
    Case("half-hours", "XNYS", 1_800.0, "2019-10-28 13:30", 430, 30, 252.0 * 13),
    Case("days", "XNYS", 86_400.0, "2019-01-02 00:00", 230, 40, 252.0),
    Case("hours", "fx-week", 3_600.0, "2019-10-23 21:00", 420, 3, 260.0 * 24),
)


@pytest.fixture(scope="module")
def desk(
    tmp_path_factory: pytest.TempPathFactory, released_draft: Callable[..., BundleDraft]
) -> Iterator[Desk]:
    """Both services, and a policy for the bars of each case."""
    folder = tmp_path_factory.mktemp("sessions")
    publish = publisher(BundleStore(folder / "store"), released_draft)
    for case in CASES:
        spec = SPEC.model_copy(update={"bar_seconds": case.bar_seconds})
        publish_tilt(publish, case.name, gain=5.0, features=spec)
    with open_desk(folder, released_draft) as desk:
        yield desk


def account(desk: Desk, case: Case, name: str, bars: Bars, **changes: Any) -> Any:
    """Settings of an account that trades the bars of a case on the costs of its training."""
    allocation = {"symbol": bars.symbol, "policy": case.name, "cash": TERMS.initial_cash}
    return settings_of(
        desk, f"{case.name}-{name}", [bars], allocations=[allocation],
        **{"bar_seconds": case.bar_seconds, "broker.market": FRICTIONLESS, **changes},
    )  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_policy_in_a_market_with_sessions_trades_as_in_training_to_the_last_bit(
    desk: Desk, case: Case
) -> None:
    bars = case.bars()
    assert sum(np.diff(bars.timestamps_ns) > bars.interval_ns) >= case.closings
    settings = account(desk, case, "whole", bars)
    agent = run(settings)
    log = DecisionLog(settings.log.folder)
    assert log.facts["markets"] == {"ACME": case.market}  # recognised from the bars
    bundle = bundle_of(desk, case.name)
    contract = bundle.contract
    config = EnvironmentConfig(
        **dict(contract.terms), episode_bars=None, random_start=False, min_equity_fraction=0.0
    )
    env = IntradayTradingEnv(bars, config, contract.features)
    observation, info = env.reset()
    ticks = log.ticks.to_pylist()
    assert len(ticks) == len(bars)
    decided = [tick for tick in ticks if tick["decisions"]]
    assert len(decided) == len(bars) - contract.features.lookback + 1  # all of them: 100 %
    fills = at_openings = 0
    opened = {int(bars.timestamps_ns[0])}
    opened |= {*bars.timestamps_ns[1:][np.diff(bars.timestamps_ns) > bars.interval_ns].tolist()}
    for number, tick in enumerate(decided):
        assert tick["reasons"] == []
        assert [flag for bar in tick["bars"] for flag in bar["flags"]] == []
        (decision,) = tick["decisions"]
        assert decision["observation"] == observation.tobytes()
        assert tick["equity"] == info["equity"]
        assert tick["positions"][0]["quantity"] == env.account.quantity
        fills += len(tick["fills"])
        for fill in tick["fills"]:
            # At the open of its bar, of the first one of a session too.
            assert fill["filled_ns"].value == tick["close_ns"].value - bars.interval_ns
            at_openings += fill["filled_ns"].value in opened
        if number < len(decided) - 1:
            action = bundle.serving.act(observation[np.newaxis].copy())[0][0]
            observation, _, terminated, _, info = env.step(action)
            assert not terminated
    assert fills > 20
    assert at_openings > 0
    assert fills == np.count_nonzero(env.risk_inputs().trade_notionals)
    assert agent.bus.snapshot().counters["decided_ticks"] == len(decided)

    store = BundleStore(desk.folder / "store")
    proved = verify(log, store)
    assert proved.equal, proved.first_difference
    same = replay_other(log, bundle)
    assert same.other == same.logged
    # Annualised by the market's own year, in the log, the replay and the tear sheet alike.
    equity = np.array([tick["equity"] for tick in ticks])
    returns = equity[1:] / equity[:-1] - 1.0
    assert same.logged == read_sheet(log).summary
    assert same.logged.volatility == pytest.approx(
        returns.std(ddof=1) * case.periods_per_year**0.5, rel=1e-9
    )
    window = returns[-256:] if len(returns) > 256 else returns
    risk = dict(ticks[-1]["risk"]["metrics"])
    assert risk["volatility"] == pytest.approx(
        window.std(ddof=1) * case.periods_per_year**0.5, rel=1e-9
    )
    assert same.fills == fills


def test_policy_that_is_stopped_at_the_last_close_of_a_week_goes_on_with_the_same_bits(
    desk: Desk,
) -> None:
    case = CASES[0]
    bars = case.bars()
    ends = np.flatnonzero(np.diff(bars.timestamps_ns) > 2 * 86_400 * 10**9)
    halves = account(desk, case, "halves", bars)
    stop = int(ends[3])
    run_to(build_agent(halves), stop)
    run(halves)
    one, two = (
        DecisionLog(desk.folder / f"{case.name}-{name}" / "log") for name in ("whole", "halves")
    )
    assert one.ticks["equity"].equals(two.ticks["equity"])
    assert one.flat("fills").drop(["close_ns"]).equals(two.flat("fills").drop(["close_ns"]))


def test_run_whose_bars_are_all_too_late_says_that_it_holds_and_why(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    case = CASES[0]
    bars = case.bars().slice(0, 20)
    sent = []
    for row in range(len(bars)):
        bar = bars.bar(row)
        values = {name: getattr(bar, name) for name in ("open", "high", "low", "close", "volume")}
        forming = {"symbol": "ACME", "start_ns": bar.timestamp_ns, **values, "x": False}
        sent += [json.dumps(forming), json.dumps({**forming, "x": True})]

    async def trade() -> list[tuple[str, str]]:
        async def serve_bars(connection: ServerConnection) -> None:
            await connection.recv()
            for text in sent:
                await connection.send(text)
            await connection.close()

        async with serve(serve_bars, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            feed = {"kind": "websocket", "url": f"ws://127.0.0.1:{port}"}
            agent = build_agent(account(desk, case, "late", bars, feed=feed, market="XNYS"))
            trading = asyncio.create_task(agent.run())
            states = []
            with agent.bus.subscribe() as ticks:
                async for tick in ticks:
                    found = agent.bus.snapshot()
                    states.append((found.state, found.detail))
                    if tick.sequence == len(bars) - 1:
                        break
            await trading
            assert agent.bus.snapshot().due_ns is not None
            return states

    with caplog.at_level(logging.WARNING):
        states = asyncio.run(trade())
    assert states == [("HOLDING", "LATE_BAR")] * len(bars)
    assert "no tick was decided until the feed ended: LATE 20, LATE_BAR 20" in caplog.text


def test_real_hole_within_a_session_is_flagged_and_its_order_expires(desk: Desk) -> None:
    case = CASES[0]
    bars = case.bars()
    kept = np.r_[0:200, 202:300]
    columns = ("timestamps_ns", "open", "high", "low", "close", "volume")
    holed = dataclasses.replace(bars, **{name: getattr(bars, name)[kept] for name in columns})
    settings = account(desk, case, "holed", holed)
    run(settings)
    flags = DecisionLog(settings.log.folder).flat("bars")["flags"].to_pylist()
    assert [row for row, found in enumerate(flags) if found] == [200]
    assert flags[200] == ["GAP"]


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"market": "always-open"}, ConflictError, "not those of the market always-open"),
        ({"market": "XTKS"}, ConflictError, "begin while it is closed"),
        ({"market": "MOON"}, MarketDataError, "there is no market 'MOON'"),
    ],
)
def test_run_in_a_market_that_is_not_that_of_the_bars_is_refused(
    desk: Desk, changes: dict[str, Any], error: type[Exception], says: str
) -> None:
    case = CASES[0]
    with pytest.raises(error, match=says):
        run(account(desk, case, "refused", case.bars(), **changes))


def test_run_on_files_of_other_bars_than_the_settings_say_is_refused(desk: Desk) -> None:
    case = CASES[2]
    sample = load_sample("BTC").slice(0, 400)
    with pytest.raises(MarketDataError, match="1800 s long, the settings say bar_seconds = 3600"):
        run(account(desk, case, "other", dataclasses.replace(sample, symbol="ACME")))
