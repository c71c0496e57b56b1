"""Variants side by side, against the comparison that reads the log."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from orchestrator.analysis.comparison import split_variants
from orchestrator.decision_log import (
    DecisionLog,
    DecisionLogSettings,
    DecisionLogWriter,
    FillRecord,
    PositionRecord,
    TickRecord,
)
from orchestrator.live.variants import VariantBook

MakeTick = Callable[..., TickRecord]
SYMBOLS = ("BTC", "ETH", "LTC")


def trade(tick: MakeTick, seed: int, count: int = 80) -> Iterator[TickRecord]:
    """Random trades of symbols that change hands between variants, some answers not used."""
    generator = np.random.default_rng(seed)
    cash, quantities, prices = 1_000.0, np.zeros(3), np.full(3, 10.0)
    for sequence in range(count):
        prices = prices * np.exp(0.02 * generator.normal(size=3))
        fills = []
        for at, symbol in enumerate(SYMBOLS):
            if generator.random() < 0.3:
                change, fee = generator.normal(), 0.01
                cash -= change * prices[at] + fee
                quantities[at] += change
                number = 3 * sequence + at
                fills.append(FillRecord(number, "a", symbol, change, prices[at], 1.0, fee, 1))
        template = tick(sequence)
        yield replace(
            template,
            fills=tuple(fills),
            positions=tuple(
                PositionRecord(symbol, quantity, None, price)
                for symbol, quantity, price in zip(SYMBOLS, quantities, prices, strict=True)
            ),
            cash=cash,
            equity=cash + float(quantities @ prices),
            decisions=tuple(
                replace(
                    template.decisions[0],
                    symbols=(symbol,),
                    variant=str(generator.choice(["new", "old"])),
                    reason="DEADLINE" if generator.random() < 0.2 else "",
                )
                for symbol in SYMBOLS
                if sequence and generator.random() < 0.9
            ),
        )


@pytest.mark.parametrize("seed", range(4))
def test_variants_while_they_trade_are_those_of_the_comparison_afterwards(
    tmp_path: Path, tick: MakeTick, seed: int
) -> None:
    ticks = list(trade(tick, seed))

    async def append() -> None:
        with DecisionLogWriter(DecisionLogSettings(folder=tmp_path), {"account": "a"}) as writer:
            for record in ticks:
                await writer.append(record)

    asyncio.run(append())
    book = VariantBook(SYMBOLS)
    for record in ticks:
        book.take(record)

    compared = split_variants(DecisionLog(tmp_path))

    shown = book.summary()
    assert [item["name"] for item in shown] == [variant.name for variant in compared]
    for item, variant in zip(shown, compared, strict=True):
        values = np.concatenate(([1.0], np.cumprod(1.0 + variant.returns)))
        drawdowns = 1.0 - values / np.maximum.accumulate(values)
        assert item["total_return"] == pytest.approx(values[-1] - 1.0, abs=1e-12)
        assert item["max_drawdown"] == pytest.approx(drawdowns.max(), abs=1e-12)
        assert item["bar_count"] == len(variant.returns)
        assert item["decision_count"] == len(variant.model_compute_ns)
