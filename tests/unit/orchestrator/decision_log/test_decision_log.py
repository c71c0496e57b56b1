"""What was appended is what is read, and a crash costs the last batch at most."""

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.decision_log import (
    TICK_SCHEMA,
    DecisionLog,
    DecisionLogSettings,
    DecisionLogWriter,
    RefusedBarRecord,
    TickRecord,
)
from orchestrator.decision_log.schema import to_batch
from orchestrator.decision_log.segments import OpenSegment, recover, stream_paths
from tradewind.errors import NotFoundError, StorageError

MakeTick = Callable[..., TickRecord]
FACTS = {"account": "default", "capital_base": 100.0}


def write(folder: Path, ticks: Sequence[TickRecord], **settings: float) -> DecisionLogWriter:
    async def append() -> DecisionLogWriter:
        with DecisionLogWriter(DecisionLogSettings(folder=folder, **settings), FACTS) as writer:
            for record in ticks:
                await writer.append(record)
        return writer

    return asyncio.run(append())


def logged_count(folder: Path) -> int:
    try:
        return len(DecisionLog(folder).ticks)
    except NotFoundError:
        return 0


def open_segment(folder: Path, ticks: Sequence[TickRecord]) -> Path:
    """A stream of one batch for each tick, as a crash leaves it."""
    folder.mkdir(exist_ok=True)
    schema = TICK_SCHEMA.with_metadata({"tradewind.format_version": "1"})
    segment = OpenSegment(folder, ticks[0].sequence, schema)
    for record in ticks:
        segment.append([to_batch([record])])
    segment.abandon()
    return segment.path


def test_log_with_every_field_gives_back_what_was_appended(tmp_path: Path, tick: MakeTick) -> None:
    write(tmp_path, [tick(0), tick(1, risk=None, decisions=())])
    log = DecisionLog(tmp_path)
    assert log.facts == {"format_version": 1, **FACTS}
    first, second = log.ticks.to_pylist()
    assert first["equity"] == 100.25
    assert first["decisions"][1]["targets"] == [None]
    assert np.frombuffer(first["decisions"][0]["observation"], "<f4").size == 5
    assert first["risk"]["metrics"] == [("max_drawdown", 0.1)]
    assert first["risk"]["unavailable"] == [("var_95", "too few")]
    assert first["refused_bars"][0]["start_ns"] == -7
    assert second["risk"] is None
    assert second["decisions"] == []


def test_log_with_parts_gives_them_flat_beside_their_tick(tmp_path: Path, tick: MakeTick) -> None:
    write(tmp_path, [tick(0), tick(1, decisions=()), tick(2)])
    log = DecisionLog(tmp_path)
    decisions = log.flat("decisions")
    assert decisions["sequence"].to_pylist() == [0, 0, 2, 2]
    assert decisions["policy"].to_pylist() == ["p", "q", "p", "q"]
    assert log.flat("fills")["fill_sequence"].to_pylist() == [0, 1, 2]
    close = log.ticks["close_ns"].cast(pa.int64()).to_pylist()
    assert log.between(close[1], close[2])["sequence"].to_pylist() == [1]
    assert log.flat("decisions", log.between(close[1]))["sequence"].to_pylist() == [2, 2]


def test_log_with_several_segments_is_one_table_without_streams(
    tmp_path: Path, tick: MakeTick
) -> None:
    write(tmp_path, [tick(number) for number in range(7)], segment_ticks=2, batch_ticks=1)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        f"{number:012d}.parquet" for number in (0, 2, 4, 6)
    ]
    assert DecisionLog(tmp_path).ticks["sequence"].to_pylist() == list(range(7))


def test_log_with_a_stream_cut_anywhere_is_read_to_its_last_whole_batch(
    tmp_path: Path, tick: MakeTick
) -> None:
    whole = open_segment(tmp_path / "whole", [tick(number) for number in range(3)]).read_bytes()
    sizes = []
    for count in (1, 2, 3):
        path = open_segment(tmp_path / f"of{count}", [tick(number) for number in range(count)])
        sizes.append(path.stat().st_size)
    for cut in {*sizes, *range(sizes[0] - 9, len(whole), 97)}:
        folder = tmp_path / str(cut)
        folder.mkdir()
        stream = folder / "000000000000.arrows"
        stream.write_bytes(whole[:cut])
        expected = list(range(sum(size <= cut for size in sizes)))
        recover(folder)
        assert stream_paths(folder) == []
        if expected:
            assert DecisionLog(folder).ticks["sequence"].to_pylist() == expected
        else:
            with pytest.raises(NotFoundError, match="no decision log"):
                DecisionLog(folder)


