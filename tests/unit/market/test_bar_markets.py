"""Which market bars say that they are of."""

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.unit.market.session_bars import session_bars
from tradewind.errors import MarketDataError
from tradewind.market import BarPanel, Bars, load_bars, load_sample, market_named, split_bars
from tradewind.market.saving import save_bars
from tradewind.market.volume import average_daily_volumes

DAY_NS = 86_400 * 10**9


@pytest.fixture(scope="module")
def shares() -> Bars:
    return session_bars("XNYS", 1_800, 700, "2019-01-02T14:30")


def renamed(bars: Bars, symbol: str, market: str | None = None) -> Bars:
    return Bars(
        symbol, bars.timestamps_ns, bars.open, bars.high, bars.low, bars.close, bars.volume,
        bars.interval_ns, None if market is None else market_named(market),
    )  # fmt: skip


def test_bars_without_a_named_market_recognise_it(shares: Bars) -> None:
    assert shares.market.name == "XNYS"
    assert shares.periods_per_year == 252.0 * 13


def test_part_of_the_bars_is_of_the_market_of_the_whole(shares: Bars) -> None:
    part = shares.slice(100, 110).slice(2, 8)
    assert part.market.name == "XNYS"
    assert split_bars(shares, 0.01)[1].market.name == "XNYS"
    assert pickle.loads(pickle.dumps(part)).market.name == "XNYS"
    assert pickle.loads(pickle.dumps(part)).digest == part.digest


def test_bars_with_another_market_have_the_same_digest(shares: Bars) -> None:
    assert renamed(shares, "ACME", "fx-week").digest == shares.digest


def test_file_with_a_named_market_is_of_that(tmp_path: Path, shares: Bars) -> None:
    path = tmp_path / "ACME.parquet"
    columns = {"timestamp": shares.timestamps_ns, **{
        name: getattr(shares, name) for name in ("open", "high", "low", "close", "volume")
    }}  # fmt: skip
    pa.parquet.write_table(pa.table(columns), path)
    assert load_bars(path).market.name == "XNYS"
    assert load_bars(path, market="XTSE").market.name == "XTSE"
    with pytest.raises(MarketDataError, match="there is no market 'NISE'"):
        load_bars(path, market="NISE")


def test_panel_is_of_the_market_of_its_bars(shares: Bars) -> None:
    panel = BarPanel((shares, renamed(shares, "B")))
    assert panel.market.name == "XNYS"
    assert panel.slice(0, 5).market.name == "XNYS"
    named = BarPanel((shares, renamed(shares, "B", "XTSE")))
    assert named.market.name == "XTSE"
    with pytest.raises(MarketDataError, match="one market, not of: A XNYS, B XTSE"):
        BarPanel((renamed(shares, "A", "XNYS"), renamed(shares, "B", "XTSE")))


def test_panel_cut_short_by_a_late_listing_is_of_the_market_of_the_whole(shares: Bars) -> None:
    late = renamed(shares, "LATE").slice(690, 700)
    panel = BarPanel.align([shares, late])
    assert len(panel) == 10
    assert panel.market.name == "XNYS"
    listed = Bars(
        "LATE", late.timestamps_ns, late.open, late.high, late.low, late.close, late.volume
    )
    assert listed.market.name == "always-open"  # what ten bars look like alone
    assert BarPanel.align([shares, listed]).periods_per_year == 252.0 * 13
    other = BarPanel.align([listed, shares])
    assert other.periods_per_year == 252.0 * 13
    assert [bars.market.name for bars in other.series] == ["XNYS", "XNYS"]


def test_gaps_are_bars_that_the_market_had(shares: Bars) -> None:
    assert shares.gaps() == ()
    kept = np.r_[0:20, 21:60, 62:700]
    names = ("timestamps_ns", "open", "high", "low", "close", "volume")
    holed = dataclasses.replace(shares, **{name: getattr(shares, name)[kept] for name in names})
    assert [(gap.after, gap.missing_bar_count) for gap in holed.gaps()] == [(19, 1), (58, 2)]


@pytest.mark.parametrize(
    ("market", "says"),
    [
        ("XTKS", "700 of 700 begin while it is closed"),
        ("always-open", "there are 700 where it has"),
        ("fx-week", "there are 700 where it has"),
    ],
)
def test_file_named_to_be_of_a_market_that_its_bars_contradict_is_refused(
    tmp_path: Path, shares: Bars, market: str, says: str
) -> None:
    save_bars(shares, tmp_path / "ACME.parquet")
    expected = f"bars of ACME are not those of the market {market} that is named: {says}"
    with pytest.raises(MarketDataError, match=expected):
        load_bars(tmp_path / "ACME.parquet", market=market)


def test_samples_are_of_a_market_that_never_closes() -> None:
    bars = load_sample("BTC")
    assert bars.market.name == "always-open"
    assert bars.periods_per_year == 17_520.0


def test_bars_of_no_pattern_name_their_symbol() -> None:
    rng = np.random.default_rng(1)
    begins = 17_500 * DAY_NS + DAY_NS * np.arange(200) + rng.integers(0, 6, 200) * DAY_NS // 24
    times = np.concatenate([begin + np.arange(3) * DAY_NS // 48 for begin in begins])
    flat = np.full(600, 5.0)
    bars = Bars("ODD", times, flat, flat, flat, flat, flat, DAY_NS // 48)
    with pytest.raises(MarketDataError, match="ODD: .* say which market it is"):
        _ = bars.market


def test_average_daily_volume_is_that_of_a_trading_day() -> None:
    bars = session_bars("XNYS", 1_800, 500, "2019-01-02T14:30", name=True)
    steady = Bars(
        "ACME", bars.timestamps_ns, bars.open, bars.high, bars.low, bars.close,
        np.full(len(bars), 10.0), bars.interval_ns, bars.given_market,
    )  # fmt: skip
    volumes = average_daily_volumes(steady)
    known = volumes[~np.isnan(volumes)]
    # Thirteen bars a day, in weeks of four days and in the midst of a day as well.
    assert known.size > 400
    assert known == pytest.approx(130.0, rel=1e-12)


def test_average_daily_volume_of_daily_bars_is_their_mean() -> None:
    bars = session_bars("XNYS", 86_400, 60, "2019-03-01T00:00", name=True)
    volumes = average_daily_volumes(bars)
    for last in range(10, 60):
        week = bars.timestamps_ns[: last + 1] >= bars.close_times_ns[last] - 7 * DAY_NS
        assert volumes[last] == pytest.approx(bars.volume[: last + 1][week].mean(), rel=1e-12)


def test_average_daily_volume_without_a_session_for_a_week_is_unknown() -> None:
    # Golden Week of 2019: no session in Tokyo for ten days, and yet a bar on its seventh.
    bars = session_bars("XTKS", 86_400, 30, "2019-03-15T00:00", name=True)
    holiday = int(np.datetime64("2019-05-05", "ns").astype(np.int64))
    times = np.append(bars.timestamps_ns[bars.timestamps_ns < holiday], holiday)
    flat = np.full(times.size, 7.0)
    odd = Bars("N", times, flat, flat, flat, flat, flat, DAY_NS, bars.given_market)
    assert np.isnan(average_daily_volumes(odd)[-1])
