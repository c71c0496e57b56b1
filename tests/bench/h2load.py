"""h2load (Debian's nghttp2-client), a load generator written in C, sending one gRPC request."""

import shutil
import struct
import subprocess
from pathlib import Path

__all__ = ["grpc_command", "has_h2load", "write_body"]

_INSTALLER = Path(__file__).resolve().parents[2] / "tools" / "h2load.sh"


def has_h2load() -> bool:
    """Whether h2load is there, once it has been installed where that is possible."""
    return (
        shutil.which("h2load") is not None
        or not subprocess.run([_INSTALLER], check=False).returncode
    )


def write_body(path: Path, message: bytes) -> None:
    """Writes a message as gRPC frames it."""
    path.write_bytes(struct.pack(">BI", 0, len(message)) + message)


def grpc_command(address: str, method: str, body: Path, log: Path, *options: str) -> list[str]:
    """The command that sends a request again and again.

    Args:
        address: `HOST:PORT`.
        method: Path of the method.
        body: What `write_body` wrote.
        log: File that gets a row for each call: its start in microseconds since the epoch, the HTTP
            status, which says nothing of the gRPC status, and its latency in microseconds.
        options: More options of h2load.
    """
    headers = ("content-type: application/grpc", "te: trailers")
    given = [argument for header in headers for argument in ("-H", header)]
    files = [f"--data={body}", f"--log-file={log}"]
    return ["h2load", "--threads=1", *options, *given, *files, f"http://{address}{method}"]
