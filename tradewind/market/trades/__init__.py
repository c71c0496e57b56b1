"""Trades and quotes to bars: of equal time, of equal counts, of equal volume, of equal turnover."""

from tradewind.market.trades.loading import TradeBars, load_trades
from tradewind.market.trades.rules import BarRule

__all__ = ["BarRule", "TradeBars", "load_trades"]
