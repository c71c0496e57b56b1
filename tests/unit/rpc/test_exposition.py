"""What a scraper is given: the classic text, or OpenMetrics with units and exemplars."""

import urllib.request
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tradewind.logs import CallLogSettings
from tradewind.rpc.exposition import exposition
from tradewind.rpc.server.call_scope import CallScopes
from tradewind.rpc.server.metrics_server import serve_metrics
from tradewind.tracing import TracingSettings, tracing

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    Histogram("call_seconds", "Time", registry=made).observe(0.2, {"trace_id": "ab"})
    Gauge("loaded_bytes", "Size", registry=made).set(3)
    Counter("orders", "Count", registry=made).inc()
    return made


def test_exposition_with_openmetrics_asked_has_units_and_exemplars() -> None:
    page, content_type = exposition(registry(), OPEN_METRICS)
    families = {
        each.name: each
        for each in text_string_to_metric_families(page.decode())  # type: ignore[no-untyped-call]
    }
    units = {name: family.unit for name, family in families.items()}
    assert units == {"call_seconds": "seconds", "loaded_bytes": "bytes", "orders": ""}
    exemplars = [it.exemplar for it in families["call_seconds"].samples if it.exemplar]
    assert [each.labels for each in exemplars] == [{"trace_id": "ab"}]
    assert content_type.startswith("application/openmetrics-text")


def test_metrics_server_asked_for_nothing_gives_the_classic_text() -> None:
    address, stop = serve_metrics("127.0.0.1:0", registry())
    try:
        with urllib.request.urlopen(f"http://{address}/metrics") as answer:
            text, content_type = answer.read().decode(), answer.headers["Content-Type"]
        only = f"http://{address}/metrics?name[]=loaded_bytes"
        request = urllib.request.Request(only, headers={"Accept": OPEN_METRICS})
        with urllib.request.urlopen(request) as answer:
            assert b"# UNIT loaded_bytes bytes" in (few := answer.read())
            assert b"call_seconds" not in few
    finally:
        stop()
    assert content_type.startswith("text/plain")
    assert "UNIT" not in text
    assert "trace_id" not in text
    assert "orders_total 1.0" in text


@pytest.mark.parametrize(
    ("flags", "is_kept"), [("00", False), ("01", True), ("02", False), ("03", True)]
)
def test_time_of_a_call_bears_its_trace_exactly_when_that_is_kept(
    flags: str, is_kept: bool
) -> None:
    seen: list[Any] = []
    settings = TracingSettings(endpoint="http://127.0.0.1:1", sampled_fraction=0.0)
    with tracing(settings, "test") as tracer:
        assert tracer is not None
        with tracer.span("call", {}, f"00-{TRACE}-{SPAN}-{flags}") as span:
            observe = CallScopes(CallLogSettings(), tracer).observing(lambda *it: seen.append(it))
            observe(0.5)
            _, trace, own, _ = span.headers["traceparent"].split("-")
    assert trace == TRACE
    assert seen == [(0.5, {"trace_id": TRACE, "span_id": own} if is_kept else None)]
