"""Stress: the loss of the present positions and options under configured shocks.

    loss[scenario] = −Σ change of value / capital_base,   stress_loss = max over scenarios

A position changes by notional · price shock, an option by its Black–Scholes value at the shocked
price and volatility less its value now. A gain under every scenario is a negative stress_loss. A
symbol without a shock in a scenario leaves that scenario, and so stress_loss, unavailable. Source:
Basel Committee on Banking Supervision, "Stress testing principles" (2018): instantaneous shocks to
the present portfolio.
"""

from collections.abc import Mapping
from math import inf, isnan
from typing import Annotated, Final

import numpy as np
from pydantic import Field, StringConstraints

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.base import CalculatorSettings, CompiledCalculator
from tradewind.risk.calculators.black_scholes import price_of
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.result import (
    lacks_capital,
    lacks_options,
    lacks_positions,
    notional_of,
    put,
    refuse,
)
from tradewind.risk.engine.snapshot import (
    CAPITAL_BASE_AT,
    DIVIDEND_YIELD,
    IS_CALL,
    MULTIPLIER,
    OPTION_QUANTITY_AT,
    OPTION_SHOCK_ROW,
    OTHER_SYMBOLS,
    QUANTITY,
    RATE,
    SHOCK_ROW,
    STRIKE,
    UNDERLYING_PRICE,
    VOLATILITY_AT,
    YEARS,
)
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import ABSENT, FIELD_SPAN, NO_SHOCK, OPTIONS, POSITIONS
from tradewind.settings import Settings

__all__ = ["STRESS", "StressScenario", "StressSettings", "shock_table"]

VOLATILITY_SHOCKS: Final = 0
"""Row of the shocks to volatilities; prices follow."""

Shock = Annotated[float, Field(ge=-1)]
ScenarioName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]{0,62}$")]


class StressScenario(Settings):
    """One scenario: relative changes, −0.3 is a fall by 30 %."""

    price_shocks: Mapping[str, Shock] = Field(default_factory=dict)
    """By symbol."""

    other_price_shock: Shock | None = None
    """For every symbol that is not named; when absent such a symbol makes it unavailable."""

    volatility_shock: float = Field(default=0.0, gt=-1)
    """For the implied volatility of every option."""


class StressSettings(CalculatorSettings):
    """Settings of stress."""

    scenarios: Mapping[ScenarioName, StressScenario] = Field(
        default={
            "crash": StressScenario(other_price_shock=-0.3, volatility_shock=0.5),
            "rally": StressScenario(other_price_shock=0.3, volatility_shock=0.25),
        },
        min_length=1,
    )
    """By name; each gives the metric stress_loss_<name>."""


def shock_table(settings: StressSettings) -> tuple[dict[str, float], FloatArray]:
    """Shocks as kernels read them.

    Returns:
        Row of each symbol that a scenario names, and the shocks. Shape [rows, scenarios].
    """
    scenarios = [settings.scenarios[name] for name in sorted(settings.scenarios)]
    symbols = sorted({symbol for scenario in scenarios for symbol in scenario.price_shocks})
    others = int(OTHER_SYMBOLS)
    rows = {symbol: OTHER_SYMBOLS + 1.0 + index for index, symbol in enumerate(symbols)}
    shocks = np.empty((others + 1 + len(symbols), len(scenarios)))
    for column, scenario in enumerate(scenarios):
        other = scenario.other_price_shock
        shocks[VOLATILITY_SHOCKS, column] = scenario.volatility_shock
        shocks[others:, column] = np.nan if other is None else other
        for symbol, shock in scenario.price_shocks.items():
            shocks[int(rows[symbol]), column] = shock
    return rows, shocks


@compiled
def option_value(row: FloatArray, price_shock: float, volatility_shock: float) -> float:
    """Value of an option position after a shock."""
    units: float = row[OPTION_QUANTITY_AT] * row[MULTIPLIER]
    return units * price_of(
        1.0 if row[IS_CALL] != 0.0 else -1.0,
        row[UNDERLYING_PRICE] * (1.0 + price_shock),
        row[STRIKE],
        row[YEARS],
        row[VOLATILITY_AT] * (1.0 + volatility_shock),
        row[RATE],
        row[DIVIDEND_YIELD],
    )


