"""The decision log: every tick with all that led to its orders, in Arrow and Parquet files."""

from orchestrator.decision_log.reader import DecisionLog, LogPart
from orchestrator.decision_log.schema import LOG_FORMAT_VERSION, TICK_SCHEMA
from orchestrator.decision_log.writer import DecisionLogSettings, DecisionLogWriter
from orchestrator.records import (
    BarRecord,
    FillRecord,
    OrderRecord,
    Outcome,
    PolicyDecision,
    PositionRecord,
    RefusedBarRecord,
    RiskAnswer,
    TickRecord,
    Timings,
)

__all__ = [
    "LOG_FORMAT_VERSION",
    "TICK_SCHEMA",
    "BarRecord",
    "DecisionLog",
    "DecisionLogSettings",
    "DecisionLogWriter",
    "FillRecord",
    "LogPart",
    "OrderRecord",
    "Outcome",
    "PolicyDecision",
    "PositionRecord",
    "RefusedBarRecord",
    "RiskAnswer",
    "TickRecord",
    "Timings",
]
