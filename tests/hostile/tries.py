"""Seals itself, tries everything, says what it could do: `python -m tests.hostile.tries FILE`."""
# ruff: noqa: PTH101, PTH108, PTH123, PTH208, SIM115 - the plain calls are what is tried

import ctypes
import json
import mmap
import os
import platform
import socket
import sys
import threading
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tradewind.policy.sealed.worker import prepare
from tradewind.sealing import seal_process


class Opener(nn.Module):
    """Opens a file."""

    def forward(self, path: str, shared: bool) -> Tensor:
        return torch.from_file(path, shared, 4, dtype=torch.uint8)


def main() -> None:
    """Prints a JSON object."""
    warnings.simplefilter("ignore")
    prepare()
    victim, parent = sys.argv[1], os.getppid()
    opener = torch.jit.script(Opener())
    results, other = os.dup(1), socket.socket()
    library = ctypes.CDLL(None, use_errno=True)
    seal_process([results], memory_mb=4096)

    def call(number: int, *arguments: int) -> None:
        if library.syscall(number, *arguments) < 0:
            raise OSError(ctypes.get_errno(), "")

    tries: dict[str, Callable[[], object]] = {
        "read by torch": lambda: opener(victim, False),
        "write by torch": lambda: opener(victim, True).fill_(65),
        "open": lambda: open(victim),
        "create": lambda: open(victim + ".new", "w"),
        "list": lambda: os.listdir("/"),
        "remove": lambda: os.unlink(victim),
        "chmod": lambda: os.chmod(victim, 0o777),
        "socket": lambda: socket.socket(),
        "socket that was open": lambda: other.bind(("127.0.0.1", 0)),
        "fork": lambda: os.fork(),
        "execute": lambda: os.execv("/bin/true", ["true"]),
        "thread": lambda: threading.Thread(target=print).start(),
        "kill": lambda: os.kill(parent, 0),
        "become root": lambda: os.setuid(0),
        "more memory": lambda: bytearray(8 << 30),
        "executable memory": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
        "memfd": lambda: os.memfd_create("x"),
        "pipe": lambda: os.pipe(),
    }
    if platform.machine() == "x86_64":  # where these are the numbers of the calls
        tries |= {
            "signal": lambda: call(234, parent, parent, 0),
            "ptrace": lambda: call(101, 16, parent, 0, 0),
            "namespace": lambda: call(272, 0x10000000),
            "io_uring": lambda: call(425, 8, 0),
            "bpf": lambda: call(321, 0, 0, 0),
            "mount": lambda: call(165, 0, 0, 0, 0, 0),
            "limits": lambda: call(302, 0, 9, 0, 0),
        }
    did = {}
    for name, attempt in tries.items():
        try:
            attempt()
        except (OSError, RuntimeError, MemoryError, ValueError):
            did[name] = False
        else:
            did[name] = True
    still = torch.relu(torch.ones(64, 64) @ torch.ones(64, 64)).sum().item()
    os.write(results, json.dumps({"did": did, "calculates": still}).encode())


if __name__ == "__main__":
    main()
