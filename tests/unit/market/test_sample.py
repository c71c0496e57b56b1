import hashlib
import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from tradewind.errors import MarketDataError
from tradewind.market import SAMPLE_SYMBOLS, load_sample, recognise_market
from tradewind.market.sample import SAMPLE_DIGESTS, sample_path

INTERVALS_S = {"EURUSD": 3_600, "SPX": 86_400}


@pytest.mark.parametrize("symbol", SAMPLE_SYMBOLS)
def test_sample_of_each_symbol_has_the_recorded_digest(symbol: str) -> None:
    bars = load_sample(symbol)
    assert bars.symbol == symbol
    assert bars.digest == SAMPLE_DIGESTS[symbol]
    assert bars.interval_ns == INTERVALS_S.get(symbol, 1_800) * 10**9


@pytest.mark.parametrize(("symbol", "market"), [("EURUSD", "fx-week"), ("SPX", "XNYS")])
def test_sample_of_a_market_with_sessions_is_recognised_and_has_every_bar(
    symbol: str, market: str
) -> None:
    bars = load_sample(symbol)
    assert bars.market.name == market
    assert recognise_market(bars.timestamps_ns, bars.interval_ns).name == market
    between = itertools.pairwise(bars.timestamps_ns.tolist())
    assert sum(bars.market.missing_bars(*pair, bars.interval_ns) for pair in between) == 0
    assert sample_path(symbol).stat().st_size < 500_000


def test_sample_that_was_fetched_says_where_it_comes_from_and_under_which_licence() -> None:
    recognised = load_sample("SPX").recognised
    assert recognised is not None
    assert any("of arch 8.0.0, licence NCSA, SHA-256 975ec3bdf792" in it for it in recognised.notes)


@pytest.mark.parametrize("symbol", SAMPLE_SYMBOLS)
def test_notice_names_the_sha256_of_each_file(symbol: str) -> None:
    notice = (sample_path(symbol).parent / "NOTICE.md").read_text(encoding="utf-8")
    sha256 = hashlib.sha256(sample_path(symbol).read_bytes()).hexdigest()
    assert f"| {symbol}.parquet | `{sha256}` |" in notice


def test_sample_begins_with_the_bar_that_was_published() -> None:
    first = load_sample("BTC").bar(0)
    assert first.timestamp_ns == 1_506_816_000 * 10**9
    prices = (first.open, first.high, first.low, first.close)
    assert prices == (4367.1, 4387.5, 4365.0, 4386.3)
    assert first.volume == 755.5217587


def test_sample_of_an_unknown_symbol_is_refused() -> None:
    with pytest.raises(MarketDataError, match="no sample of 'DOGE'; there are BTC, ETH"):
        load_sample("DOGE")


def test_features_without_pyarrow_import_and_loading_says_what_to_install(tmp_path: Path) -> None:
    program = """
import sys
sys.modules["pyarrow"] = None
from tradewind.market import FeaturePipeline, load_sample
FeaturePipeline()
try:
    load_sample()
except ImportError as missing:
    print(missing)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == "reading bars from files needs: pip install 'tradewind[bars]'\n"
