"""Files of bars as vendors write them: what is in them, and how that is told."""

from tradewind.market.reading.options import ADJUSTMENT, ReadOptions
from tradewind.market.reading.recognition import Recognition

__all__ = ["ADJUSTMENT", "ReadOptions", "Recognition"]
