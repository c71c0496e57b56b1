"""The real bars that ship with Tradewind; data/NOTICE.md says where they come from."""

from pathlib import Path
from typing import Final

from tradewind.errors import MarketDataError
from tradewind.market.bars import Bars
from tradewind.market.loading import load_bars
from tradewind.market.sessions import ALWAYS_OPEN

__all__ = ["CRYPTO_SYMBOLS", "SAMPLE_DIGESTS", "SAMPLE_SYMBOLS", "load_sample", "sample_path"]

SAMPLE_DIGESTS: Final = {
    "BTC": "a88be34074c06d6ddaba2ee95820d00bc5ca9ae33a59e6a0eb7ac317c28db400",
    "ETH": "a3f1ac4f2679cdd03d9d187eb6ed1bf76fc6f059d7ef9c3d566c4e3fa8f315a2",
    "LTC": "bae87eeae70b52e1c4a595a0dfd4b721b7a5d562640d46d4354d529979eaf837",
    "XRP": "92a5d589d9758a91752d032a1f1fd26bbfffa00d1690b6a9cf3cdc05bc5c1c0e",
    "EOS": "c3dcef3c3593c5a1fd56e135325b3fc41ca4bb76e2154f9ed7679580be4043cd",
    "EURUSD": "9d507711831b92b33373221efdcb5861176cb5102fea31c3ad89758aff329f94",
    "SPX": "83e56ce67b8e415d291c823b6336aea5053e3c36c84454bff2d0c9e6a749fc35",
}
"""`Bars.digest` of each embedded series."""

SAMPLE_SYMBOLS: Final = tuple(SAMPLE_DIGESTS)

CRYPTO_SYMBOLS: Final = ("BTC", "ETH", "LTC", "XRP", "EOS")
"""Those of one market and the same times: what a panel can be made of."""

_MARKETS: Final = {"EURUSD": "fx-week", "SPX": "XNYS"}  # of the others: always open


def sample_path(symbol: str) -> Path:
    """Where the Parquet file of an embedded series lies."""
    return Path(__file__).parent / "data" / f"{symbol}.parquet"


def load_sample(symbol: str = "BTC") -> Bars:
    """Real bars that ship with Tradewind.

    BTC, ETH, LTC, XRP and EOS: 30-minute bars in US dollars from 2017-10-01 to 2019-10-01 (UTC),
    with a few gaps. EURUSD: hourly bars of the ask in 2017, of the FX week. SPX: daily bars of the
    S&P 500 from 1999 to 2018, of the sessions of New York.

    Raises:
        MarketDataError: There is no sample of that symbol.
    """
    if symbol not in SAMPLE_SYMBOLS:
        raise MarketDataError(f"no sample of {symbol!r}; there are {', '.join(SAMPLE_SYMBOLS)}")
    return load_bars(sample_path(symbol), symbol, market=_MARKETS.get(symbol, ALWAYS_OPEN.name))