@compiled
def _lacks_holdings(
    header: FloatArray,
    positions: FloatArray,
    options: FloatArray,
    out: FloatArray,
    metric: int,
    count: int,
) -> bool:
    if positions.shape[0] == 0 and options.shape[0] == 0:
        refuse(out, metric, count, ABSENT * FIELD_SPAN + POSITIONS, -1, 0)
        return True
    if positions.shape[0] > 0 and lacks_positions(positions, out, metric, count):
        return True
    if options.shape[0] > 0 and lacks_options(options, out, metric, count):
        return True
    return lacks_capital(header, out, metric, count)


@compiled
def _find_missing_shock(
    positions: FloatArray, options: FloatArray, shocks: FloatArray, scenario: int
) -> tuple[int, int]:
    """Code and index of the first holding without a shock; code 0 if there is none."""
    for index in range(positions.shape[0]):
        shock = shocks[int(positions[index, SHOCK_ROW]), scenario]
        if isnan(shock) and positions[index, QUANTITY] != 0.0:
            return NO_SHOCK * FIELD_SPAN + POSITIONS, index
    for index in range(options.shape[0]):
        shock = shocks[int(options[index, OPTION_SHOCK_ROW]), scenario]
        if isnan(shock) and options[index, OPTION_QUANTITY_AT] != 0.0:
            return NO_SHOCK * FIELD_SPAN + OPTIONS, index
    return 0, -1


@compiled
def _change_of_value(
    positions: FloatArray,
    options: FloatArray,
    option_values: FloatArray,
    shocks: FloatArray,
    scenario: int,
) -> float:
    change = 0.0
    for position in range(positions.shape[0]):
        if positions[position, QUANTITY] != 0.0:
            shock = shocks[int(positions[position, SHOCK_ROW]), scenario]
            change += notional_of(positions, position) * shock
    for option in range(options.shape[0]):
        row = options[option]
        if row[OPTION_QUANTITY_AT] != 0.0:
            shock = shocks[int(row[OPTION_SHOCK_ROW]), scenario]
            shocked = option_value(row, shock, shocks[VOLATILITY_SHOCKS, scenario])
            change += shocked - option_values[option]
    return change


@compiled
def calculate_stress(
    config: Record,
    header: FloatArray,
    positions: FloatArray,
    options: FloatArray,
    shocks: FloatArray,
    workspace: FloatArray,
    out: FloatArray,
) -> None:
    """Writes stress_loss, then the loss of each scenario.

    Shape of the workspace [at least options].
    """
    first = config.stress
    scenarios = shocks.shape[1]
    if _lacks_holdings(header, positions, options, out, first, 1 + scenarios):
        return
    option_values = workspace[: options.shape[0]]
    for option in range(option_values.size):
        if options[option, OPTION_QUANTITY_AT] != 0.0:
            option_values[option] = option_value(options[option], 0.0, 0.0)
    worst = -inf
    missing = -1
    for scenario in range(scenarios):
        code, at = _find_missing_shock(positions, options, shocks, scenario)
        if code != 0:
            refuse(out, first + 1 + scenario, 1, code, at, 0)
            refuse(out, first, 1, code, at, 0)
            missing = scenario
            continue
        change = _change_of_value(positions, options, option_values, shocks, scenario)
        # Subtracting from 0 keeps a portfolio without any change from a loss of −0.
        loss = (0.0 - change) / header[CAPITAL_BASE_AT]
        put(out, first + 1 + scenario, loss)
        worst = max(worst, loss)
    if missing < 0:
        put(out, first, worst)


STRESS: Final = CompiledCalculator(
    name="stress",
    version=1,
    order=150,
    settings=StressSettings,
    metrics=lambda settings: dict.fromkeys(
        ("stress_loss", *(f"stress_loss_{name}" for name in sorted(settings.scenarios))), "capital"
    ),
    kernel=calculate_stress,
    needs=("positions", "capital_base"),
    after=("holdings",),
)
