"""Ticks as an orchestrator writes them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from orchestrator.decision_log import (
    BarRecord,
    FillRecord,
    OrderRecord,
    Outcome,
    PolicyDecision,
    PositionRecord,
    RefusedBarRecord,
    RiskAnswer,
    TickRecord,
)

MakeTick = Callable[..., TickRecord]
INTERVAL_NS = 1_800_000_000_000


def make_tick(sequence: int, **changes: Any) -> TickRecord:
    close_ns = 1_600_000_200_000_000_000 + sequence * INTERVAL_NS
    observation = np.linspace(-1.0, 1.0, 5, dtype="<f4").tobytes()
    values: dict[str, Any] = {
        "sequence": sequence,
        "run_id": "run",
        "account": "default",
        "close_ns": close_ns,
        "decided_ns": close_ns + 5,
        "outcome": Outcome.DECIDED,
        "reasons": (),
        "bars": tuple(
            BarRecord(symbol, close_ns - INTERVAL_NS, 1.0, 2.0, 0.5, 1.5, 10.0, close_ns)
            for symbol in ("BTC", "ETH")
        ),
        "refused_bars": (RefusedBarRecord("XRP", -7, "OUT_OF_ORDER", "too early"),),
        "fills": (FillRecord(sequence, "a-1", "BTC", 0.5, 1.0, 1.0, 0.001, close_ns),),
        "positions": (PositionRecord("BTC", 0.5, 1.0, 1.5), PositionRecord("ETH", 0.0, None, 1.5)),
        "cash": 99.5,
        "equity": 100.25 + sequence,
        "fees_paid": 0.001,
        "start_of_day_equity": 100.0,
        "inputs_digest": "00" * 16,
        "decisions": (
            PolicyDecision(
                ("BTC",), "p", "2026-11-22.1", "ab", "", "id", (0.5,), (0.1,), (3,), observation,
                2, (), (1.0,), 3_000,
            ),
            PolicyDecision(
                ("ETH",), "q", "2026-11-22.1", "cd", "", "id", (0.0,), (0.0,), (0,), observation,
                None, (0.25,), (None,), 3_000,
            ),
        ),
        "risk": RiskAnswer(
            "id", "d", "ALLOW", "ef", False, (), None, {"max_drawdown": 0.1}, {"var_95": "too few"}
        ),
        "orders": (OrderRecord("a-2", "BTC", 1.0, 1.5, "POLICY", True),),
    }  # fmt: skip
    return TickRecord(**{**values, **changes})


@pytest.fixture
def tick() -> MakeTick:
    """`tick(3, equity=5.0)` is tick number 3, with some of its fields changed."""
    return make_tick
