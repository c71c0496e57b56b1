"""Instruments: how quantities and prices are rounded, and what a file of them may say."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.errors import InvalidInputError, NotFoundError, SettingsError
from tradewind.market import (
    SAMPLE_SYMBOLS,
    Instrument,
    TradingTerms,
    instrument_named,
    load_instruments,
    load_sample,
)
from tradewind.market.bar_conditions import check_instruments
from tradewind.market.markets import market_named
from tradewind.settings import parse_settings

lots = st.sampled_from([0.0, 1e-8, 0.001, 0.1, 0.3, 1.0, 7.0, 1_000.0])
sizes = st.floats(1e-6, 1e6)
signed = st.builds(math.copysign, sizes, st.sampled_from([-1.0, 1.0]))
ticks = st.sampled_from([1e-5, 0.0001, 0.01, 0.05, 0.25, 0.3, 5.0])


def make(lot: float = 0.0, least: float = 0.0, tick: float | None = None) -> Instrument:
    return Instrument(lot=lot or None, min_notional=least or None, tick=tick)


@given(quantity=signed, held=signed | st.just(0.0), lot=lots, least=st.sampled_from([0.0, 50.0]))
def test_rounded_quantity_is_never_more_than_asked_and_stays_when_rounded_again(
    quantity: float, held: float, lot: float, least: float
) -> None:
    instrument = make(lot, least)
    rounded = instrument.round_quantity(quantity, held, 10.0)
    assert abs(rounded) <= abs(quantity)
    assert rounded * quantity >= 0.0
    assert instrument.round_quantity(rounded, held, 10.0) == rounded
    closes = rounded == -held
    if rounded and not closes and lot:
        assert rounded / lot == pytest.approx(round(rounded / lot), rel=1e-12, abs=1e-9)
        assert abs(quantity) - abs(rounded) < lot
    if rounded and not closes:
        assert abs(rounded) * 10.0 >= least
    # What only reduces a position never opens one on the other side.
    if held * quantity < 0.0 and abs(quantity) <= abs(held):
        assert (held + rounded) * held >= 0.0


@given(held=signed, lot=lots, price=st.floats(1e-6, 1e6))
def test_order_that_closes_a_position_is_possible_however_small_it_is(
    held: float, lot: float, price: float
) -> None:
    assert make(lot, 1e12).round_quantity(-held, held, price) == -held


@pytest.mark.parametrize(
    ("quantity", "held", "expected"),
    [
        (-1.2, 0.5, -1.0),  # through zero, as far as whole lots go
        (-0.9, 0.5, -0.5),  # less than a lot beyond: it closes and does not turn
        (-0.4, 0.5, 0.0),  # a part of what is less than a lot
        (-1.9, 2.0, -1.0),
        (0.3, 0.0, 0.0),
    ],
)
def test_quantity_of_whole_lots_reduces_closes_or_turns_a_position(
    quantity: float, held: float, expected: float
) -> None:
    assert make(lot=1.0).round_quantity(quantity, held, 100.0) == expected


def test_quantity_that_turns_a_position_but_is_below_the_minimum_closes_it() -> None:
    assert make(least=1_000.0).round_quantity(-1.5, 1.0, 100.0) == -1.0
    assert make(least=1_000.0).round_quantity(-0.5, 1.0, 100.0) == 0.0


def test_rounded_quantity_is_the_decimal_that_a_venue_prints() -> None:
    assert make(lot=0.1).round_quantity(0.30000000000000004, 0.0, 1.0) == 0.3
    assert make(lot=0.01).round_quantity(0.295, 0.0, 1.0) == 0.29
    contracts = Instrument(lot=1.0, multiplier=50.0)
    assert contracts.round_quantity(149.0, 0.0, 2_500.0) == 100.0


@given(price=st.floats(1e-4, 1e6), side=st.sampled_from([-1.0, 1.0]), tick=ticks)
def test_rounded_price_is_the_next_worse_one_and_stays_when_rounded_again(
    price: float, side: float, tick: float
) -> None:
    instrument = make(tick=tick)
    rounded = instrument.round_price(price, side)
    assert rounded >= tick * (1.0 - 1e-12)
    assert (
        instrument.round_price(rounded, side) == rounded == instrument.round_price(rounded, -side)
    )
    assert rounded / tick == pytest.approx(round(rounded / tick), rel=1e-12)
    if price >= tick:
        assert -1e-9 * tick <= (rounded - price) * side + 1e-9 * price
        assert abs(rounded - price) < tick * (1.0 + 1e-6)


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        ({"tick": 0}, "tick", "greater than 0"),
        ({"lot": -1}, "lot", "greater than 0"),
        ({"min_notional": "much"}, "min_notional", "number"),
        ({"multiplier": 0}, "multiplier", "greater than 0"),
        ({"currency": "dollars"}, "currency", "match"),
        ({"taker_fee": 10}, "taker_fee", "less than or equal to 0.1"),
        ({"ticks": 1}, "ticks", "not permitted"),
    ],
)
def test_instrument_with_an_impossible_setting_is_refused_by_its_name(
    values: dict[str, object], field: str, said: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_settings(values, Instrument)
    assert [(item.field, said in item.description) for item in refused.value.violations] == [
        (field, True)
    ]


def test_instrument_whose_margin_would_close_a_new_position_is_refused() -> None:
    with pytest.raises(ValueError, match="a new position would be closed at once"):
        Instrument(initial_margin=0.1, maintenance_margin=0.2)


def test_unknown_instrument_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(NotFoundError, match=r"no instrument 'BTCC' .* there are BTC, ETH, "):
        instrument_named("BTCC")


def test_file_of_instruments_with_a_mistake_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "instruments.yaml"
    path.write_text("instruments:\n  A: {lot: 1}\n  B: {lot: 0}\n")
    with pytest.raises(SettingsError) as refused:
        load_instruments(path)
    (violation,) = refused.value.violations
    assert (violation.field, "(line 3)" in violation.description) == ("instruments.B.lot", True)


def test_shipped_instruments_are_those_of_the_samples_and_their_markets_exist() -> None:
    shipped = load_instruments()
    assert {*SAMPLE_SYMBOLS, "EURUSD", "SPX"} <= shipped.keys()
    for instrument in shipped.values():
        if instrument.market is not None:
            market_named(instrument.market)
    for symbol in SAMPLE_SYMBOLS:
        check_instruments([load_sample(symbol)], TradingTerms(instruments=(shipped[symbol],)))


def test_instruments_of_another_number_of_symbols_or_of_two_currencies_are_refused() -> None:
    terms = TradingTerms(instruments=(Instrument(), Instrument()))
    with pytest.raises(InvalidInputError, match="there are 2 for 3 symbol"):
        terms.conditions(3)
    with pytest.raises(ValueError, match="one account has one currency, not EUR, USD"):
        TradingTerms(instruments=(Instrument(), Instrument(currency="EUR")))


def test_terms_with_an_instrument_of_less_margin_than_equity_limit_the_positions() -> None:
    assert TradingTerms().margin_limit == 1.0
    assert TradingTerms(gross_limit=2.0, instruments=(Instrument(),)).margin_limit == 1.0
    half = Instrument(initial_margin=0.5)
    assert TradingTerms(gross_limit=2.0, instruments=(half,)).margin_limit == 2.0
    assert TradingTerms(gross_limit=2.0, instruments=(half, Instrument())).margin_limit == 1.0
