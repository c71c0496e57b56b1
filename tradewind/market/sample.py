"""The real bars that ship with Tradewind; data/NOTICE.md says where they come from."""

from pathlib import Path
from typing import Final

from tradewind.errors import MarketDataError
from tradewind.market.bars import Bars
from tradewind.market.loading import load_bars
from tradewind.market.sessions import ALWAYS_OPEN

__all__ = ["SAMPLE_DIGESTS", "SAMPLE_SYMBOLS", "load_sample", "sample_path"]

SAMPLE_DIGESTS: Final = {
    "BTC": "a88be34074c06d6ddaba2ee95820d00bc5ca9ae33a59e6a0eb7ac317c28db400",
    "ETH": "a3f1ac4f2679cdd03d9d187eb6ed1bf76fc6f059d7ef9c3d566c4e3fa8f315a2",
    "LTC": "bae87eeae70b52e1c4a595a0dfd4b721b7a5d562640d46d4354d529979eaf837",
    "XRP": "92a5d589d9758a91752d032a1f1fd26bbfffa00d1690b6a9cf3cdc05bc5c1c0e",
    "EOS": "c3dcef3c3593c5a1fd56e135325b3fc41ca4bb76e2154f9ed7679580be4043cd",
}
"""`Bars.digest` of each embedded series."""

SAMPLE_SYMBOLS: Final = tuple(SAMPLE_DIGESTS)


def sample_path(symbol: str) -> Path:
    """Where the Parquet file of an embedded series lies."""
    return Path(__file__).parent / "data" / f"{symbol}.parquet"


def load_sample(symbol: str = "BTC") -> Bars:
    """30-minute bars in US dollars from 2017-10-01 to 2019-10-01 (UTC), with a few gaps.

    Raises:
        MarketDataError: There is no sample of that symbol.
    """
    if symbol not in SAMPLE_SYMBOLS:
        raise MarketDataError(f"no sample of {symbol!r}; there are {', '.join(SAMPLE_SYMBOLS)}")
    return load_bars(sample_path(symbol), symbol, market=ALWAYS_OPEN.name)
