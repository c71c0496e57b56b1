"""How every Tradewind server starts, tells its health, drains and stops."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from prometheus_client import CollectorRegistry

from tradewind.address import (
    UNIX,
    host_and_port,
    loopback_dial_address,
)
from tradewind.errors import SettingsError
from tradewind.ports import why_not
from tradewind.process.heap import settle_heap
from tradewind.rpc.access import AccessControl, Identity
from tradewind.rpc.keepalive import SERVER_MIN_PING_INTERVAL_MS
from tradewind.rpc.server.call_scope import CallScopes
from tradewind.rpc.server.doors import Doors
from tradewind.rpc.server.gate import Gate
from tradewind.rpc.server.health_servicer import HealthServicer
from tradewind.rpc.server.interceptor import CallInterceptor
from tradewind.rpc.server.metrics_server import serve_metrics
from tradewind.rpc.server.reflection import reflect
from tradewind.rpc.server.settings import ServerSettings
from tradewind.rpc.server.start_notice import compilations_told
from tradewind.rpc.tls import server_credentials
from tradewind.tracing import open_tracer

__all__ = [
    "RpcServer",
    "announce_ready",
    "on_signals",
    "serve_metrics",
]


# Calls that gRPC's core has received and not yet handed over; of those beyond, it cancels some and
# then all, at 1,000 and 3,000 by default. CANCELLED tells nobody that this is overload, so that is
# left to max_concurrent_calls, unless there are so many that memory is what counts.
_PENDING_CALLS: Final = (
    ("grpc.server.max_pending_requests", 16_384),
    ("grpc.server.max_pending_requests_hard_limit", 32_768),
)
_LAST_MESSAGES_S: Final = 2.0  # from the stop to the messages of calls that have begun


class RpcServer:
    """A gRPC server with health, reflection, error mapping, metrics and a graceful drain.

    Health is NOT_SERVING for every service until `set_serving` says otherwise.

    Args:
        name: Name of the program, for the ready line and the log.
        settings: What the operator set.
        registry: Prometheus registry that `/metrics` shows.
        services: Names, in the proto, of the services that are added once it is open.
        streams: Streams that may be open at once, where a service has a setting of its own.
        share_port: Lets other processes that do so too listen on the same port. Without, a second
            server on a port is refused.

    Attributes:
        addresses: Where it listens, as a client on this machine dials it; set while it runs.
        metrics_address: Where it serves Prometheus; empty for nowhere.

    Raises:
        SettingsError: The access policy is refused, or the certificates for tracing are.
    """

    def __init__(
        self,
        name: str,
        settings: ServerSettings,
        registry: CollectorRegistry,
        *,
        services: Sequence[str] = (),
        streams: int | None = None,
        share_port: bool = False,
    ) -> None:
        self._name = name
        self._settings = settings
        self._registry = registry
        self._services = list(services)
        self._is_open = False
        self._signalled = threading.Event()
        self._access = None
        if settings.access is not None:
            self._access = AccessControl(settings.access, registry, settings.token_verifier)
        self._tracer = open_tracer(settings.tracing, name)
        scopes = CallScopes(settings.logging, self._tracer)
        self._doors = Doors(
            settings.limits,
            calls=settings.max_concurrent_calls,
            threads=settings.threads,
            compute_threads=settings.compute_threads,
            streams=streams or settings.stream_count,
            access=self._access,
        )
        self._health = HealthServicer()
        self._interceptor = CallInterceptor(registry, scopes, self._doors, self._access)
        self._gate = Gate(settings.limits, settings.max_message_bytes, self._doors.streams)
        self._grpc = grpc.server(
            self._gate,  # type: ignore[arg-type]  # it takes the place of the pool
            interceptors=[self._interceptor],
            options=[
                # What is over our limit and not twice of it is refused by us, which says so better.
                ("grpc.max_receive_message_length", 2 * settings.max_message_bytes),
                ("grpc.max_send_message_length", settings.max_message_bytes),
                ("grpc.so_reuseport", int(share_port)),
                ("grpc.http2.min_ping_interval_without_data_ms", SERVER_MIN_PING_INTERVAL_MS),
                *settings.limits.channel_options(),
                *_PENDING_CALLS,
            ],
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        self.set_serving(False)
        self.addresses: tuple[str, ...] = ()
        self.metrics_address = ""

    @property
    def address(self) -> str:
        """The first of the addresses."""
        return self.addresses[0]

    def add_service(
        self,
        full_name: str,
        register: Callable[[grpc.Server], None],
        computing: Sequence[str] = (),
    ) -> None:
        """Adds a servicer.

        Args:
            full_name: Name in the proto, e.g. `tradewind.api.risk.v1.RiskService`.
            register: Calls the generated `add_…Servicer_to_server`.
            computing: Its methods that only compute; each has one request and one answer.
        """
        self._doors.compute([f"/{full_name}/{method}" for method in computing])
        if full_name not in self._services:
            self._services.append(full_name)
        self.set_serving(False)
        to: Any = _Late(self._grpc) if self._is_open else self._grpc
        register(to)

    def caller_of(self, context: grpc.ServicerContext) -> Identity | None:
        """Who makes a call; None where there is no access policy that could tell.

        Raises:
            UnauthenticatedError: Nobody that the access policy knows any more.
        """
        return None if self._access is None else self._access.identify(context)

    def traceparent(self) -> str:
        """The span of the call that is answered here, as W3C Trace Context writes it; or empty."""
        return "" if self._tracer is None else self._tracer.traceparent()

    def set_serving(self, serving: bool) -> None:
        """Says whether calls can be answered now; does nothing once the drain has begun."""
        for service in ("", *self._services):
            self.set_health(service, serving=serving)

    def set_health(self, name: str, *, serving: bool) -> None:
        """Says what health answers when asked for a name; nothing once the drain has begun."""
        self._health.set(name, serving=serving)

    def is_serving(self) -> bool:
        """What health says of the whole server."""
        return self._health.is_serving()

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Listens inside the block, which is for what takes long before calls can be answered.

        Health is NOT_SERVING, and calls of methods that are not added yet are answered with
        UNAVAILABLE and the reason STARTING, until `running`. Compilations are told on standard
        output.

        Raises:
            SettingsError: An address cannot be listened on.
        """
        reflect((*self._services, health.SERVICE_NAME), self._grpc)
        self.addresses = tuple(map(self._bind, self._settings.listen))
        with contextlib.ExitStack() as stack:
            stack.callback(self._start_metrics())
            stack.callback(self._follow_access())
            stack.enter_context(compilations_told(self._name))
            self._interceptor.starting = f"{self._name} is starting and cannot answer yet"
            self._gate.start()
            self._grpc.start()
            self._is_open = True
            stack.callback(self._close)
            yield

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Serves inside the block; leaving it drains: NOT_SERVING, a short wait, then the stop.

        Raises:
            SettingsError: An address cannot be listened on.
        """
        with contextlib.nullcontext() if self._is_open else self.open():
            self._interceptor.starting = ""
            try:
                yield
            finally:
                self._health.drain()
                threading.Event().wait(self._settings.drain_s)
                self._health.close()
                stopped = self._grpc.stop(self._settings.grace_s)
                if not stopped.wait(_LAST_MESSAGES_S):
                    self._gate.end_waiting()  # they would hold the stop up to its grace
                stopped.wait()

    def _close(self) -> None:
        self._health.drain()
        self._health.close()
        self._grpc.stop(0).wait()
        self._gate.stop()
        self._doors.close()
        if self._tracer is not None:
            self._tracer.close()

    def announce_ready(self) -> None:
        """Prints the line that says where the server listens."""
        announce_ready(self._name, self.addresses, self.metrics_address)

    def stop_on_signals(self) -> None:
        """Installs SIGTERM and SIGINT handlers; only the main thread may."""
        on_signals(self.stop)

    def stop(self) -> None:
        """Ends `wait_for_signal`."""
        self._signalled.set()

    def wait_for_signal(self) -> None:
        """Blocks until a signal of `stop_on_signals` has arrived or `stop` is called.

        What the process has loaded by now is left out of its garbage collections. The wait wakes up
        now and then: a signal that lands between the interpreter's check for signals and the wait
        interrupts nothing, and its handler runs only on the main thread.
        """
        settle_heap()
        while not self._signalled.wait(0.5):
            pass

    def _bind(self, listen: str) -> str:
        try:
            if self._settings.tls is None or listen.startswith(UNIX):
                port = self._grpc.add_insecure_port(listen)
            else:
                credentials = server_credentials(self._settings.tls)
                port = self._grpc.add_secure_port(listen, credentials)
        except RuntimeError as problem:
            raise SettingsError(f"cannot listen on {listen}: {why_not(listen, problem)}") from None
        if listen.startswith(UNIX):
            return listen
        host, _ = host_and_port(listen)
        return loopback_dial_address(host, port)

    def _follow_access(self) -> Callable[[], None]:
        return self._access.follow() if self._access is not None else lambda: None

    def _start_metrics(self) -> Callable[[], None]:
        if not self._settings.metrics_listen:
            return lambda: None
        self.metrics_address, stop = serve_metrics(self._settings.metrics_listen, self._registry)
        return stop


class _Late:
    """A server that runs already: it still takes handlers, but no methods to know by name.

    Args:
        server: The server.
    """

    def __init__(self, server: grpc.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, *_: object) -> None:
        """Left out: methods that are known by name are only found a little sooner."""


def on_signals(stop: Callable[[], None]) -> None:
    """Has SIGTERM and SIGINT call a function; only the main thread may."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())


def announce_ready(name: str, addresses: Sequence[str], metrics_address: str) -> None:
    """Prints the line that says where a service listens; ServiceProcess reads it."""
    metrics = f", metrics on {metrics_address}" if metrics_address else ""
    sys.stdout.write(f"{name} ready on {', '.join(addresses)}{metrics}\n")
    sys.stdout.flush()
