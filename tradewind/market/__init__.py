"""Market data: bars, the observation built from them, and the account that trades them."""

from tradewind.market.accounting import Account, PositionState
from tradewind.market.bars import Bar, Bars, Gap
from tradewind.market.feature_group import BarWindow, FeatureGroup, known_groups
from tradewind.market.features import FeatureSpec
from tradewind.market.holdings import Holdings
from tradewind.market.instruments import Costs, Instrument, instrument_named, load_instruments
from tradewind.market.loading import load_bars
from tradewind.market.markets import ALWAYS_OPEN, Market, market_named, recognise_market
from tradewind.market.panel import BarAligner, BarPanel, BarSeries, series_of, split_bars
from tradewind.market.panel_pipeline import PanelPipeline
from tradewind.market.pipeline import FeaturePipeline
from tradewind.market.sample import SAMPLE_SYMBOLS, load_sample
from tradewind.market.terms import TradingTerms

__all__ = [
    "ALWAYS_OPEN",
    "SAMPLE_SYMBOLS",
    "Account",
    "Bar",
    "BarAligner",
    "BarPanel",
    "BarSeries",
    "BarWindow",
    "Bars",
    "Costs",
    "FeatureGroup",
    "FeaturePipeline",
    "FeatureSpec",
    "Gap",
    "Holdings",
    "Instrument",
    "Market",
    "PanelPipeline",
    "PositionState",
    "TradingTerms",
    "instrument_named",
    "known_groups",
    "load_bars",
    "load_instruments",
    "load_sample",
    "market_named",
    "recognise_market",
    "series_of",
    "split_bars",
]
