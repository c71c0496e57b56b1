"""Prometheus metrics over HTTP, for a bounded number of connections."""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from typing import Any, Final

from prometheus_client import CollectorRegistry, MetricsHandler

from tradewind.address import host_and_port, loopback_dial_address
from tradewind.errors import SettingsError
from tradewind.ports import why_not
from tradewind.rpc.exposition import WithUnits

__all__ = ["serve_metrics"]

_LOG = logging.getLogger(__name__)
_CONNECTIONS: Final = 16  # each has a thread
_DEADLINE_S: Final = 10.0  # from connecting to the last byte of the page


def serve_metrics(
    listen: str,
    registry: CollectorRegistry,
    *,
    connections: int = _CONNECTIONS,
    deadline_s: float = _DEADLINE_S,
) -> tuple[str, Callable[[], None]]:
    """Serves a registry at `/metrics`, as classic text or OpenMetrics, whichever is asked for.

    One connection too many closes another one: the oldest of those that have asked for nothing yet,
    or else the oldest. Those that only hold connections cannot keep a scraper out.

    Args:
        listen: `HOST:PORT`; port 0 picks a free one.
        registry: What is shown.
        connections: How many may be open.
        deadline_s: Seconds after which a connection is closed, whatever it is about.

    Returns:
        The address, and what stops it.

    Raises:
        SettingsError: The address cannot be listened on.
    """
    host, port = host_and_port(listen)
    try:
        family, _, _, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        server = _server_class(family)(target, registry, connections, deadline_s)
    except OSError as problem:
        raise SettingsError(
            f"cannot serve metrics on {listen}: {why_not(listen, problem)}"
        ) from None
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    address = loopback_dial_address(host, server.server_port)

    def stop() -> None:
        # The server's loop sees its end when a connection comes, or else only every half second.
        ending = threading.Thread(target=server.shutdown, name="metrics-shutdown")
        ending.start()
        with contextlib.suppress(OSError):
            socket.create_connection(host_and_port(address), timeout=1.0).close()
        ending.join()
        server.server_close()
        thread.join()

    return address, stop


class _Handler(MetricsHandler):
    server: "_Server"

    def do_GET(self) -> None:  # noqa: N802 - http.server names it
        self.server.has_asked(self.connection)
        super().do_GET()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # those that are left end by their deadline, or with the process
    request_queue_size = 128

    def __init__(
        self, target: Any, registry: CollectorRegistry, connections: int, deadline_s: float
    ) -> None:
        self._connections = connections
        self._deadline_s = deadline_s
        self._lock = threading.Lock()
        self._silent: dict[socket.socket, float] = {}  # since when, the oldest first
        self._asked: dict[socket.socket, float] = {}
        super().__init__(target, _Handler.factory(WithUnits(registry)))

    def has_asked(self, connection: socket.socket) -> None:
        """The request is complete: it is answered, whoever comes meanwhile."""
        with self._lock:
            since = self._silent.pop(connection, None)
            if since is not None:
                self._asked[connection] = since

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            if len(self._silent) + len(self._asked) >= self._connections:
                held = self._silent or self._asked
                oldest = next(iter(held))
                del held[oldest]
                _hang_up(oldest)
            self._silent[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._silent.pop(request, None)
        self._asked.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called between two connections, and twice a second at least."""
        overdue = time.monotonic() - self._deadline_s
        with self._lock:
            for connections in (self._silent, self._asked):
                for connection, since in list(connections.items()):
                    if since < overdue:
                        del connections[connection]
                        _hang_up(connection)

    def handle_error(self, *_: Any) -> None:
        _LOG.debug("a connection to the metrics broke", exc_info=True)


def _server_class(family: int) -> type[_Server]:
    return type("_FamilyServer", (_Server,), {"address_family": family})


def _hang_up(connection: socket.socket) -> None:
    """Ends what a thread waits for on a connection; the thread closes it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
