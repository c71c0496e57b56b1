"""Says on standard output that kernels are being compiled, since a first start takes minutes."""

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Iterator
from typing import Final

__all__ = ["compilations_told", "waiting_told"]

_COMPILED: Final = "tradewind.kernels.compiled"  # imported by those who have kernels
_PAUSE_S: Final = 10.0


class _Notice(logging.Handler):
    def __init__(self, program: str) -> None:
        super().__init__(logging.INFO)
        self._program = program
        self._count = 0
        self._told_at = float("-inf")

    def emit(self, record: logging.LogRecord) -> None:
        self._count += 1
        now = time.monotonic()
        if now - self._told_at < _PAUSE_S:
            return
        self._told_at = now
        sys.stdout.write(
            f"{self._program} not ready yet: {record.getMessage()}, kernel {self._count}; "
            "kernels are compiled once on a machine, which takes up to minutes\n"
        )
        sys.stdout.flush()


@contextlib.contextmanager
def compilations_told(program: str) -> Iterator[None]:
    """Inside the block a line says what is compiled, at once and every few seconds."""
    notice, logger = _Notice(program), logging.getLogger(_COMPILED)
    logger.addHandler(notice)
    try:
        yield
    finally:
        logger.removeHandler(notice)


@contextlib.contextmanager
def waiting_told(program: str, what: str, *, patience_s: float = 3.0) -> Iterator[None]:
    """Inside the block, once it takes long, a line every few seconds says what is waited for."""
    done = threading.Event()

    def tell() -> None:
        pause_s = patience_s
        while not done.wait(pause_s):
            sys.stdout.write(f"{program} not ready yet: {what}\n")
            sys.stdout.flush()
            pause_s = _PAUSE_S

    teller = threading.Thread(target=tell, name="start-notice", daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
