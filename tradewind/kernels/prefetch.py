"""Asking for memory before it is needed: what lies at random takes longer to come than to use."""

from collections.abc import Callable
from typing import Any, Final, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["prefetch"]

_BYTES: Final = ir.IntType(8).as_pointer()
_NUMBER: Final = ir.IntType(32)
# The operands of LLVM's instruction: to read, to keep in every cache, data.
_READ, _KEEP, _DATA = _NUMBER(0), _NUMBER(3), _NUMBER(1)


def _prefetch(typingctx: Any, array: Any, index: Any) -> Any:  # noqa: ARG001 - numba's interface
    """In a kernel: has the processor fetch the cache line of an element, and does not wait for it.

    The arguments of the call are an array and a place along its first axis, within the array; of
    an array of more axes it is the first element there.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        layout = signature.args[0]
        view = context.make_array(layout)(context, builder, args[0])
        place = [args[1], *[context.get_constant(types.intp, 0)] * (layout.ndim - 1)]
        build: Any = cgutils
        element = build.get_item_pointer(
            context, builder, layout, view, place, wraparound=False, boundscheck=False
        )
        kind = ir.FunctionType(ir.VoidType(), [_BYTES, _NUMBER, _NUMBER, _NUMBER])
        function = build.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(function, [builder.bitcast(element, _BYTES), _READ, _KEEP, _DATA])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


prefetch = cast("Callable[[NDArray[Any], int], None]", intrinsic(_prefetch))
