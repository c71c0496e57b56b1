"""The one way in which Tradewind compiles a numerical kernel."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["compiled"]

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compiles a kernel to machine code at its first call and caches the code on disk.

    Strict IEEE arithmetic: no fast-math, so sums keep their order and the same kernel gives the
    same bits whoever calls it. Division by zero follows IEEE instead of raising. The interpreter
    lock is released while the kernel runs. The cache lies beside the source file, or in
    NUMBA_CACHE_DIR where that folder cannot be written.
    """
    return cast(
        "Function",
        numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)(function),
    )
