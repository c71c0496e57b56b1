from pathlib import Path

import pytest

from tradewind.errors import MarketDataError
from tradewind.market import load_bars

HEADER = "timestamp,open,high,low,close,volume,Größe"
ROWS = ("2024-01-01T00:00:00,1,2,1,2,3,5", "2024-01-01T00:30:00,1,2,1,2,3,6")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_csv_in_utf8_with_or_without_a_mark_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "bars.csv"
    path.write_text("\n".join([HEADER, *ROWS, ""]), encoding=encoding)
    assert load_bars(path).close.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_csv_with_a_header_in_another_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "bars.csv"
    path.write_text("\n".join([HEADER, *ROWS, ""]), encoding=encoding)
    assert load_bars(path).close.tolist() == [2.0, 2.0]


def test_csv_in_an_encoding_that_is_none_of_these_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text("\n".join([HEADER, *ROWS, ""]), encoding="utf-32")
    with pytest.raises(MarketDataError, match="cannot read"):
        load_bars(path)
