"""Sums over a window, each in four lanes.

One running sum makes every addition wait for the one before; four of them do not. The order of the
additions is fixed all the same, so the same window gives the same bits wherever it comes from.
"""

from tradewind.kernels.compiled import compiled
from tradewind.risk.inputs import FloatArray

__all__ = [
    "absolute_total",
    "decayed_squares",
    "deviation_products",
    "squared_deviations",
    "squared_shortfalls",
    "total",
]


@compiled
def total(values: FloatArray) -> float:
    """Σ value."""
    a = b = c = d = 0.0
    start = values.size % 4
    for index in range(start):
        a += values[index]
    for index in range(start, values.size, 4):
        a += values[index]
        b += values[index + 1]
        c += values[index + 2]
        d += values[index + 3]
    return (a + b) + (c + d)


@compiled
def absolute_total(values: FloatArray) -> float:
    """Σ |value|."""
    a = b = c = d = 0.0
    start = values.size % 4
    for index in range(start):
        a += abs(values[index])
    for index in range(start, values.size, 4):
        a += abs(values[index])
        b += abs(values[index + 1])
        c += abs(values[index + 2])
        d += abs(values[index + 3])
    return (a + b) + (c + d)


@compiled
def squared_deviations(values: FloatArray, centre: float) -> float:
    """Σ (value − centre)²."""
    a = b = c = d = 0.0
    start = values.size % 4
    for index in range(start):
        a += (values[index] - centre) ** 2
    for index in range(start, values.size, 4):
        a += (values[index] - centre) ** 2
        b += (values[index + 1] - centre) ** 2
        c += (values[index + 2] - centre) ** 2
        d += (values[index + 3] - centre) ** 2
    return (a + b) + (c + d)


@compiled
def deviation_products(
    values: FloatArray, others: FloatArray, centre: float, other_centre: float
) -> float:
    """Σ (value − centre) · (other − other centre)."""
    a = b = c = d = 0.0
    start = values.size % 4
    for index in range(start):
        a += (values[index] - centre) * (others[index] - other_centre)
    for index in range(start, values.size, 4):
        a += (values[index] - centre) * (others[index] - other_centre)
        b += (values[index + 1] - centre) * (others[index + 1] - other_centre)
        c += (values[index + 2] - centre) * (others[index + 2] - other_centre)
        d += (values[index + 3] - centre) * (others[index + 3] - other_centre)
    return (a + b) + (c + d)


@compiled
def squared_shortfalls(values: FloatArray, target: float) -> float:
    """Σ min(value − target, 0)²."""
    a = b = c = d = 0.0
    start = values.size % 4
    for index in range(start):
        a += min(values[index] - target, 0.0) ** 2
    for index in range(start, values.size, 4):
        a += min(values[index] - target, 0.0) ** 2
        b += min(values[index + 1] - target, 0.0) ** 2
        c += min(values[index + 2] - target, 0.0) ** 2
        d += min(values[index + 3] - target, 0.0) ** 2
    return (a + b) + (c + d)


@compiled
def decayed_squares(values: FloatArray, decay: float) -> float:
    """Σ decay^age · value², the age of the last value being 0.

    Horner's rule, four elements a step: each lane decays by decay⁴.
    """
    head = a = b = c = d = 0.0
    start = values.size % 4
    for index in range(start):
        head = head * decay + values[index] ** 2
    lane_decay = decay * decay * decay * decay
    for index in range(start, values.size, 4):
        a = a * lane_decay + values[index] ** 2
        b = b * lane_decay + values[index + 1] ** 2
        c = c * lane_decay + values[index + 2] ** 2
        d = d * lane_decay + values[index + 3] ** 2
    tail = ((a * decay + b) * decay + c) * decay + d
    return head * decay ** (values.size - start) + tail
