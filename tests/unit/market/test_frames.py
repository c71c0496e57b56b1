"""Bars from frames of pandas and polars, and from Arrow tables, are those of the same file."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.data.vendors.series import DAYS, HALF_HOURS, Row
from tradewind.errors import MarketDataError
from tradewind.market import Bars

NAMES = ("Open", "High", "Low", "Close", "Volume")


def columns(rows: list[Row] = HALF_HOURS) -> dict[str, list[float]]:
    return {name: [getattr(row, name.lower()) for row in rows] for name in NAMES}


def times(rows: list[Row] = HALF_HOURS) -> pd.DatetimeIndex:
    return pd.DatetimeIndex([row.time for row in rows])


def check(bars: Bars, rows: list[Row] = HALF_HOURS) -> None:
    assert bars.symbol == "BTC"
    assert bars.timestamps_ns.tolist() == [row.seconds * 10**9 for row in rows]
    for name in NAMES:
        assert getattr(bars, name.lower()).tolist() == columns(rows)[name]


@pytest.mark.parametrize("name", ["Date", None, "timestamp"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", None])
def test_pandas_with_times_as_index_gives_the_bars(name: str | None, zone: str | None) -> None:
    index = times().tz_convert(zone).rename(name)
    check(Bars.from_pandas(pd.DataFrame(columns(), index=index), "BTC"))


def test_pandas_with_naive_local_times_takes_their_zone() -> None:
    index = times().tz_convert("America/New_York").tz_localize(None)
    frame = pd.DataFrame(columns(), index=index)
    check(Bars.from_pandas(frame, "BTC", tz="America/New_York"))


def test_pandas_with_a_column_of_text_newest_first_gives_the_bars() -> None:
    frame = pd.DataFrame({"Date": [row.stamp("%m/%d/%Y") for row in DAYS], **columns(DAYS)})
    bars = Bars.from_pandas(frame.iloc[::-1], "BTC")
    check(bars, DAYS)
    assert "newest first: turned round" in str(bars.recognised)


def test_pandas_with_a_level_of_one_ticker_gives_the_bars_and_of_two_says_how() -> None:
    frame = pd.DataFrame(columns(), index=times().rename("Date"))
    one = pd.concat({"SPY": frame}, axis=1).swaplevel(axis=1)
    check(Bars.from_pandas(one, "BTC"))
    two = pd.concat({"SPY": frame, "QQQ": frame}, axis=1).swaplevel(axis=1)
    with pytest.raises(MarketDataError, match=r"several symbols: take one, as in frame\.xs\('SPY'"):
        Bars.from_pandas(two, "BTC")


def test_pandas_with_a_missing_price_names_the_row() -> None:
    frame = pd.DataFrame(columns(), index=times())
    frame.iloc[6, 3] = np.nan
    with pytest.raises(MarketDataError, match="row 7, close: is missing"):
        Bars.from_pandas(frame, "BTC")


def test_frame_is_as_it_was_and_does_not_share_its_memory() -> None:
    frame = pd.DataFrame(columns(), index=times())
    before = frame.copy()
    bars = Bars.from_pandas(frame, "BTC")
    pd.testing.assert_frame_equal(frame, before)
    frame.iloc[0, 0] = 1.0
    assert bars.open[0] == HALF_HOURS[0].open


def test_arrow_with_types_of_its_own_gives_the_bars() -> None:
    stamps = pa.array([row.time for row in HALF_HOURS], pa.timestamp("us", "UTC"))
    check(Bars.from_arrow(pa.table({"time": stamps, **columns()}), "BTC"))


class Handing:
    """A frame of a library that hands its data over by Arrow's C interface, as polars does."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)


def test_polars_with_its_interface_gives_the_bars() -> None:
    text = pa.array([row.stamp("%Y-%m-%d %H:%M") for row in HALF_HOURS], pa.string_view())
    stamps = pa.array([row.time for row in HALF_HOURS], pa.timestamp("us"))
    words = pa.DictionaryArray.from_arrays(range(len(text)), text)
    for column in (stamps, text, words):
        check(Bars.from_polars(Handing(pa.table({"datetime": column, **columns()})), "BTC"))


@pytest.mark.parametrize("other", [[1, 2], "bars.csv", {"open": 1}, None], ids=str)
def test_what_is_no_frame_is_refused(other: Any) -> None:
    with pytest.raises(MarketDataError, match="not from|is needed"):
        Bars.from_polars(other, "BTC")
    with pytest.raises(MarketDataError, match="is needed"):
        Bars.from_pandas(other, "BTC")


def test_frame_without_rows_is_refused() -> None:
    with pytest.raises(MarketDataError, match="BTC has no bars: it has no rows"):
        Bars.from_arrow(pa.table({"time": pa.array([], pa.int64()), **columns([])}), "BTC")


def test_options_that_do_not_exist_are_refused() -> None:
    table = pa.table({"time": [row.seconds for row in HALF_HOURS], **columns()})
    with pytest.raises(MarketDataError, match="order must be one of oldest_first"):
        Bars.from_arrow(table, "BTC", order="sorted")
    with pytest.raises(MarketDataError, match="tz must be a time zone such as"):
        Bars.from_arrow(table, "BTC", tz="Nowhere/At_all")
    with pytest.raises(MarketDataError, match="leave out tz: numbers since the epoch are UTC"):
        Bars.from_arrow(table, "BTC", tz="Europe/Berlin")
    with pytest.raises(MarketDataError, match="columns names 'price'; it can name timestamp"):
        Bars.from_arrow(table, "BTC", columns={"price": "Close"})
