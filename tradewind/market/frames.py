"""Frames of other libraries as Arrow tables, without importing those libraries."""

from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from tradewind.errors import MarketDataError

__all__ = ["owned", "table_of", "with_index"]


def owned(column: NDArray[Any]) -> NDArray[Any]:
    """A copy that nobody can write to: the frame's memory stays its user's."""
    copy = column.copy()
    copy.setflags(write=False)
    return copy


def table_of(frame: Any) -> Any:
    """The Arrow table of a frame.

    Raises:
        MarketDataError: It is no table.
    """
    if isinstance(frame, pa.Table):
        return frame
    try:
        return pa.table(frame)
    except (TypeError, ValueError, pa.ArrowException) as problem:
        raise MarketDataError(
            f"bars come from an Arrow table or a frame of pandas or polars, not from "
            f"{type(frame).__name__}: {problem}"
        ) from None


def with_index(frame: Any) -> Any:
    """The Arrow table of a pandas frame, its index a column.

    Raises:
        MarketDataError: It is no such frame, or one of several symbols.
    """
    if not hasattr(frame, "reset_index"):
        raise MarketDataError(f"a pandas DataFrame is needed, not {type(frame).__name__}")
    levels = frame.columns.nlevels
    for level in reversed(range(levels) if levels > 1 else ()):
        # yfinance has a level of tickers: one of them says nothing.
        if frame.columns.nlevels > 1 and frame.columns.get_level_values(level).nunique() == 1:
            frame = frame.droplevel(level, axis=1)
    if frame.columns.nlevels > 1:
        tickers = frame.columns.get_level_values(-1).unique()
        raise MarketDataError(
            f"the frame has columns of several symbols: take one, as in "
            f"frame.xs({tickers[0]!r}, axis=1, level=-1)"
        )
    if type(frame.index).__name__ != "RangeIndex":
        if frame.index.name is None:
            frame = frame.rename_axis("")
        frame = frame.reset_index()
    frame = frame.rename(columns=str)
    return pa.Table.from_pandas(frame, preserve_index=False)
