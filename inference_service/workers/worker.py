"""One of several processes that share a port: `python -m inference_service.workers.worker FD FD`.

The first descriptor is the connection to the supervisor, which says what to do and hears when the
worker is ready; the second one is where the loading process takes requests.
"""

import logging
import socket
import sys
import threading
from multiprocessing.connection import Connection

from inference_service.service import worker_server
from inference_service.workers.order import WorkerOrder
from tradewind.errors import TradewindError
from tradewind.logs import set_up_logging
from tradewind.process.scheduling import core_awake, pin_to_core
from tradewind.rpc import RpcServer

__all__ = ["main"]

_LOG = logging.getLogger("inference_service.workers.worker")  # it is __main__


def main() -> int:
    """Serves until a signal arrives or the supervisor is gone.

    Returns:
        The exit code: 0 after a drain, 1 for an error that Tradewind raises on purpose.
    """
    supervisor: Connection[str, WorkerOrder] = Connection(int(sys.argv[1]))
    load_requests = socket.socket(fileno=int(sys.argv[2]))
    order = supervisor.recv()
    set_up_logging(order.settings.server.logging, "inference_service", worker=order.index)
    if order.settings.pin_cpus:
        pin_to_core(order.index)
    try:
        with (
            core_awake(wanted=order.settings.keep_awake),
            worker_server(
                order.settings, load_requests, share_port=True, listen_late=order.listen_late
            ) as server,
        ):
            server.stop_on_signals()
            supervisor.send(server.metrics_address)
            threading.Thread(target=_stop_with, args=(supervisor, server), daemon=True).start()
            server.wait_for_signal()
    except TradewindError as problem:
        _LOG.critical("%s", problem)
        return 1
    return 0


def _stop_with(supervisor: "Connection[str, WorkerOrder]", server: RpcServer) -> None:
    try:
        supervisor.recv()
    except (EOFError, OSError):
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
