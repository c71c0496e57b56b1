"""A tearsheet says what its log says, and needs nothing but itself."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from orchestrator.analysis.tearsheet import render_tearsheet
from orchestrator.analysis.tearsheet.sheet import read_sheet
from orchestrator.decision_log import (
    DecisionLog,
    DecisionLogSettings,
    DecisionLogWriter,
    FillRecord,
    Outcome,
    PositionRecord,
    RiskAnswer,
    TickRecord,
    Timings,
)
from tradewind.errors import InvalidInputError
from tradewind.risk.policy import RiskPolicy

MakeTick = Callable[..., TickRecord]
ACCOUNT = "<b>desk</b>"
POLICY = RiskPolicy.parse({"limits": {"max_drawdown": {"limit": 0.05}}})
FACTS = {
    "account": ACCOUNT,
    "allocations": [
        {"symbol": "BTC", "policy": "p", "cash": 50.0},
        {"symbol": "ETH", "policy": "q", "cash": 50.0},
    ],
    "capital_base": 100.0,
    "interval_ns": 1_800_000_000_000,
    "risk_policy": POLICY.canonical_json(),
    "safety": {"budget_ms": 250.0},
}


def answer(halted: bool) -> RiskAnswer:
    breaches = ("drawdown_halt: max_drawdown 0.1 is over 0.05",) if halted else ()
    action = "HALT" if halted else "ALLOW"
    return RiskAnswer("id", "d", action, POLICY.digest(), halted, breaches, 0.5, {}, {})


@pytest.fixture
def log(tmp_path: Path, tick: MakeTick) -> DecisionLog:
    equity = 100.0 * np.cumprod(1.0 + 0.01 * np.sin(np.arange(120)))
    ticks = []
    for number in range(120):
        close_ns = tick(number).close_ns
        halted = number in (50, 51, 52, 80)
        ticks.append(
            tick(
                number,
                account=ACCOUNT,
                equity=float(equity[number]),
                fees_paid=0.01 * number,
                outcome=Outcome.HELD if halted else Outcome.DECIDED,
                reasons=("RISK_HALT",) if halted else (),
                risk=None if number == 0 else answer(halted),
                fills=(FillRecord(number, "a", "BTC", 0.5, 1.02, 1.0, 0.01, close_ns),),
                positions=(
                    PositionRecord("ETH", 0.0, None, 2.0),
                    PositionRecord("BTC", 0.5 * number, 1.0, 1.0 + 0.01 * number),
                ),
                timings=Timings(
                    1_000, 200_000, 300_000, 10, 20, 300_000_000 if halted else 900_000
                ),
            )
        )

    async def write() -> None:
        settings = DecisionLogSettings(folder=tmp_path / "log")
        with DecisionLogWriter(settings, FACTS) as writer:
            for record in ticks:
                await writer.append(record)

    asyncio.run(write())
    return DecisionLog(tmp_path / "log")


def test_sheet_of_a_log_sums_up_its_ticks(log: DecisionLog) -> None:
    sheet = read_sheet(log)
    assert [(halt.ticks, halt.cause[:13]) for halt in sheet.halts] == [
        (3, "drawdown_halt"),
        (1, "drawdown_halt"),
    ]
    assert sheet.outcomes == {"DECIDED": 116, "HELD": 4}
    assert sheet.demands == {"ALLOW": 115, "HALT": 4}
    assert sheet.reasons == {"RISK_HALT": 4}
    assert sheet.bar_faults == {"OUT_OF_ORDER": 120}
    assert [trades.symbol for trades in sheet.symbols] == ["BTC", "ETH"]
    btc = sheet.symbols[0]
    assert btc.fill_count == 120
    assert btc.fees == pytest.approx(1.2)
    assert btc.slippage == pytest.approx(1.2)
    assert sheet.slippage[-1] == pytest.approx(1.2)
    assert btc.exposures[3] == pytest.approx(1.5 * 1.03 / sheet.equity[3])
    assert [series.name for series, _ in sheet.variants] == ["p", "q"]
    assert len(sheet.latencies_us["Model compute"]) == 240


def test_tearsheet_of_a_log_shows_every_part_and_loads_nothing(log: DecisionLog) -> None:
    page = render_tearsheet(log).decode()
    assert page == render_tearsheet(log).decode()
    assert ACCOUNT not in page
    assert "&lt;b&gt;desk&lt;/b&gt;" in page
    (data,) = re.findall(r'id="charts">(.*?)</script>', page, re.DOTALL)
    charts = {chart["id"]: chart for chart in json.loads(data)}
    assert set(charts) == {
        "equity",
        "returns",
        "costs",
        "small-outcomes",
        "small-reasons",
        "latency",
        "small-position-0",
        "small-position-1",
        "variants",
    }
    assert all(f'<div id="{name}"' in page for name in charts)
    assert len(charts["equity"]["layout"]["shapes"]) == 2
    drawn = [trace["name"] for trace in charts["equity"]["data"]]
    assert "Limit of max_drawdown: 5 %" in drawn
    for said in (
        "4 of 120 halted",
        "budget 250.0 ms",
        "4 (3.33 %)",
        "drawdown_halt: max_drawdown 0.1 is over 0.05",
        POLICY.digest(),
    ):
        assert said in page
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r'(src|href)="', markup)


def test_tearsheet_of_one_tick_is_refused(tmp_path: Path, tick: MakeTick) -> None:
    async def write() -> None:
        with DecisionLogWriter(DecisionLogSettings(folder=tmp_path), FACTS) as writer:
            await writer.append(tick(0))

    asyncio.run(write())
    with pytest.raises(InvalidInputError, match="two ticks"):
        render_tearsheet(DecisionLog(tmp_path))
