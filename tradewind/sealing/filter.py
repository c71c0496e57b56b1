"""The seccomp filter: which system calls a sealed process has left.

Classic BPF over `struct seccomp_data` (linux/seccomp.h): number of the call at 0, architecture at
4, arguments from 16 on, 8 bytes each.
"""

import errno
import struct
from dataclasses import dataclass
from typing import Final

__all__ = ["MACHINES", "Machine", "filter_program"]


@dataclass(frozen=True, slots=True)
class Machine:
    """How a kind of machine numbers system calls.

    Attributes:
        column: Place of its numbers in _CALLS.
        audit_arch: What the kernel calls it in a filter (linux/audit.h).
        seccomp: Number of seccomp(2).
    """

    column: int
    audit_arch: int
    seccomp: int


MACHINES: Final = {
    "x86_64": Machine(0, 0xC000003E, 317),
    "aarch64": Machine(1, 0xC00000B7, 277),
}

# Numbers on x86-64 and on arm64; None where there is no such call. All of them work on memory,
# time, signals of the process itself, and descriptors that are open already.
_CALLS: Final[dict[str, tuple[int | None, int | None]]] = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "poll": (7, None),
    "ppoll": (271, 73),
    "recvfrom": (45, 207),
    "sendto": (44, 206),
    "readv": (19, 65),
    "writev": (20, 66),
    "lseek": (8, 62),
    "fstat": (5, 80),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113),
    "gettimeofday": (96, 169),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getrusage": (98, 165),
    "getcpu": (309, 168),
    "sysinfo": (99, 179),
    "futex": (202, 98),
    "membarrier": (324, 283),
    "rseq": (334, 293),
    "restart_syscall": (219, 128),
    "getrandom": (318, 278),
    "exit": (60, 93),
    "exit_group": (231, 94),
}

_TGKILL: Final = (234, 131)  # what abort() calls

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL: Final = 0x15
_JUMP_AT_LEAST: Final = 0x35
_JUMP_BITS: Final = 0x45
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_KILL: Final = 0x80000000  # the whole process
_REFUSE: Final = 0x00050000
_NUMBER: Final = 0
_ARCHITECTURE: Final = 4
_FIRST_ARGUMENT: Final = 16
_THIRD_ARGUMENT: Final = 16 + 2 * 8
_X32: Final = 0x40000000
_EXECUTABLE: Final = 4  # PROT_EXEC


def filter_program(machine: Machine, pid: int) -> bytes:
    """The filter: calls that are not listed fail with EPERM, and no page becomes executable.

    Another architecture's calls, which have other numbers, end the process.

    Args:
        machine: Whose calls.
        pid: Of the process to be sealed, the only one that it may send a signal to.
    """
    program: list[bytes] = []

    def add(code: int, value: int, if_true: int = 0, if_false: int = 0) -> None:
        program.append(struct.pack("=HBBI", code, if_true, if_false, value))

    add(_LOAD, _ARCHITECTURE)
    add(_JUMP_EQUAL, machine.audit_arch, 1, 0)
    add(_RETURN, _KILL)
    add(_LOAD, _NUMBER)
    add(_JUMP_AT_LEAST, _X32, 0, 1)
    add(_RETURN, _REFUSE | errno.EPERM)
    for name in ("mmap", "mprotect"):
        add(_JUMP_EQUAL, _number(name, machine), 0, 4)
        add(_LOAD, _THIRD_ARGUMENT)
        add(_JUMP_BITS, _EXECUTABLE, 0, 1)
        add(_RETURN, _REFUSE | errno.EACCES)
        add(_RETURN, _ALLOW)
    add(_JUMP_EQUAL, _TGKILL[machine.column], 0, 4)
    add(_LOAD, _FIRST_ARGUMENT)
    add(_JUMP_EQUAL, pid, 1, 0)
    add(_RETURN, _REFUSE | errno.EPERM)
    add(_RETURN, _ALLOW)
    for name, numbers in _CALLS.items():
        if numbers[machine.column] is not None:
            add(_JUMP_EQUAL, _number(name, machine), 0, 1)
            add(_RETURN, _ALLOW)
    add(_RETURN, _REFUSE | errno.EPERM)
    return b"".join(program)


def _number(name: str, machine: Machine) -> int:
    number = _CALLS[name][machine.column]
    assert number is not None
    return number
