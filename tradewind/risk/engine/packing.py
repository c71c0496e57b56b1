"""The scalars and rows of a snapshot in one flat array, as kernels read them."""

from array import array

import numpy as np

from tradewind.risk.inputs import FloatArray, RiskInputs

__all__ = ["pack_snapshot"]


def pack_snapshot(inputs: RiskInputs) -> FloatArray:
    """Packs everything of the inputs that is not a series; see state for the layout."""
    start, capital, now = inputs.start_of_day_value, inputs.capital_base, inputs.now
    header = [
        0.0 if start is None else 1.0,
        0.0 if start is None else start,
        0.0 if capital is None else 1.0,
        0.0 if capital is None else capital,
        0.0 if now is None else 1.0,
        0.0 if now is None else now,
    ]
    return np.frombuffer(array("d", header))
