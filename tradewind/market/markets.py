"""Markets: what they are, by their names, and from the bars."""

from tradewind.market.calendars import market_named
from tradewind.market.recognition import recognise_market
from tradewind.market.sessions import ALWAYS_OPEN, Market

__all__ = ["ALWAYS_OPEN", "Market", "market_named", "recognise_market"]
