"""Bars for the tests: the real sample, and small series made to measure."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tradewind.market import Bars, load_sample

MakeBars = Callable[..., Bars]

START_NS = 1_506_816_000_000_000_000  # 2017-10-01 00:00 UTC
HALF_HOUR_NS = 1_800_000_000_000


@pytest.fixture(scope="session")
def btc() -> Bars:
    return load_sample("BTC")


@pytest.fixture(scope="session")
def make_bars() -> MakeBars:
    """`make_bars(10, close=...)`: valid bars, of which single columns can be given."""

    def make(count: int, **columns: Any) -> Bars:
        close = np.asarray(columns.get("close", 100.0 + np.arange(count)), dtype=np.float64)
        values: dict[str, Any] = {
            "symbol": "TEST",
            "timestamps_ns": START_NS + HALF_HOUR_NS * np.arange(count),
            "open": close,
            "high": close * 1.01,
            "low": close * 0.99,
            "close": close,
            "volume": np.ones(count),
        }
        return Bars(**(values | columns))

    return make
