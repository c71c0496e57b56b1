"""Participation: the worst position in units of its market's average daily volume.

    adv_participation = max |quantity| / average daily volume

A flat account participates in nothing: 0. Source: R. Almgren, C. Thum, E. Hauptmann, H. Li, "Direct
Estimation of Equity Market Impact", Risk 18 (2005): impact scales with the fraction of the volume.
"""

from math import isfinite
from typing import Final

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.base import CalculatorSettings, CompiledCalculator
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.result import put, refuse
from tradewind.risk.engine.snapshot import NO_VOLUME, QUANTITY, VOLUME
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import (
    ABSENT,
    AVERAGE_DAILY_VOLUMES,
    FIELD_SPAN,
    MISSING_FOR_POSITION,
    NOT_FINITE,
    NOT_POSITIVE,
    POSITION_QUANTITY,
    POSITIONS,
)

__all__ = ["ADV_PARTICIPATION", "AdvParticipationSettings"]

METRICS: Final = {
    "adv_participation": "days of volume",
}


class AdvParticipationSettings(CalculatorSettings):
    """Participation has nothing to set."""


@compiled
def _bad_position(quantity: float, volume: float) -> int:
    """Code of what makes a position's participation incalculable; 0 if nothing does."""
    if not isfinite(quantity):
        return NOT_FINITE * FIELD_SPAN + POSITION_QUANTITY
    if quantity == 0.0:
        return 0
    if volume == NO_VOLUME:
        return MISSING_FOR_POSITION * FIELD_SPAN + AVERAGE_DAILY_VOLUMES
    if not isfinite(volume):
        return NOT_FINITE * FIELD_SPAN + AVERAGE_DAILY_VOLUMES
    if volume <= 0.0:
        return NOT_POSITIVE * FIELD_SPAN + AVERAGE_DAILY_VOLUMES
    return 0


@compiled
def calculate_adv_participation(config: Record, positions: FloatArray, out: FloatArray) -> None:
    """Writes the metrics of METRICS."""
    first = config.adv_participation
    if positions.shape[0] == 0:
        refuse(out, first, 1, ABSENT * FIELD_SPAN + POSITIONS, -1, 0)
        return
    worst = 0.0
    for position in range(positions.shape[0]):
        quantity = positions[position, QUANTITY]
        volume = positions[position, VOLUME]
        code = _bad_position(quantity, volume)
        if code != 0:
            refuse(out, first, 1, code, position, 0)
            return
        if quantity != 0.0:
            worst = max(worst, abs(quantity) / volume)
    put(out, first, worst)


ADV_PARTICIPATION: Final = CompiledCalculator(
    name="adv_participation",
    version=1,
    order=120,
    settings=AdvParticipationSettings,
    metrics=lambda _: METRICS,
    kernel=calculate_adv_participation,
    needs=("positions", "average_daily_volumes"),
    after=("holdings",),
)
