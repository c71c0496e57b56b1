"""BarPanel: bars of several symbols over the same intervals."""

from dataclasses import replace

import numpy as np
import pytest

from tradewind.errors import MarketDataError
from tradewind.market import BarAligner, BarPanel, Bars, load_sample, series_of, split_bars


def named(bars: Bars, symbol: str, rows: list[int] | None = None) -> Bars:
    chosen = np.arange(len(bars)) if rows is None else np.array(rows)
    return Bars(
        symbol,
        bars.timestamps_ns[chosen],
        bars.open[chosen],
        bars.high[chosen],
        bars.low[chosen],
        bars.close[chosen],
        bars.volume[chosen],
        bars.interval_ns,
    )


@pytest.fixture(scope="module")
def bars() -> Bars:
    return load_sample("BTC").slice(0, 20)


def test_panel_align_with_bars_that_others_lack_keeps_those_that_all_have(bars: Bars) -> None:
    every = list(range(20))
    lacking = named(bars, "B", [row for row in every if row not in (3, 19)])
    later = named(bars, "C", every[5:])
    panel = BarPanel.align([bars, lacking, later])
    assert panel.symbols == ("BTC", "B", "C")
    expected = [row for row in every[5:] if row != 19]
    for series in series_of(panel):
        assert np.array_equal(series.timestamps_ns, bars.timestamps_ns[expected])
        assert np.array_equal(series.close, bars.close[expected])


def test_panel_align_of_the_samples_keeps_nearly_all_bars() -> None:
    samples = [load_sample(symbol) for symbol in ("BTC", "ETH", "LTC")]
    panel = BarPanel.align(samples)
    assert len(panel) > 0.99 * min(len(bars) for bars in samples)


def test_panel_with_other_bars_or_another_order_has_another_digest(bars: Bars) -> None:
    other = named(bars, "B")
    panels = [
        BarPanel((bars, other)),
        BarPanel((other, bars)),
        BarPanel((bars, named(bars, "C"))),
        BarPanel((bars, other)).slice(0, 19),
    ]
    assert len({panel.digest for panel in panels}) == len(panels)
    assert BarPanel((bars, other)).digest == panels[0].digest


def test_panel_split_in_time_leaves_every_symbol_in_both_parts(bars: Bars) -> None:
    past, future = split_bars(BarPanel((bars, named(bars, "B"))), 0.25)
    assert (len(past), len(future)) == (15, 5)
    assert past.symbols == future.symbols == ("BTC", "B")
    assert past.close_times_ns[-1] <= future.timestamps_ns[0]


def test_panel_with_impossible_series_is_refused(bars: Bars) -> None:
    shifted = named(bars, "B", [*range(10), *range(11, 20)])
    same_count = named(bars.slice(0, 19), "C", list(range(19)))
    with pytest.raises(MarketDataError, match=r"two symbols or more, not \['BTC'\]"):
        BarPanel((bars,))
    with pytest.raises(MarketDataError, match="only once: BTC"):
        BarPanel((bars, bars))
    with pytest.raises(MarketDataError, match="BTC has 20 bars, C 19"):
        BarPanel((bars, same_count))
    with pytest.raises(MarketDataError, match="bar 10 of BTC starts at .* that of B at"):
        BarPanel((bars.slice(0, 19), shifted))
    hourly = replace(bars, symbol="H", interval_ns=3_600_000_000_000)
    with pytest.raises(MarketDataError, match="H are 3600 s long, those of BTC 1800 s"):
        BarPanel((bars, hourly))
    with pytest.raises(MarketDataError, match="no bar in common: BTC .* to .*, B .* to"):
        BarPanel.align([bars.slice(0, 10), named(bars, "B", list(range(10, 20)))])
    with pytest.raises(MarketDataError, match="two symbols or more"):
        BarPanel.align([bars])


def test_aligner_that_all_symbols_have_passed_gives_no_older_bars(bars: Bars) -> None:
    aligner = BarAligner(("A", "B"))
    assert aligner.add("A", bars.bar(0)) is None
    assert aligner.add("A", bars.bar(1)) is None
    assert aligner.add("B", bars.bar(1)) == (bars.bar(1), bars.bar(1))
    assert aligner.add("B", bars.bar(0)) is None
    assert aligner.add("B", bars.bar(2)) is None
    aligner.forget_before(bars.bar(3).timestamp_ns)
    assert aligner.add("A", bars.bar(2)) is None
    with pytest.raises(MarketDataError, match="only once: A"):
        BarAligner(("A", "A"))


def test_align_with_a_short_series_says_who_cut_whom_and_when(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bars = load_sample("BTC").slice(0, 100)
    short = named(bars.slice(40, 90), "NEW")
    holed = named(_without(bars, 60), "HOLED")
    with caplog.at_level("WARNING"):
        panel = BarPanel.align([bars, short, holed])
    assert panel.losses == (
        "NEW begins at 2017-10-01T20:00:00+00:00 and cuts off what is before it: "
        "40 of BTC, 40 of HOLED",
        "NEW ends at 2017-10-02T20:30:00+00:00 and cuts off what is after it: "
        "10 of BTC, 10 of HOLED",
        "HOLED lacks 1 bar(s) in between that another has, the first of 2017-10-02T06:00:00+00:00",
        "kept: BTC 49 of 100, NEW 49 of 50, HOLED 49 of 99 bars, 2017-10-01T20:00:00+00:00 to "
        "2017-10-02T20:30:00+00:00",
    )
    assert "; ".join(panel.losses) in caplog.text
    caplog.clear()
    whole = BarPanel.align([bars, named(bars, "B")])
    assert (whole.losses, caplog.text) == ((), "")
    with pytest.raises(MarketDataError, match=r"1800 s; Bars.resample makes longer ones"):
        BarPanel.align([bars, named(bars.resample("1h"), "H")])


def _without(bars: Bars, row: int) -> Bars:
    keep = np.arange(len(bars)) != row
    columns = [bars.open, bars.high, bars.low, bars.close, bars.volume]
    return Bars(bars.symbol, bars.timestamps_ns[keep], *(column[keep] for column in columns))
