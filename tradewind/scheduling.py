"""How the threads of a service share the cores with each other and with other services."""

import logging
import os

__all__ = ["pin_to_core", "take_turns"]

_LOG = logging.getLogger(__name__)


def pin_to_core(index: int) -> None:
    """Keeps this process on one of the cores it may use, counted round."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[index % len(cores)]})


def take_turns() -> None:
    """Has threads of this process that wake up wait for the end of another's turn on the core.

    A call of microseconds is then not interrupted in its middle by the network thread that takes
    in the next one, nor by another service that does so, too. To be called on the main thread
    before there are others: threads and child processes inherit it. It is Linux' SCHED_BATCH, for
    which no privilege is needed; a sandbox that forbids it is logged, and costs latency alone.

    Source: sched(7), "SCHED_BATCH".
    """
    try:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except PermissionError as problem:
        _LOG.warning("threads that wake may interrupt a call under way: %s", problem)
