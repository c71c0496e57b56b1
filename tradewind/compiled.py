"""The one way in which Tradewind compiles a numerical kernel."""

import hashlib
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any, Literal, TypeVar, cast

import numba
import numpy as np
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher

__all__ = ["compiled", "compiled_under_lock", "inlined"]

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compiles a kernel to machine code at its first call and caches the code on disk.

    Strict IEEE arithmetic: no fast-math, so sums keep their order and the same kernel gives the
    same bits whoever calls it. Division by zero follows IEEE instead of raising. The interpreter
    lock is released while the kernel runs. The cache lies beside the source file, or in
    NUMBA_CACHE_DIR where that folder cannot be written.
    """
    return _compile(function, release_lock=True)


def compiled_under_lock(function: Function) -> Function:
    """Compiles as `compiled` does, but the kernel holds the interpreter lock while it runs.

    For a kernel of microseconds in a process of busy threads: getting the lock back would take
    longer than the kernel itself.
    """
    return _compile(function, release_lock=False)


def inlined(function: Function) -> Function:
    """Compiles as `compiled` does, but into each kernel that calls it.

    For what takes or gives many arrays: the references of each of them are counted at every call,
    with atomic operations, which can take longer than the work itself.
    """
    return _compile(function, release_lock=True, inline="always")


def _compile(
    function: Function, *, release_lock: bool, inline: Literal["never", "always"] = "never"
) -> Function:
    dispatcher: Any = numba.njit(
        nogil=release_lock, error_model="numpy", fastmath=False, inline=inline
    )(function)
    dispatcher._cache = _KernelCache(function)  # type: ignore[no-untyped-call]
    return cast("Function", dispatcher)


class _KernelCache(FunctionCache):
    """A cache entry that goes stale with anything the kernel was compiled from.

    Numba looks at the kernel's own file only; the kernels it calls and the constants it reads are
    compiled into it too, from whatever file they come.
    """

    def _index_key(self, signature: object, codegen: object) -> tuple[object, ...]:
        digest = hashlib.sha256()
        _feed(self._py_func, digest.update, set())
        key: tuple[object, ...] = super()._index_key(signature, codegen)  # type: ignore[no-untyped-call]
        return (*key, digest.hexdigest())


def _feed(function: FunctionType, update: Callable[[bytes], None], seen: set[CodeType]) -> None:
    """Feeds the code of a kernel, of the kernels it calls and its constants to a digest."""
    code = function.__code__
    if code in seen:
        return
    seen.add(code)
    constants = [value for value in code.co_consts if not isinstance(value, CodeType)]
    update(code.co_code + repr((code.co_names, constants)).encode())
    for name in code.co_names:
        value = function.__globals__.get(name)
        if isinstance(value, Dispatcher):
            _feed(value.py_func, update, seen)
        elif _is_constant(value):
            update(f"{name}={value!r}".encode())


def _is_constant(value: object) -> bool:
    if isinstance(value, tuple):
        return all(isinstance(item, int | float) for item in value)
    return isinstance(value, int | float | str | np.dtype)
