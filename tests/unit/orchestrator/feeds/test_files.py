"""Files of bars as a feed."""

import logging
from pathlib import Path

import numpy as np
import pytest

from orchestrator.feeds.kinds import FileFeed, FileFeedSettings
from orchestrator.mandate import Mandate
from tests.unit.market.session_bars import session_bars
from tradewind.market import Bars
from tradewind.market.saving import save_bars


@pytest.mark.parametrize("has_volume", [True, False])
def test_feed_of_files_without_volume_says_that_paper_fills_nothing_in_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, has_volume: bool
) -> None:
    bars = session_bars("fx-week", 3_600, 20, "2019-01-02T00:00")
    volume = np.zeros(20)
    volume[3] = 5.0 if has_volume else 0.0
    columns = (bars.open, bars.high, bars.low, bars.close, volume)
    save_bars(
        Bars("EURUSD", bars.timestamps_ns, *columns, bars.interval_ns), tmp_path / "it.parquet"
    )
    feed = FileFeed(FileFeedSettings(files={"EURUSD": tmp_path / "it.parquet"}))
    with caplog.at_level(logging.WARNING):
        times = feed.known_times(Mandate(("EURUSD",), bars.interval_ns))
    assert times["EURUSD"].tolist() == bars.timestamps_ns.tolist()
    assert ("broker.market.level_share is null" in caplog.text) is not has_volume
