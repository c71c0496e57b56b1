"""The floor of every call over gRPC: a server that answers with the bytes it was sent."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc

__all__ = ["ECHO", "ECHO_STREAM", "echo_process"]

ECHO = "/bench.Echo/Echo"
ECHO_STREAM = "/bench.Echo/Stream"
SERVER_THREADS = 16  # as many as our servers have by default


@contextlib.contextmanager
def echo_process(cores: Sequence[int | None] = (None,)) -> Iterator[str]:
    """Runs the server in processes of its own; gives its address.

    Args:
        cores: One process each, which share the port; kept to that core, or free to move (None).
            A server that keeps to its cores is compared with an echo that does, too.
    """
    with contextlib.ExitStack() as stack:
        address = "127.0.0.1:0"
        for core in cores:
            command = [sys.executable, __file__, address, *([] if core is None else [str(core)])]
            process = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.terminate)
            assert process.stdout is not None
            address = process.stdout.readline().strip()
        yield address


def main() -> None:
    """Serves until it is terminated: `echo.py ADDRESS [CORE]`."""
    address, *core = sys.argv[1:]
    if core:  # before there are threads, which inherit it
        os.sched_setaffinity(0, {int(core[0])})
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Echo": grpc.unary_unary_rpc_method_handler(lambda request, _: request),
        "Stream": grpc.stream_stream_rpc_method_handler(lambda requests, _: requests),
    }
    server = grpc.server(ThreadPoolExecutor(SERVER_THREADS))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", handlers),))
    port = server.add_insecure_port(address)
    server.start()
    print(f"127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
