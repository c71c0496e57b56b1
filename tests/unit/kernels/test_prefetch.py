"""Kernels that fetch memory ahead."""

from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from tradewind.kernels.prefetch import prefetch


@pytest.mark.parametrize("shape", [(6,), (6, 3), (6, 2, 2)])
def test_prefetch_with_any_array_fetches_the_first_element_and_changes_nothing(
    shape: tuple[int, ...],
) -> None:
    def fetch(values: NDArray[np.float64], index: int) -> None:
        prefetch(values, index)

    # Not by `compiled`: the code of a kernel from the cache cannot be looked at.
    kernel: Any = numba.njit(fetch)
    values = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    before = values.copy()
    kernel(values, 5)
    assert (values == before).all()
    (code,) = kernel.inspect_llvm().values()
    assert "call void @llvm.prefetch" in code
