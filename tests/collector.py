"""A real OTLP collector, by OpenTelemetry's own stubs."""

import time
from collections.abc import Callable, Iterator

import pytest

from examples.print_traces import Collector, ReceivedSpan, render

__all__ = ["WaitForSpans", "collector", "lines_of", "wait_for_spans"]

Received = list[ReceivedSpan]
WaitForSpans = Callable[[Callable[[Received], bool]], Received]


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector("127.0.0.1:0")
    yield collector
    collector.close()


@pytest.fixture
def wait_for_spans(collector: Collector) -> WaitForSpans:
    """Waits until what was received is as wanted, and gives it."""

    def wait(reached: Callable[[Received], bool]) -> Received:
        deadline = time.monotonic() + 60.0
        while not reached(spans := collector.spans()):
            assert time.monotonic() < deadline, f"received: {spans}"
            collector.wait(1.0)
        return spans

    return wait


def lines_of(spans: Received, trace_id: str) -> list[str]:
    """A trace as a tree, without the time that each span took."""
    tree = render([span for span in spans if span.trace_id == trace_id])
    return [line.partition(" ms  ")[2] for line in tree.splitlines()]
