"""What symbols are traded as: by the settings, or as the policy was trained."""

import logging
from typing import Any

import pytest

from orchestrator.agents.enforcement import Intent, apply_demand, round_intents, whole_reductions
from orchestrator.agents.instrument_choice import choose_instruments
from orchestrator.agents.reasons import Reason
from orchestrator.brokers import OrderKind, OrderSettings
from orchestrator.markets import Markets
from orchestrator.settings import AllocationSettings, OrchestratorSettings
from tradewind.errors import ConflictError, SettingsError
from tradewind.identity import stated
from tradewind.market import Instrument, TradingTerms, instrument_named
from tradewind.risk.rules import Action
from tradewind.settings import parse_settings

BTC = instrument_named("BTC")
ALLOCATION = AllocationSettings(symbols=("BTC",), policy="p")
ALWAYS = {"BTC": "always-open"}


def choose(
    settings: dict[str, Instrument], *trained: Instrument, market: str | None = "always-open"
) -> dict[str, Instrument]:
    terms = {"p": TradingTerms(instruments=trained)}
    return choose_instruments(settings, [ALLOCATION], terms, {"BTC": market})


def test_symbol_is_traded_as_its_policy_was_trained_or_as_the_settings_say(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert choose({}) == {}
    assert choose({}, BTC) == choose({"BTC": BTC}, BTC) == {"BTC": BTC}
    assert not [it for it in caplog.records if it.levelno >= logging.WARNING]
    assert choose({"BTC": BTC}) == {"BTC": BTC}
    assert "not trained on: orders are rounded here" in caplog.text


def test_instrument_other_than_the_policys_is_refused_with_the_difference() -> None:
    with pytest.raises(ConflictError, match=r"trained on another .*lot is 1e-05 there and 1 here"):
        choose({"BTC": BTC.model_copy(update={"lot": 1.0})}, BTC)


def test_instrument_of_another_market_is_refused() -> None:
    with pytest.raises(ConflictError, match="always-open, and BTC is traded here on fx-week"):
        choose({}, BTC, market="fx-week")
    assert choose({}, BTC, market=None) == {"BTC": BTC}


@pytest.mark.parametrize(
    ("instruments", "field", "said"),
    [
        ({"BTC": "BTCC"}, "instruments.BTC", "no instrument 'BTCC' in config/instruments.yaml"),
        ({"BTC": {"lot": 0}}, "instruments.BTC.lot", "greater than 0"),
        ({"ETH": "ETH"}, "", "ETH is not traded here, BTC are"),
    ],
)
def test_settings_with_a_wrong_instrument_say_what_there_is(
    instruments: dict[str, Any], field: str, said: str
) -> None:
    values = {"allocations": [{"symbol": "BTC", "policy": "p"}], "instruments": instruments}
    with pytest.raises(SettingsError) as refused:
        parse_settings(values, OrchestratorSettings)
    (violation,) = refused.value.violations
    assert violation.field == field
    assert said in violation.description


def test_instruments_of_a_log_are_those_that_were_written() -> None:
    facts = {"interval_ns": 1, "markets": ALWAYS, "instruments": {"BTC": stated(BTC)}}
    assert Markets.of_log(["BTC"], facts).instruments == {"BTC": BTC}
    assert Markets.of_log(["BTC"], {"interval_ns": 1}).instruments == {}


@pytest.mark.parametrize(
    ("wanted", "held", "expected", "refusal"),
    [
        (2.7, 0.0, 2.0, ""),
        (0.7, 0.0, 0.7, "BELOW_MINIMUM"),
        (-0.4, 0.4, -0.4, ""),  # closes what is less than a lot
        (-0.3, 0.4, -0.3, "BELOW_MINIMUM"),
        (-0.9, 0.4, -0.4, ""),  # would turn it by less than a lot
        (-2.5, 2.0, -2.0, ""),
    ],
)
def test_intent_is_rounded_towards_zero_or_refused_and_a_position_can_be_closed(
    wanted: float, held: float, expected: float, refusal: str
) -> None:
    intents = [Intent("BTC", wanted, 100.0, Reason.POLICY), Intent("ETH", 0.5, 1.0, Reason.POLICY)]
    first, other = round_intents(intents, {"BTC": Instrument(lot=1.0)}, {"BTC": held})
    assert (first.quantity, first.refusal) == (expected, refusal)
    assert other is intents[1]


def test_intent_at_a_price_below_one_tick_is_refused_unless_it_closes() -> None:
    tick = {"BTC": Instrument(tick=1.0)}
    buy, sell = Intent("BTC", 5.0, 0.5, Reason.POLICY), Intent("BTC", -2.0, 0.5, Reason.FLATTEN)
    assert round_intents([buy], tick, {"BTC": 2.0})[0].refusal == Reason.BELOW_MINIMUM
    assert round_intents([sell], tick, {"BTC": 2.0}) == [sell]


def test_limit_is_rounded_to_the_tick_and_never_to_a_worse_price() -> None:
    style = OrderSettings(kind=OrderKind.LIMIT, limit_distance=0.001)
    instrument = Instrument(tick=0.25)
    for quantity, expected in ((1.0, 100.0), (-1.0, 100.0), (1.0, 100.0)):
        made = style.order("a", "BTC", quantity, 100.0, 0, 1, instrument=instrument)
        assert made.limit_price == expected


@pytest.mark.parametrize(("quantity", "sent"), [(-1.0, True), (1.0, False), (-2.0, False)])
def test_close_of_a_lot_that_throttling_would_halve_is_sent_whole(
    quantity: float, sent: bool
) -> None:
    wanted, held = [Intent("BTC", quantity, 10.0, Reason.FLATTEN)], {"BTC": 1.0}
    halved, _ = apply_demand(Action.THROTTLE, wanted, held, 0.25)
    (rounded,) = round_intents(halved, {"BTC": Instrument(lot=1.0)}, held)
    assert rounded.refusal == Reason.BELOW_MINIMUM
    (found,) = whole_reductions(wanted, [rounded], held)
    assert (found == wanted[0]) is sent
