"""The one way in which Tradewind compiles a numerical kernel."""

import functools
import hashlib
import logging
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any, Literal, TypeVar, cast, overload

import numba
import numpy as np
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher
from numba.core.extending import _Intrinsic

__all__ = ["cache_folder", "compiled", "inlined", "is_compiled"]

_LOG = logging.getLogger(__name__)
Function = TypeVar("Function", bound=Callable[..., Any])


@overload
def compiled(function: Function) -> Function: ...


@overload
def compiled(
    *, holds_lock: bool = ..., allocates: bool = ...
) -> Callable[[Function], Function]: ...


def compiled(
    function: Function | None = None, *, holds_lock: bool = False, allocates: bool = False
) -> Function | Callable[[Function], Function]:
    """Compiles a kernel to machine code at its first call and caches the code on disk.

    Strict IEEE arithmetic: no fast-math, so sums keep their order and the same kernel gives the
    same bits whoever calls it. Division by zero follows IEEE instead of raising. The cache lies
    in NUMBA_CACHE_DIR if that is set, or else beside the source file, or in the user's own cache
    where that folder cannot be written; where none of them can, every process compiles anew.

    Args:
        function: The kernel.
        holds_lock: The interpreter lock is kept while the kernel runs. For a kernel of
            microseconds in a process of busy threads: getting the lock back would take longer
            than the kernel itself.
        allocates: The kernel may make and return arrays. Without, it works in place, on the
            arrays that it is given (numba refuses to compile it otherwise), and no references
            are counted, which is an atomic operation at every slice and every call.
    """
    if function is None:
        return lambda kernel: _compile(kernel, holds_lock=holds_lock, allocates=allocates)
    return _compile(function, holds_lock=holds_lock, allocates=allocates)


def inlined(function: Function) -> Function:
    """Compiles as `compiled` does, but into each kernel that calls it; may return arrays.

    For what takes or gives many arrays, each of several words that a call would have to pass.
    """
    return _compile(function, inline="always")


def cache_folder(kernel: Callable[..., Any]) -> str | None:
    """Where the machine code of a kernel is kept; None where no folder can be written."""
    path: str | None = cast("Any", kernel)._cache.cache_path
    return path


def is_compiled(kernel: Callable[..., Any]) -> bool:
    """Whether a kernel, as its code is now, was compiled for this processor and is kept.

    Says nothing about for which types of arguments.
    """
    cache = cast("Any", kernel)._cache
    return isinstance(cache, _KernelCache) and cache.holds_any()


def _compile(
    function: Function,
    *,
    holds_lock: bool = False,
    allocates: bool = False,
    inline: Literal["never", "always"] = "never",
) -> Function:
    options: dict[str, Any] = {
        "nogil": not holds_lock,
        "error_model": "numpy",
        "fastmath": False,
        "inline": inline,
        "_nrt": allocates,  # numba's memory management, which counts the references
    }
    dispatcher: Any = numba.njit(**options)(function)
    try:
        dispatcher._cache = _KernelCache(dispatcher)
    except RuntimeError:
        _warn_of_no_cache()
    return cast("Function", dispatcher)


@functools.cache
def _warn_of_no_cache() -> None:
    _LOG.warning(
        "kernels are compiled anew by this process, which takes up to minutes: neither the folder "
        "of the package nor a home can be written; set NUMBA_CACHE_DIR to a folder that can"
    )


class _KernelCache(FunctionCache):
    """A cache entry that goes stale with anything the kernel was compiled from.

    Numba looks at the kernel's own file only; the kernels it calls and the constants it reads are
    compiled into it too, from whatever file they come.
    """

    def __init__(self, kernel: Any) -> None:
        super().__init__(kernel.py_func)  # type: ignore[no-untyped-call]
        self._kernel = kernel

    def load_overload(self, sig: object, target_context: object) -> object:
        """What was compiled before; what was not is compiled next, which is said: it takes long."""
        found: object = super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        if found is None:
            if not _LOG.isEnabledFor(logging.INFO):
                _say_that_it_takes_long()
            _LOG.info("compiling %s", self._kernel.py_func.__name__)
        return found

    def holds_any(self) -> bool:
        """Whether there is machine code for this processor, whatever the types are."""
        codegen = self._kernel.targetctx.codegen()
        wanted = self._index_key(None, codegen)[1:]
        kept = self._cache_file._load_index()  # type: ignore[no-untyped-call]
        return any(key[1:] == wanted for key in kept)

    def _index_key(self, signature: object, codegen: object) -> tuple[object, ...]:
        digest = hashlib.sha256()
        _feed(self._kernel, digest.update, set())
        key: tuple[object, ...] = super()._index_key(signature, codegen)  # type: ignore[no-untyped-call]
        return (*key, digest.hexdigest())


@functools.cache
def _say_that_it_takes_long() -> None:
    """Once a process: one that says nothing for a minute looks as if it hung."""
    _LOG.warning(
        "compiling kernels, once on this machine: up to a minute; `tradewind doctor` says where "
        "they are kept"
    )


def _feed(kernel: Any, update: Callable[[bytes], None], seen: set[CodeType]) -> None:
    """Feeds how a kernel is compiled, its code, the kernels it calls and constants to a digest."""
    function: FunctionType = kernel.py_func
    code = function.__code__
    if code in seen:
        return
    seen.add(code)
    update(repr(sorted(kernel.targetoptions.items())).encode())
    constants = [value for value in code.co_consts if not isinstance(value, CodeType)]
    update(code.co_code + repr((code.co_names, constants)).encode())
    for name in code.co_names:
        value = function.__globals__.get(name)
        if isinstance(value, Dispatcher):
            _feed(value, update, seen)
        elif isinstance(value, _Intrinsic):
            _feed_code(value._defn.__code__, update)
        elif _is_constant(value):
            update(f"{name}={value!r}".encode())


def _feed_code(code: CodeType, update: Callable[[bytes], None]) -> None:
    """Feeds the code of an intrinsic, and of the functions in it, which write the instructions."""
    update(code.co_code + repr(code.co_names).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _feed_code(constant, update)
        else:
            update(repr(constant).encode())


def _is_constant(value: object) -> bool:
    if isinstance(value, tuple):
        return all(isinstance(item, int | float) for item in value)
    return isinstance(value, int | float | str | np.dtype)
