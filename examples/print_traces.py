"""A collector for one's own desk: takes spans by OTLP and prints every trace as a tree.

    python examples/print_traces.py --listen 127.0.0.1:4317

Start services with `--trace-to http://127.0.0.1:4317`; see docs/operations/observability.md.
"""

import argparse
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

_QUIET_S = 6.0  # a program sends what it has every five seconds


@dataclass(frozen=True)
class ReceivedSpan:
    """One span as its program sent it; ids in hexadecimal, the parent's empty for a root."""

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    name: str
    kind: int
    start_ns: int
    end_ns: int
    is_error: bool
    attributes: dict[str, str | int] = field(default_factory=dict)

    def __str__(self) -> str:
        code = self.attributes.get("rpc.response.status_code", "ERROR" if self.is_error else "")
        return f"{self.service}: {self.name} {code}".rstrip()


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes the spans that programs send, as any collector does.

    Args:
        listen: `HOST:PORT`; port 0 picks a free one.

    Attributes:
        endpoint: Where programs send to.
    """

    def __init__(self, listen: str) -> None:
        self._spans: list[ReceivedSpan] = []
        self._received = threading.Condition()
        self._server = grpc.server(ThreadPoolExecutor(2))
        add = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
        add(self, self._server)  # type: ignore[no-untyped-call]
        port = self._server.add_insecure_port(listen)
        self.endpoint = f"http://{listen.rpartition(':')[0]}:{port}"
        self._server.start()

    def Export(  # noqa: N802 - gRPC names its methods
        self,
        request: trace_service_pb2.ExportTraceServiceRequest,
        _context: grpc.ServicerContext,
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """Takes spans."""
        with self._received:
            self._spans.extend(_read(request))
            self._received.notify_all()
        return trace_service_pb2.ExportTraceServiceResponse()

    def spans(self) -> list[ReceivedSpan]:
        """Every span that was received and not forgotten."""
        with self._received:
            return list(self._spans)

    def wait(self, timeout_s: float) -> None:
        """Waits for more spans."""
        with self._received:
            self._received.wait(timeout_s)

    def forget(self, trace_id: str) -> None:
        """Lets go of a trace."""
        with self._received:
            self._spans = [span for span in self._spans if span.trace_id != trace_id]

    def close(self) -> None:
        """Stops."""
        self._server.stop(1.0).wait()


def render(spans: Sequence[ReceivedSpan]) -> str:
    """The spans of a trace as a tree, in the order in which they began."""
    known = {span.span_id for span in spans}
    ordered = sorted(spans, key=lambda span: span.start_ns)

    def lines(parents: set[str], depth: int) -> Iterator[str]:
        for span in ordered:
            if span.parent_id in parents:
                took_ms = (span.end_ns - span.start_ns) / 1e6
                yield f"{took_ms:10.2f} ms  {'  ' * depth}{span}"
                yield from lines({span.span_id}, depth + 1)

    elsewhere = {span.parent_id for span in spans} - known  # roots, and parents not received
    return "\n".join(lines(elsewhere, 0))


def _read(request: trace_service_pb2.ExportTraceServiceRequest) -> Iterator[ReceivedSpan]:
    for resource_spans in request.resource_spans:
        resource = _attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield ReceivedSpan(
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    service=str(resource["service.name"]),
                    name=span.name,
                    kind=span.kind,
                    start_ns=span.start_time_unix_nano,
                    end_ns=span.end_time_unix_nano,
                    is_error=span.status.code == span.status.STATUS_CODE_ERROR,
                    attributes=_attributes(span.attributes),
                )


def _attributes(pairs: Any) -> dict[str, str | int]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def main() -> None:
    """Prints a trace when nothing more has come of any for some seconds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--listen", default="127.0.0.1:4317", metavar="HOST:PORT")
    collector = Collector(parser.parse_args().listen)
    print(f"collecting at {collector.endpoint}", flush=True)
    try:
        while True:
            before = len(collector.spans())
            time.sleep(_QUIET_S)
            spans = collector.spans()
            if len(spans) != before:
                continue
            for trace_id in dict.fromkeys(span.trace_id for span in spans):
                trace = [span for span in spans if span.trace_id == trace_id]
                print(f"trace {trace_id}\n{render(trace)}", flush=True)
                collector.forget(trace_id)
    except KeyboardInterrupt:
        collector.close()


if __name__ == "__main__":
    main()
