"""`python -m tradewind.policy.sealed FD`: the sealed process of one bundle.

It says that it is ready, gets the bundle, whose files were verified, seals itself, and then loads.
"""

import socket
import sys
from pathlib import Path

from tradewind.bundle import Bundle, BundleMetadata, GoldenSet
from tradewind.errors import UnavailableError
from tradewind.policy.sealed.messages import error_message
from tradewind.policy.sealed.worker import answer_calls, prepare, prove
from tradewind.sealing import SealError, seal_process
from tradewind.sealing.wire import receive, send

_MOST_BYTES = 1 << 32


def main() -> None:
    """Serves one bundle until the other side ends."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    prepare()
    try:
        send(connection, {})
        message, arrays = receive(connection, array_bytes=_MOST_BYTES)
        metadata_json, policy_pt = (array.tobytes() for array in arrays[:2])
        bundle = Bundle(
            path=Path(message["path"]),
            metadata=BundleMetadata.from_json(metadata_json),
            metadata_json=metadata_json,
            policy_pt=policy_pt,
            golden=GoldenSet(*arrays[2:]),
        )
        try:
            seal_process(
                [connection.fileno()], memory_mb=message["memory_mb"], partly=message["partly"]
            )
        except SealError as problem:
            send(
                connection, error_message(UnavailableError(f"no process can be sealed: {problem}"))
            )
            return
        network = prove(connection, bundle)
        if network is not None:
            answer_calls(connection, network)
    except (EOFError, ConnectionError):  # who asked needs it no more
        return


if __name__ == "__main__":
    main()
