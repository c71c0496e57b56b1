"""What each variant earned, out of real logs, and the command that compares them."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.analysis.comparison import (
    ComparisonSettings,
    VariantSeries,
    Verdict,
    compare,
    read_account,
    split_variants,
)
from orchestrator.decision_log import (
    DecisionLog,
    DecisionLogSettings,
    DecisionLogWriter,
    FillRecord,
    PositionRecord,
    TickRecord,
)
from tradewind.errors import InvalidInputError
from tradewind_cli.__main__ import main

MakeTick = Callable[..., TickRecord]
SYMBOLS = ("BTC", "ETH")
FEE = 0.002


def trade(tick: MakeTick, count: int, edge: float, seed: int = 0) -> Iterator[TickRecord]:
    """An account whose variant `new` trades BTC, with an edge, and `old` ETH."""
    generator = np.random.default_rng(seed)
    cash, quantities, prices = 100.0, np.zeros(2), np.array([10.0, 10.0])
    for sequence in range(count):
        fills = []
        if sequence:
            prices = prices * np.exp(0.01 * generator.normal(size=2) + np.array([edge, 0.0]))
            # Half of the account in each symbol: every variant trades its share.
            equity = cash + quantities @ prices
            for at, symbol in enumerate(SYMBOLS):
                change = 0.5 * equity / prices[at] - quantities[at]
                fee = FEE * abs(change)
                cash -= change * prices[at] + fee
                quantities[at] += change
                fills.append(
                    FillRecord(2 * sequence + at, "a", symbol, change, prices[at], 1.0, fee, 1)
                )
        template = tick(sequence)
        decisions = tuple(
            replace(
                template.decisions[0],
                symbols=(symbol,),
                variant=variant,
                model_compute_ns=1_000 * (1 + number),
            )
            for number, (symbol, variant) in enumerate(zip(SYMBOLS, ("new", "old"), strict=True))
        )
        yield replace(
            template,
            fills=tuple(fills),
            positions=tuple(
                PositionRecord(symbol, quantities[at], None, prices[at])
                for at, symbol in enumerate(SYMBOLS)
            ),
            cash=cash,
            equity=cash + float(quantities @ prices),
            decisions=decisions,
        )


def write(folder: Path, ticks: Iterator[TickRecord]) -> DecisionLog:
    async def append() -> None:
        with DecisionLogWriter(DecisionLogSettings(folder=folder), {"account": "a"}) as writer:
            for record in ticks:
                await writer.append(record)

    asyncio.run(append())
    return DecisionLog(folder)


def test_variants_that_share_an_account_earn_together_what_it_did(
    tmp_path: Path, tick: MakeTick
) -> None:
    log = write(tmp_path, trade(tick, 60, edge=0.0))

    new, old = split_variants(log)

    assert (new.name, old.name) == ("new", "old")
    whole = read_account(log, "whole")
    np.testing.assert_array_equal(new.close_ns, whole.close_ns)
    np.testing.assert_allclose(0.5 * (new.returns + old.returns), whole.returns, atol=1e-12)
    assert set(new.model_compute_ns) == {1_000}
    assert set(old.model_compute_ns) == {2_000}


def test_answer_that_was_not_used_earns_nothing(tmp_path: Path, tick: MakeTick) -> None:
    def ticks() -> Iterator[TickRecord]:
        for record in trade(tick, 20, edge=0.0):
            new, old = record.decisions
            yield replace(record, decisions=(replace(new, reason="STALE"), old))

    (old,) = split_variants(write(tmp_path, ticks()))

    assert old.name == "old"


def test_calls_without_an_answer_have_no_model_compute(tmp_path: Path, tick: MakeTick) -> None:
    def ticks() -> Iterator[TickRecord]:
        for record in trade(tick, 20, edge=0.0):
            new, old = record.decisions
            if record.sequence % 2:
                new = replace(new, version="", reason="INFERENCE_UNAVAILABLE", model_compute_ns=0)
            yield replace(record, decisions=(new, old))

    log = write(tmp_path, ticks())
    new, old = split_variants(log)

    assert new.model_compute_ns.tolist() == [1_000] * 10
    assert old.model_compute_ns.tolist() == [2_000] * 20
    assert sorted(set(read_account(log, "whole").model_compute_ns)) == [1_000, 2_000]


def series(returns: Any, start: int = 0) -> VariantSeries:
    nothing = np.zeros(0, np.int64)
    closes = np.arange(start, start + len(returns), dtype=np.int64)
    return VariantSeries("x", closes, np.asarray(returns), nothing, nothing, nothing)


def test_compare_counts_only_the_bars_in_common() -> None:
    generator = np.random.default_rng(0)
    champion = series(generator.normal(0.0, 0.01, 500))
    challenger = series(generator.normal(0.0, 0.01, 500), start=100)

    found = compare(champion, challenger, ComparisonSettings())

    assert found.common_bars == 400
    difference = challenger.returns[:400] - champion.returns[100:]
    assert found.sequence.means[-1] == pytest.approx(difference.mean())


def test_compare_with_too_few_bars_in_common_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="have 150 bars in common, fewer than first_bars"):
        compare(series(np.zeros(300)), series(np.zeros(300), start=150), ComparisonSettings())


def test_compare_with_an_edge_names_the_better_one_and_when() -> None:
    generator = np.random.default_rng(0)
    market = generator.normal(0.0, 0.01, 2_000)
    better = series(market + generator.normal(0.0005, 0.001, 2_000))

    found = compare(series(market), better, ComparisonSettings())
    back = compare(better, series(market), ComparisonSettings())

    assert (found.verdict, back.verdict) == (Verdict.CHALLENGER_BETTER, Verdict.CHAMPION_BETTER)
    assert found.sequence.decided_at is not None
    assert found.decided_at_ns == found.sequence.decided_at - 1


def test_compare_command_reports_both_variants_and_the_verdict(
    tmp_path: Path, tick: MakeTick, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "log", trade(tick, 400, edge=0.004))

    command = ["compare", str(tmp_path / "log"), "--champion", "old", "--best-bars", "400"]
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "CHALLENGER_BETTER"
    assert document["low"] > 0.0
    assert document["challenger"]["variant"] == "new"
    assert document["challenger"]["latencies_us"]["model_compute_p99"] == 1.0
    assert document["champion"]["max_drawdown"] > 0.0
    assert document["champion"]["expected_shortfall_95"] > 0.0

    assert main(command) == 0
    assert "CHALLENGER_BETTER" in capsys.readouterr().out


def test_compare_command_with_a_log_for_each_variant_takes_the_accounts(
    tmp_path: Path, tick: MakeTick, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(("champion", "challenger")):
        write(tmp_path / name, trade(tick, 300, edge=0.0, seed=number))

    logs = [str(tmp_path / name) for name in ("champion", "challenger")]
    assert main(["compare", *logs, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["champion"]["variant"] == "champion"
    assert document["verdict"] == "UNDECIDED"
    assert document["decided_at_bars"] is None
    assert document["common_bars"] == 299


def test_compare_command_with_an_unknown_variant_or_no_log_is_refused(
    tmp_path: Path, tick: MakeTick, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "log", trade(tick, 30, edge=0.0))

    assert main(["compare", str(tmp_path / "log"), "--champion", "nobody"]) == 2
    assert "not among the variants: new, old" in capsys.readouterr().err
    assert main(["compare", str(tmp_path / "nothing")]) == 3