def test_recovery_with_a_crash_while_sealing_keeps_the_sealed_segment_alone(
    tmp_path: Path, tick: MakeTick
) -> None:
    stream = open_segment(tmp_path, [tick(0), tick(1)])
    pq.write_table(pa.Table.from_batches([to_batch([tick(0), tick(1)])]), tmp_path / "x.parquet")
    (tmp_path / "x.parquet").rename(stream.with_suffix(".parquet"))
    (tmp_path / "000000000000.partial").write_bytes(b"half")
    recover(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["000000000000.parquet"]


def test_log_with_a_growing_segment_can_be_read(tmp_path: Path, tick: MakeTick) -> None:
    open_segment(tmp_path, [tick(0), tick(1)])
    assert len(DecisionLog(tmp_path).ticks) == 2


def test_log_with_a_missing_segment_names_the_gap(tmp_path: Path, tick: MakeTick) -> None:
    write(tmp_path, [tick(0), tick(2)])
    with pytest.raises(StorageError, match="tick 2 follows 0"):
        DecisionLog(tmp_path)


def test_log_of_another_format_is_refused(tmp_path: Path, tick: MakeTick) -> None:
    table = pa.Table.from_batches([to_batch([tick(0)])])
    other = table.replace_schema_metadata({"tradewind.format_version": "99"})
    pq.write_table(other, tmp_path / "000000000000.parquet")
    with pytest.raises(StorageError, match="has the format 99; this reads 1"):
        DecisionLog(tmp_path)


def test_writer_with_a_full_queue_makes_the_caller_wait(
    tmp_path: Path, tick: MakeTick, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, real = threading.Event(), os.fdatasync

    def slow_disk(descriptor: int) -> None:
        go_on.wait()
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow_disk)

    async def append() -> int:
        settings = DecisionLogSettings(folder=tmp_path, queue_ticks=2, batch_ticks=1)
        with DecisionLogWriter(settings, FACTS) as writer:
            for number in range(2):
                await writer.append(tick(number))
            late = asyncio.gather(*(writer.append(tick(number)) for number in (2, 3, 4)))
            while not writer.full_waits:
                await asyncio.sleep(0)
            assert not late.done()
            go_on.set()
            await late
        return writer.full_waits

    assert asyncio.run(append()) >= 1
    assert len(DecisionLog(tmp_path).ticks) == 5


def test_writer_with_a_queue_shorter_than_a_batch_writes_when_it_is_full(
    tmp_path: Path, tick: MakeTick
) -> None:
    async def append() -> None:
        settings = DecisionLogSettings(folder=tmp_path, queue_ticks=3, batch_ticks=100, flush_s=1e6)
        with DecisionLogWriter(settings, FACTS) as writer:
            for number in range(10):
                await writer.append(tick(number))

    asyncio.run(append())
    assert DecisionLog(tmp_path).ticks["sequence"].to_pylist() == list(range(10))


def test_writer_with_less_than_a_batch_writes_what_there_is_in_time(
    tmp_path: Path, tick: MakeTick
) -> None:
    async def append() -> list[int]:
        settings = DecisionLogSettings(folder=tmp_path, flush_s=0.05)
        with DecisionLogWriter(settings, FACTS) as writer:
            for number in range(3):
                await writer.append(tick(number))
            while logged_count(tmp_path) < 3:
                await asyncio.sleep(0.001)
            logged: list[int] = DecisionLog(tmp_path).ticks["sequence"].to_pylist()
        return logged

    assert asyncio.run(append()) == [0, 1, 2]


def test_writer_with_a_full_disk_refuses_every_further_decision(
    tmp_path: Path, tick: MakeTick, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def append() -> None:
        with DecisionLogWriter(DecisionLogSettings(folder=tmp_path), FACTS) as writer:
            monkeypatch.setattr(os, "fdatasync", no_space)
            while True:
                await writer.append(tick(0))
                await asyncio.sleep(0.001)

    with pytest.raises(StorageError, match="No space left"):
        asyncio.run(append())


def test_writer_with_a_record_that_cannot_be_stored_refuses_every_further_decision(
    tmp_path: Path, tick: MakeTick
) -> None:
    impossible = tick(0, refused_bars=(RefusedBarRecord("BTC", 10**30, "ABSURD", "no time"),))

    async def append() -> None:
        with DecisionLogWriter(DecisionLogSettings(folder=tmp_path), FACTS) as writer:
            await writer.append(impossible)
            while True:
                await writer.append(tick(1))
                await asyncio.sleep(0.001)

    with pytest.raises(StorageError, match="OverflowError"):
        asyncio.run(append())
