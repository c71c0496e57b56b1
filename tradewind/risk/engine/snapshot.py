"""The part of the inputs that is not a series, in one flat array that crosses into the kernels.

Crossing costs per argument, not per number: scalars, positions, options, feeds, the sizes of the
books and their levels follow each other.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import count
from numbers import Real
from operator import attrgetter
from typing import Any, Final

import numpy as np

from tradewind.errors import FieldViolation, RiskInputError
from tradewind.risk.inputs import SCALARS, FloatArray, OptionPosition, RiskInputs
from tradewind.risk.reasons import FIELD_SPAN, POSITIONS, REPEATED, describe_violation

__all__ = ["check_symbols", "has", "names_of", "pack_snapshot", "set_shock_rows"]

_scalars_of = attrgetter(*SCALARS)

# The scalars, each with a number before it that says whether it was given; then what there is of
# everything else.


def has(scalar: str) -> int:
    """Where the header says whether a scalar was given; its value follows."""
    return 2 * SCALARS.index(scalar)


HAS_START_OF_DAY_VALUE: Final = has("start_of_day_value")
HAS_CAPITAL_BASE: Final = has("capital_base")
HAS_NOW: Final = has("now")
HAS_PERIODS_PER_YEAR: Final = has("periods_per_year")
START_OF_DAY_VALUE_AT: Final = HAS_START_OF_DAY_VALUE + 1
CAPITAL_BASE_AT: Final = HAS_CAPITAL_BASE + 1
NOW_AT: Final = HAS_NOW + 1
PERIODS_PER_YEAR_AT: Final = HAS_PERIODS_PER_YEAR + 1
POSITION_COUNT: Final = 2 * len(SCALARS)
OPTION_COUNT: Final = POSITION_COUNT + 1
FEED_COUNT: Final = POSITION_COUNT + 2
BOOK_COUNT: Final = POSITION_COUNT + 3
HEADER_SIZE: Final = POSITION_COUNT + 4

# Rows of a position.
QUANTITY: Final = 0
PRICE: Final = 1
VOLUME: Final = 2  # average daily volume; −inf: none given
SHOCK_ROW: Final = 3
BOOK: Final = 4  # index of its order book; −1: none given
POSITION_WIDTH: Final = 5

# Rows of an option; the first eight are in the order of reasons.OPTION_QUANTITY and following.
OPTION_QUANTITY_AT: Final = 0
MULTIPLIER: Final = 1
UNDERLYING_PRICE: Final = 2
STRIKE: Final = 3
YEARS: Final = 4
VOLATILITY_AT: Final = 5
RATE: Final = 6
DIVIDEND_YIELD: Final = 7
IS_CALL: Final = 8
UNDERLYING: Final = 9  # number of its underlying among those of the options
OPTION_SHOCK_ROW: Final = 10
OPTION_WIDTH: Final = 11

BOOK_WIDTH: Final = 2  # levels of the bid side, levels of the ask side

NO_VOLUME: Final = float("-inf")
NO_BOOK: Final = -1.0
OTHER_SYMBOLS: Final = 1.0
"""Row of the shocks for a symbol that no scenario names."""


def pack_snapshot(inputs: RiskInputs, shock_rows: Mapping[str, float]) -> FloatArray:
    """Packs everything that is not a series. Shape [size].

    Args:
        inputs: The inputs.
        shock_rows: Row of the shocks for each symbol that a scenario names, as floats: packing
            an integer takes five times as long.

    Raises:
        RiskInputError: A symbol stands in two positions, or a number is none.
    """
    positions, options = inputs.positions, inputs.options
    feeds, books = inputs.feed_timestamps, inputs.order_books
    packed: list[Any] = []
    for scalar in _scalars_of(inputs):
        packed += (0.0, 0.0) if scalar is None else (1.0, scalar)
    packed += (len(positions), len(options), len(feeds), len(books))
    if positions:
        volumes = inputs.average_daily_volumes
        book_numbers = dict(zip(books, count(0.0)))
        symbols = set()
        for position in positions:
            symbol = position.symbol
            symbols.add(symbol)
            packed += (
                position.quantity,
                position.price,
                volumes.get(symbol, NO_VOLUME),
                shock_rows.get(symbol, OTHER_SYMBOLS),
                book_numbers.get(symbol, NO_BOOK),
            )
        if len(symbols) < len(positions):
            check_symbols(inputs)
    if options:
        _pack_options(packed, options, shock_rows)
    packed += feeds.values()
    levels: list[Any] = []
    for book in books.values():
        bid_prices, ask_prices = book.bid_prices, book.ask_prices
        packed += (bid_prices.size, ask_prices.size)
        levels += (bid_prices, book.bid_sizes, ask_prices, book.ask_sizes)
    try:
        numbers = struct.pack(f"{len(packed)}d", *packed)
    except struct.error:
        raise _not_a_number(inputs) from None
    # A bytearray, because kernels are compiled for arrays that can be written.
    return np.frombuffer(bytearray().join([numbers, *levels]))


def _pack_options(
    packed: list[Any], options: Sequence[OptionPosition], shock_rows: Mapping[str, float]
) -> None:
    underlyings: dict[str, int] = {}
    for option in options:
        symbol = option.symbol
        packed += (
            option.quantity,
            option.multiplier,
            option.underlying_price,
            option.strike,
            option.years_to_expiry,
            option.volatility,
            option.risk_free_rate,
            option.dividend_yield,
            1.0 if option.kind == "call" else 0.0,
            underlyings.setdefault(symbol, len(underlyings)),
            shock_rows.get(symbol, OTHER_SYMBOLS),
        )


def set_shock_rows(
    packed: FloatArray, names: Sequence[str], shock_rows: Mapping[str, float]
) -> None:
    """Writes the rows of the shocks into a inputs.

    Args:
        packed: A packed inputs.
        names: Symbols of its positions, then those of its options, then anything.
        shock_rows: Row of the shocks for each symbol that a scenario names.
    """
    positions, options = int(packed[POSITION_COUNT]), int(packed[OPTION_COUNT])
    at = HEADER_SIZE + SHOCK_ROW
    for symbol in names[:positions]:
        packed[at] = shock_rows.get(symbol, OTHER_SYMBOLS)
        at += POSITION_WIDTH
    at += OPTION_SHOCK_ROW - SHOCK_ROW
    for symbol in names[positions : positions + options]:
        packed[at] = shock_rows.get(symbol, OTHER_SYMBOLS)
        at += OPTION_WIDTH


def names_of(inputs: RiskInputs) -> tuple[tuple[str, ...], ...]:
    """Everything that a reason may call by name."""
    symbols = tuple(position.symbol for position in inputs.positions)
    return symbols, tuple(inputs.feed_timestamps), tuple(inputs.order_books)


def check_symbols(inputs: RiskInputs) -> None:
    """Refuses two positions in one symbol.

    Raises:
        RiskInputError: Names the second of them.
    """
    positions = inputs.positions
    if len({position.symbol for position in positions}) == len(positions):
        return
    symbols = [position.symbol for position in positions]
    index = next(at for at, symbol in enumerate(symbols) if symbol in symbols[:at])
    violation = describe_violation(REPEATED * FIELD_SPAN + POSITIONS, index)
    raise RiskInputError("risk inputs are refused", [violation])


def _not_a_number(inputs: RiskInputs) -> RiskInputError:
    named: list[tuple[str, object]] = [
        (name, getattr(inputs, name)) for name in SCALARS if getattr(inputs, name) is not None
    ]
    for name in ("positions", "options"):
        named += (
            (f"{name}[{index}].{field.name}", getattr(item, field.name))
            for index, item in enumerate(getattr(inputs, name))
            for field in fields(item)
            if field.name not in ("symbol", "kind")
        )
    for name in ("feed_timestamps", "average_daily_volumes"):
        named += ((f"{name}[{key!r}]", value) for key, value in getattr(inputs, name).items())
    violations = [
        FieldViolation(name, f"must be a number, not {value!r}")
        for name, value in named
        if not isinstance(value, Real)
    ]
    return RiskInputError("risk inputs are refused", violations)
