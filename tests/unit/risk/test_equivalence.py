"""One answer: whole arrays, increments and batches give the same bits and the same words."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import RiskInputError
from tradewind.market import load_sample
from tradewind.risk import (
    BatchBar,
    OptionPosition,
    OrderBook,
    Position,
    RiskAgentV2,
    RiskInputs,
    RiskPolicy,
    RiskReport,
    RiskTracker,
)
from tradewind.risk.outside.declaration import AccountView, NoSettings, PythonCalculator

SERIES = {
    "portfolio_values",
    "timestamps",
    "returns",
    "trade_timestamps",
    "trade_notionals",
    "price_changes",
    "order_flows",
    "order_latencies_us",
}
LIMITS = {
    "max_drawdown": {"limit": 0.1},
    "volatility": {"limit": 1.0, "weight": 0.5},
    "var_95": {"limit": 0.01},
    "daily_turnover": {"limit": 2.0},
    "gross_leverage": {"limit": 3.0},
    "depth_shock": {"limit": 0.01},
}


def sides(book: OrderBook) -> tuple[Any, ...]:
    return book.bid_prices, book.bid_sizes, book.ask_prices, book.ask_sizes


def see(_: NoSettings, account: AccountView) -> dict[str, float | str]:
    """A number that changes with any bit of what the account looks like."""
    seen: list[Any] = []
    for name, value in sorted(vars(account).items()):
        if name == "order_books":
            value = [(key, [side.tobytes() for side in sides(book)]) for key, book in value.items()]
        elif isinstance(value, np.ndarray):
            value = value.tobytes()
        seen.append(list(value.items()) if isinstance(value, Mapping) else value)
    number = float(zlib.crc32(repr(seen).encode()))
    if number % 7 == 0:
        return {"seen": number, "seen_again": f"{number} is a multiple of seven"}
    return {"seen": number, "seen_again": number}


SERIES_WINDOWS = {
    "timestamps": 5,
    "drawdowns": 13,
    "returns": 41,
    "price_changes": 3,
    "order_flows": 12,
    "order_latencies_us": 100,
    "trades": 30_000,
}
OTHERS = (
    *("start_of_day_value", "capital_base", "now", "periods_per_year", "positions", "options"),
    *("order_books", "feed_timestamps", "average_daily_volumes"),
)
SEEN = PythonCalculator(
    name="seen",
    version=1,
    settings=NoSettings,
    metrics=lambda _: {"seen": "1", "seen_again": "1"},
    windows=lambda _: SERIES_WINDOWS,
    needs=lambda _: dict.fromkeys((*SERIES_WINDOWS, *OTHERS), 0),
    calculate=see,
)


def needing(name: str) -> PythonCalculator[NoSettings]:
    """One that needs a single input, and says why it is not there."""
    return PythonCalculator(
        name=f"needs_{name}",
        version=1,
        settings=NoSettings,
        metrics=lambda _: {f"has_{name}": "1"},
        windows=lambda _: {name: SERIES_WINDOWS[name]} if name in SERIES_WINDOWS else {},
        needs=lambda _: {name: 2 if name in SERIES_WINDOWS else 1},
        calculate=lambda *_: {f"has_{name}": 1.0},
    )


@pytest.fixture(scope="module", params=["historical", "parametric", "cornish_fisher"])
def agent(request: pytest.FixtureRequest) -> RiskAgentV2:
    """Windows so short that histories of a hundred bars leave them behind several times.

    One of the three has calculators from outside, too.
    """
    limits: dict[str, dict[str, float]] = dict(LIMITS)
    calculators: dict[str, dict[str, Any]] = {
        "drawdown_velocity": {"window_bars": 3},
        "ulcer_index": {"window_bars": 7},
        "volatility": {"window_bars": 11, "min_returns": 4},
        "var": {"window_bars": 37, "method": request.param},
        "expected_shortfall": {"window_bars": 29},
        "kyle_lambda": {"window_intervals": 9, "min_intervals": 4},
        "latency_drift": {"recent_orders": 1_000, "baseline_orders": 1_000},
    }
    if request.param == "parametric":
        outside = [SEEN, *map(needing, (*SERIES_WINDOWS, *OTHERS))]
        limits |= {"seen": {"limit": 1e9}, "seen_again": {"limit": 1e8, "weight": 2.0}}
        calculators |= {each.name: {"use": each, "budget_us": 1e9} for each in outside}
    return RiskAgentV2(RiskPolicy.parse({"calculators": calculators, "limits": limits}))


def bits(report: RiskReport) -> dict[str, Any]:
    """A report in which equal means equal to the last bit."""
    found = report._asdict()
    found["metric_values"] = {name: value.hex() for name, value in report.metric_values.items()}
    return found


def joined(history: RiskInputs, new: RiskInputs) -> RiskInputs:
    """Everything known after an increment."""
    changes: dict[str, Any] = {"now": new.now}
    for field in fields(RiskInputs):
        old_value, value = getattr(history, field.name), getattr(new, field.name)
        if field.name in SERIES:
            changes[field.name] = np.concatenate([old_value, value])
        elif isinstance(value, dict):
            changes[field.name] = {**old_value, **value}
        elif field.name == "positions":
            by_symbol = {item.symbol: item for item in (*old_value, *value)}
            changes[field.name] = tuple(by_symbol.values())
        elif field.name == "options":
            changes[field.name] = value or old_value
        elif field.name != "now":
            changes[field.name] = old_value if value is None else value
    return replace(history, **changes)


def some_periods(rng: np.random.Generator) -> float | None:
    """Seldom a number of bars in a year, and then one that may be impossible."""
    if rng.random() < 0.9:
        return None
    return float(rng.choice([17_520.0, 3_276.0, 365.0, 0.0, -1.0, np.nan]))


def account_history(
    rng: np.random.Generator, bars: int, hurt: float, odd: float = 0.0
) -> Iterator[RiskInputs]:
    """Increments of a random account; with probability `hurt` something of each is broken.

    With probability `odd` each, it is worth nothing or less, a trade or the bars' end is ahead of
    now, its clock is in another unit, and a book is crossed or has junk in it; more seldom, a trade
    is out of order.
    """
    symbols = ["BTC", "ETH", "LTC", "XRP"]
    time, value = 1.6e9, 1e5
    for _ in range(bars):
        size = int(rng.integers(0, 4))
        times = time + np.cumsum(rng.uniform(1.0, 40_000.0, size))
        values = value * np.cumprod(1.0 + rng.normal(0.0, 0.02, size))
        if rng.random() < 0.2:
            values[:] = value
        time, value = (float(times[-1]), float(values[-1])) if size else (time, value)
        trades = int(rng.integers(0, 3)) if size else 0
        new: dict[str, Any] = {
            "portfolio_values": values,
            "timestamps": times,
            "trade_timestamps": np.full(trades, time),
            "trade_notionals": rng.normal(0.0, 1e4, trades),
            "price_changes": rng.normal(0.0, 1.0, size),
            "order_flows": rng.normal(0.0, 5.0, size),
            "order_latencies_us": rng.lognormal(4.0, 1.0, int(rng.integers(0, 300))),
            "now": time + 1.0 if rng.random() < 0.7 else None,
        }
        if rng.random() < 0.5:
            new["positions"] = tuple(
                Position(str(symbol), float(rng.normal(0, 20)), float(rng.uniform(1, 100)))
                for symbol in rng.choice(symbols, 2, replace=False)
            )
            new["capital_base"] = float(rng.uniform(1e4, 1e5))
            new["start_of_day_value"] = float(rng.uniform(9e4, 1.1e5))
        for symbol in rng.choice(symbols, int(rng.integers(0, 3)), replace=False):
            steps = np.cumsum(rng.uniform(0.01, 0.1, 6))
            sizes = rng.uniform(1.0, 10.0, 6)
            book = OrderBook(50.0 - steps, sizes, 50.0 + steps, sizes)
            new.setdefault("order_books", {})[str(symbol)] = book
            new.setdefault("feed_timestamps", {})[str(symbol)] = time - float(rng.uniform(0, 5))
            new.setdefault("average_daily_volumes", {})[str(symbol)] = float(rng.uniform(50, 500))
        new["periods_per_year"] = some_periods(rng)
        if rng.random() < 0.2:
            new["options"] = (
                OptionPosition("BTC", "call", float(rng.normal()), 1.0, 50.0, 55.0, 0.2, 0.8),
            )
        if rng.random() < hurt:
            name = str(rng.choice(["portfolio_values", "order_flows", "order_latencies_us"]))
            if new[name].size:
                new[name][-1] = rng.choice([np.nan, np.inf, -1.0])
        if rng.random() < odd and size:
            with np.errstate(invalid="ignore"):  # it may be infinite already
                new["portfolio_values"][int(rng.integers(size))] *= rng.choice([0.0, -1e-3, -2.0])
            value = 1e5
        if rng.random() < odd and trades:
            # Later trades may not be earlier.
            new["trade_timestamps"][-1] += rng.choice([0.5, 100.0, 50_000.0])
            time = max(time, float(new["trade_timestamps"][-1]))
        out_of_order = rng.random(trades) < odd / 20
        new["trade_timestamps"][out_of_order] = rng.choice([np.nan, 1.0, time - 1.0])
        if rng.random() < odd:
            new["now"] = float(rng.choice([time * 1e3, time - 50_000.0, np.nan, np.inf]))
        if rng.random() < odd and "order_books" in new:
            symbol, book = next(iter(new["order_books"].items()))
            side = book.bid_prices.copy()
            side[int(rng.integers(side.size))] = rng.choice([np.nan, -1.0, 49.999, 80.0])
            sides = (book.bid_sizes, book.ask_prices, book.ask_sizes)
            new["order_books"][symbol] = OrderBook(side, *sides)
        yield RiskInputs(**new)


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32 - 1), hurt=st.sampled_from([0.0, 0.1]))
def test_tracker_with_random_increments_gives_the_bits_of_whole_arrays(
    agent: RiskAgentV2, seed: int, hurt: float
) -> None:
    tracker = agent.tracker()
    history = RiskInputs()
    for new in account_history(np.random.default_rng(seed), 60, hurt):
        history = joined(history, new)
        assert bits(tracker.update(new)) == bits(agent.calculate_only(history))


def updated(tracker: RiskTracker, new: RiskInputs) -> tuple[RiskReport | None, list[str]]:
    try:
        return tracker.update(new), []
    except RiskInputError as refusal:
        return None, [violation.field for violation in refusal.violations]


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32 - 1))
def test_tracker_with_losses_of_everything_and_impossible_times_gives_the_bits_of_whole_arrays(
    agent: RiskAgentV2, seed: int
) -> None:
    tracker = agent.tracker()
    history = RiskInputs()
    for new in account_history(np.random.default_rng(seed), 60, 0.02, odd=0.15):
        report, refused = updated(tracker, new)
        if report is None:
            # Its clock goes back by more than a day, which whole arrays cannot show.
            assert refused == ["now"]
            continue
        history = joined(history, new)
        assert bits(report) == bits(agent.calculate_only(history))


@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1))
def test_tracker_with_given_returns_gives_the_bits_of_whole_arrays(
    agent: RiskAgentV2, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    tracker = agent.tracker()
    history = RiskInputs()
    for step in range(60):
        # Returns given from the tenth step on take the place of those derived before.
        size = int(rng.integers(0, 3)) if step >= 10 else 0
        values = rng.uniform(90.0, 110.0, int(rng.integers(0, 3)))
        new = RiskInputs(portfolio_values=values, returns=rng.normal(0.0, 0.01, size))
        history = joined(history, new)
        assert bits(tracker.update(new)) == bits(agent.calculate_only(history))


@pytest.mark.parametrize("symbol", ["BTC", "EOS"])
def test_tracker_with_real_bars_gives_the_bits_of_whole_arrays(
    agent: RiskAgentV2, symbol: str
) -> None:
    bars = load_sample(symbol)
    closes, times = bars.close[:400].copy(), bars.timestamps_ns[:400] / 1e9
    tracker = agent.tracker()
    tracker.update({"portfolio_values": closes[:100], "timestamps": times[:100]})
    for end in range(101, closes.size):
        report = tracker.update(
            {"portfolio_values": closes[end - 1 : end], "timestamps": times[end - 1 : end]}
        )
        whole = {"portfolio_values": closes[:end], "timestamps": times[:end]}
        assert bits(report) == bits(agent.calculate_only(whole))


@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**32 - 1),
    hurt=st.sampled_from([0.0, 0.02]),
    broke=st.sampled_from([0.0, 0.05]),
    ahead=st.sampled_from([0.0, 0.1]),
)
def test_batch_with_random_bars_gives_the_bits_of_a_tracker_a_row(
    agent: RiskAgentV2, seed: int, hurt: float, broke: float, ahead: float
) -> None:
    rng = np.random.default_rng(seed)
    rows, symbols = 3, ("BTC", "ETH")
    periods = [None, 17_520.0, 98_280.0][seed % 3]
    batch, bar = agent.batch(rows, symbols, 1e5, periods), BatchBar.zeros(rows, 2)
    trackers = [agent.tracker() for _ in range(rows)]
    time = np.full(rows, 1.6e9)
    for step in range(80):
        before, time = time, time + rng.uniform(100.0, 4_000.0, rows)
        values = rng.uniform(9e4, 1e5, rows)
        values[rng.random(rows) < broke] *= -0.3
        values[rng.random(rows) < hurt] = np.nan
        bar.portfolio_values[:], bar.timestamps[:] = values, time
        bar.trade_timestamps[:] = rng.uniform(before, time)
        if rng.random() < ahead:
            # Of one row a trade is ahead of the bar; what follows may not be earlier.
            bar.trade_timestamps[0] = time[0] + 90.0
            time = time + 90.0 * (np.arange(rows) == 0)
        traded = rng.normal(0.0, 1e4, (rows, 2)) * (rng.random((rows, 2)) < 0.4)
        bar.trade_notionals[:] = traded
        bar.start_of_day_values[:] = rng.uniform(9e4, 1e5, rows)
        bar.quantities[:] = rng.normal(0.0, 3.0, (rows, 2))
        bar.prices[:] = rng.uniform(1.0, 9.0, (rows, 2))
        bar.average_daily_volumes[:] = [[80.0, 80.0], [np.nan, 80.0], [np.nan, np.nan]]
        begun = np.arange(rows) if step == 0 else np.array([1] if step == 40 else [], np.int64)
        batch.begin(begun, bar)
        for row in begun:
            trackers[row].reset()
            first = {name: value for name, value in of_bar(bar, row).items() if name != "positions"}
            notionals = {"trade_timestamps": bar.trade_timestamps[[row]], "trade_notionals": [0.0]}
            stated = {"periods_per_year": periods}
            trackers[row].update({**first, **notionals, **stated})
        if begun.size:
            time = time + 60.0
            bar.timestamps[:] = bar.trade_timestamps[:] = time
        found = batch.update(bar)
        for row, tracker in enumerate(trackers):
            whole = tracker.update(of_bar(bar, row))
            assert bits(batch.report(row)) == bits(whole)
            metrics = dict(zip(found.metric_names, found.values[row].tolist(), strict=True))
            available = {name: value for name, value in metrics.items() if not np.isnan(value)}
            assert available == whole.metric_values
            assert or_none(found.risk_score[row]) == whole.risk_score
            assert or_none(found.penalty[row]) == whole.penalty
            judged = whole.risk_score is not None and not whole.unchecked_limits
            assert found.judged[row] == judged


def of_bar(bar: BatchBar, row: int) -> dict[str, Any]:
    """One row of a bar of BTC and ETH, as a tracker takes it."""
    traded = bar.trade_notionals[row]
    now = float(bar.timestamps[row])
    volumes = zip(("BTC", "ETH"), bar.average_daily_volumes[row].tolist(), strict=True)
    return {
        "portfolio_values": bar.portfolio_values[[row]],
        "timestamps": [now],
        "trade_timestamps": [bar.trade_timestamps[row]] * np.count_nonzero(traded),
        "trade_notionals": traded[traded != 0.0],
        "capital_base": 1e5,
        "start_of_day_value": float(bar.start_of_day_values[row]),
        "positions": [
            Position(symbol, float(quantity), float(price))
            for symbol, quantity, price in zip(
                ("BTC", "ETH"), bar.quantities[row], bar.prices[row], strict=True
            )
        ],
        "feed_timestamps": {"BTC": now, "ETH": now},
        "average_daily_volumes": {name: volume for name, volume in volumes if volume > 0.0},
        "now": now,
    }


def or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def test_window_metrics_with_a_longer_history_depend_on_the_window_only(
    agent: RiskAgentV2,
) -> None:
    closes = load_sample("ETH").close[:300].copy()
    whole, window = (
        agent.calculate_only({"portfolio_values": values, "periods_per_year": 17_520.0})
        for values in (closes, closes[-38:])
    )
    for metric in ("volatility", "ewma_volatility", "var_95", "expected_shortfall_95"):
        assert window.metric_values[metric] == whole.metric_values[metric]
