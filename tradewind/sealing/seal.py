"""Gives up rights, one after the other, and says which of them the kernel cannot take."""

import contextlib
import ctypes
import os
import platform
import re
import resource
import signal
import struct
import sys
from collections.abc import Iterable
from typing import Any, Final

from tradewind.sealing.filter import MACHINES, filter_program

__all__ = ["SealError", "environment_of_a_seal", "missing_protections", "seal_process"]

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_SET_MODE_FILTER: Final = 1
_SECCOMP_GET_ACTION_AVAIL: Final = 2
_SECCOMP_ALL_THREADS: Final = 1
_KILL_PROCESS: Final = 0x80000000
# Landlock's calls have the same numbers on every machine.
_LANDLOCK_CREATE: Final = 444
_LANDLOCK_RESTRICT: Final = 446
_LANDLOCK_VERSION: Final = 1
# Bits of the rights on files that each version of Landlock knows (linux/landlock.h).
_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15}
_LATER_FILE_RIGHTS: Final = 16
_KEPT: Final = re.compile(
    r"PATH|HOME|LANG|LC_\w+|TZ|TMPDIR|VIRTUAL_ENV|LD_LIBRARY_PATH|PYTHON\w+|NUMBA_\w+|LD_PRELOAD"
    r"|FAKETIME\w*|COVERAGE_\w+"
)
# Such a process can fork, and leaves the other cores to the other processes.
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_NOBODY: Final = 65534
_MIB: Final = 1024 * 1024


class SealError(Exception):
    """The kernel refused to take a right; the process must end."""


def environment_of_a_seal() -> dict[str, str]:
    """The environment for a process that will seal itself: nothing in it is a secret.

    A password in a variable would be in its memory, which a network that had taken the process over
    could read and answer with.
    """
    kept = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
    return {**kept, **dict.fromkeys(_ONE_THREAD, "1")}


def missing_protections() -> tuple[str, ...]:
    """What this machine lacks of what a seal consists of; empty where all is there."""
    if sys.platform != "linux":
        return ("seccomp", "Landlock")
    missing = []
    machine = MACHINES.get(platform.machine())
    if machine is None or not _has_filters(machine.seccomp):
        missing.append("seccomp")
    if _landlock_version() < 1:
        missing.append("Landlock")
    return tuple(missing)


def seal_process(keep: Iterable[int], *, memory_mb: int, partly: bool = False) -> None:
    """Gives up files, network, other processes, new privileges and memory beyond a bound, for good.

    The descriptors 0 to 2 lead nowhere from then on, and all but those to keep are closed. Where
    the process is root's, it becomes nobody's. It ends with its parent.

    Args:
        keep: Descriptors that stay open.
        memory_mb: Most memory for data, what the process has by now included.
        partly: Goes on where the kernel lacks a protection, with all the others.

    Raises:
        SealError: A protection cannot be had. The process must not go on.
    """
    missing = missing_protections()
    if missing and not partly:
        raise SealError(f"this kernel lacks {' and '.join(missing)}")
    _close_others(keep)
    _become_nobody()
    library = _library()
    _check("no_new_privs", library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _check("dumpable", library.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))
    # After the change of user, which clears it.
    _check("parent's death", library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    if "Landlock" not in missing:
        _restrict_by_landlock(library)
    _limit(memory_mb)  # after what takes a descriptor, before what forbids more limits
    if "seccomp" not in missing:
        _restrict_by_seccomp(library)


def _library() -> Any:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return library


def _check(what: str, result: int) -> int:
    if result < 0:
        raise SealError(f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def _has_filters(seccomp: int) -> bool:
    action = ctypes.c_uint32(_KILL_PROCESS)
    found = _library().syscall(seccomp, _SECCOMP_GET_ACTION_AVAIL, 0, ctypes.byref(action))
    return bool(found == 0)


def _landlock_version() -> int:
    version: int = _library().syscall(_LANDLOCK_CREATE, None, 0, _LANDLOCK_VERSION)
    return version


def _close_others(keep: Iterable[int]) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    first = 3
    for descriptor in sorted(keep):
        if descriptor > first:  # an empty range would close every descriptor there is
            os.closerange(first, descriptor)
        first = descriptor + 1
    highest = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    os.closerange(first, max(highest, 1 << 20) if highest >= 0 else 1 << 20)


def _limit(memory_mb: int) -> None:
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_DATA, memory_mb * _MIB),
    ):
        hard = resource.getrlimit(what)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (bound, bound))


def _become_nobody() -> None:
    if os.geteuid() != 0:
        return
    # Root in a container without the capability stays root, with nothing that root could use.
    with contextlib.suppress(PermissionError):
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)


def _restrict_by_landlock(library: Any) -> None:
    """A ruleset without a rule: no path, no TCP port, no abstract socket, no signal to others."""
    version = _landlock_version()
    file_rights = (1 << _FILE_RIGHTS.get(version, _LATER_FILE_RIGHTS)) - 1
    network_rights = 3 if version >= 4 else 0  # bind, connect
    scopes = 3 if version >= 6 else 0  # abstract Unix sockets, signals
    attributes = struct.pack("=QQQ", file_rights, network_rights, scopes)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _check("Landlock", library.syscall(_LANDLOCK_CREATE, attributes, size, 0))
    try:
        _check("Landlock", library.syscall(_LANDLOCK_RESTRICT, ruleset, 0))
    finally:
        os.close(ruleset)


def _restrict_by_seccomp(library: Any) -> None:
    machine = MACHINES[platform.machine()]
    program = filter_program(machine, os.getpid())
    buffer = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    arguments = (_SECCOMP_SET_MODE_FILTER, _SECCOMP_ALL_THREADS, described)
    _check("seccomp", library.syscall(machine.seccomp, *arguments))
