"""Files in the shapes that vendors write load with the bars that are in them, or not at all."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.data.vendors.make import vendor_files
from tests.data.vendors.series import VendorFile, lines, walk
from tradewind.errors import MarketDataError
from tradewind.market import load_bars

FILES = vendor_files()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_vendor_file_with_its_shape_gives_its_bars(tmp_path: Path, file: VendorFile) -> None:
    path = tmp_path / file.name
    path.write_bytes(file.content)
    bars = load_bars(path, **file.options)
    rows = file.rows
    assert bars.timestamps_ns.tolist() == [row.seconds * 10**9 for row in rows]
    for name in ("open", "high", "low", "close"):
        assert getattr(bars, name).tolist() == [getattr(row, name) for row in rows]
    if file.has_volume:
        # 2.5M is multiplied.
        assert bars.volume.tolist() == pytest.approx([row.volume for row in rows], rel=1e-14)
    else:
        assert not np.any(bars.volume)
        assert "no volume" in str(bars.recognised)
    assert bars.recognised is not None
    assert load_bars(path, **bars.recognised.settings).digest == bars.digest


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.options], ids=lambda file: file.name
)
def test_vendor_file_with_two_readings_asks_for_the_option(
    tmp_path: Path, file: VendorFile
) -> None:
    path = tmp_path / file.name
    path.write_bytes(file.content)
    (option,) = file.options
    with pytest.raises(MarketDataError, match=f"say .*{option}: |option {option} "):
        load_bars(path)


def test_corpus_with_its_options_is_as_large_and_as_plain_as_promised() -> None:
    assert len(FILES) >= 80
    assert sum(not file.options for file in FILES) >= 80
    assert len({file.name for file in FILES}) == len(FILES)


@pytest.mark.parametrize("padded", [True, False])
def test_many_dates_of_the_us_with_and_without_zeros_are_the_same_instants(
    tmp_path: Path, padded: bool
) -> None:
    rows = walk(12_000, timedelta(minutes=1))
    form = "%m/%d/%Y %H:%M" if padded else "%-m/%-d/%Y %-H:%M"
    content = lines("Date,Open,High,Low,Close", rows, lambda r: f"{r.stamp(form)},{r.ohlc}")
    path = tmp_path / "bars.csv"
    path.write_text(content)
    bars = load_bars(path, dates="month_first")
    assert bars.timestamps_ns.tolist() == [row.seconds * 10**9 for row in rows]

    broken = content.splitlines()
    broken[7_000] = broken[7_000].replace(":", ";", 1)
    path.write_text("\n".join(broken))
    with pytest.raises(MarketDataError, match="line 7001, timestamp: .* is not a time written as"):
        load_bars(path, dates="month_first")
