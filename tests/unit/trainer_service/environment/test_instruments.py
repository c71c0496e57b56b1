"""The environment with instruments and costs: each component beside its closed form."""

import dataclasses
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.market.session_bars import session_bars
from tradewind.errors import MarketDataError
from tradewind.market import BarPanel, Bars, Costs, FeatureSpec, Instrument, load_bars, load_sample
from tradewind.market.accounting import STATE_SIZE
from tradewind.market.bar_conditions import InstrumentWarning
from tradewind.market.bars import FloatArray
from tradewind.market.markets import ALWAYS_OPEN
from tradewind.market.volume import average_daily_volumes
from trainer_service.environment import (
    EnvironmentConfig,
    IntradayTradingEnv,
    VectorizedTradingEnv,
)

HALF_HOUR_NS = 1_800 * 1_000_000_000
SPEC = FeatureSpec()
BARS = load_sample("ETH").slice(3_000, 3_400)
FREE: dict[str, Any] = {"transaction_cost": 0.0, "slippage": 0.0, "rebalance_threshold": 0.0}


def make(bars: Bars | BarPanel = BARS, **terms: Any) -> IntradayTradingEnv:
    config = EnvironmentConfig(
        episode_bars=None, random_start=False, min_equity_fraction=0.0, **terms
    )
    env = IntradayTradingEnv(bars, config, SPEC)
    env.reset(seed=1)
    return env


def go(env: IntradayTradingEnv, *targets: float) -> list[float]:
    """Goes to positions, NaN to hold; gives the equity after each step."""
    return [env.step_to(np.array([target]))[-1]["equity"] for target in targets]


def test_fill_of_an_instrument_has_its_lot_tick_and_fee() -> None:
    env = make(instruments=(Instrument(tick=0.25, lot=0.1, taker_fee=0.0005),), slippage=0.0003)
    first = SPEC.lookback
    go(env, 0.5)
    price = BARS.open[first]
    fill = math.ceil(price * 1.0003 / 0.25) * 0.25
    quantity = env.account.quantity
    assert quantity * 10 == pytest.approx(round(quantity * 10), abs=1e-9)
    assert 0.0 <= 0.5 * 100_000.0 / price - quantity < 0.1 + 0.5 * 100_000.0 / price * 0.003
    assert env.account.last_fill_price == fill
    assert env.account.fees_paid == pytest.approx(quantity * fill * 0.0005, rel=1e-12)
    assert env.account.cash == pytest.approx(100_000.0 - quantity * fill * 1.0005, rel=1e-12)


def test_spread_takes_half_of_itself_from_every_fill() -> None:
    env = make(costs=Costs(spread=0.002), **{**FREE, "slippage": 0.0004})
    go(env, 0.5)
    price, quantity = BARS.open[SPEC.lookback], env.account.quantity
    assert env.account.last_fill_price == pytest.approx(price * (1.0 + 0.0004 + 0.001), rel=1e-12)
    components = env.holdings.costs_by_component
    assert components["spread"] == pytest.approx(quantity * price * 0.001, rel=1e-12)
    assert components["slippage"] == pytest.approx(quantity * price * 0.0004, rel=1e-9)
    assert env.holdings.costs == pytest.approx(sum(components.values()), rel=1e-12)


def test_impact_is_volatility_times_the_root_of_the_share_of_a_days_volume() -> None:
    bars = load_sample("ETH").slice(3_000, 4_000)
    env = IntradayTradingEnv(
        bars,
        EnvironmentConfig(episode_bars=100, initial_cash=1e6, costs=Costs(impact=0.9), **FREE),
        SPEC,
    )
    at = 600
    env.reset(options={"start": at})
    go(env, 0.5)
    week = slice(at + 1 - 7 * 48, at + 1)
    assert (np.diff(bars.timestamps_ns[week]) == HALF_HOUR_NS).all()
    returns = np.log(bars.close[week] / bars.close[week.start - 1 : week.stop - 1])
    volatility = math.sqrt((returns**2).sum() / 7)
    volume = bars.volume[week].sum() / 7
    assert volume == pytest.approx(average_daily_volumes(bars)[at])
    quantity, price = env.account.quantity, bars.open[at + 1]
    impact = 0.9 * volatility * math.sqrt(quantity / volume)
    assert 1e-4 < impact < 0.1
    assert env.account.last_fill_price == pytest.approx(price * (1.0 + impact), rel=1e-9)
    assert env.holdings.costs_by_component["impact"] == pytest.approx(
        quantity * price * impact, rel=1e-9
    )


def test_impact_of_four_times_the_quantity_is_twice_as_large() -> None:
    impacts = []
    for cash in (1e5, 4e5):
        env = make(BARS, initial_cash=cash, costs=Costs(impact=1.0), **FREE)
        go(env, 0.01)
        price = BARS.open[SPEC.lookback]
        last = env.account.last_fill_price
        assert last is not None
        impacts.append((last / price - 1.0) / math.sqrt(env.account.quantity))
    assert impacts[0] == pytest.approx(impacts[1], rel=1e-9)


def test_impact_on_bars_without_volume_is_refused() -> None:
    with pytest.raises(MarketDataError, match=r"costs\.impact needs the volume"):
        make(dataclasses.replace(BARS, volume=np.zeros(len(BARS))), costs=Costs(impact=1.0))


@pytest.mark.parametrize("target", [0.5, -0.5])
def test_funding_is_paid_by_longs_to_shorts_at_the_end_of_every_period(target: float) -> None:
    perpetual = Instrument(funding=0.0003, funding_hours=8.0)
    env = make(instruments=(perpetual,), allow_short=True, **FREE)
    go(env, target, *[math.nan] * 99)
    first = SPEC.lookback
    quantity = env.account.quantity
    closes = BARS.close_times_ns[first : first + 100]
    ends = closes % (8 * 2 * HALF_HOUR_NS) == 0
    assert ends.sum() in (6, 7)
    paid = 0.0003 * quantity * BARS.close[first : first + 100][ends].sum()
    assert env.holdings.costs_by_component["funding"] == pytest.approx(paid, rel=1e-9)
    gain = quantity * (BARS.close[first + 99] - BARS.open[first])
    assert env.holdings.equity == pytest.approx(100_000.0 + gain - paid, rel=1e-12)


def test_borrow_is_charged_on_shorts_alone_for_the_time_between_closes() -> None:
    bars = session_bars("XNYS", 86_400, 300, "2018-01-02T00:00")
    spec = FeatureSpec(bar_seconds=86_400.0)
    terms: dict[str, Any] = {
        "costs": Costs(borrow=0.05), "allow_short": True, "episode_bars": None,
        "random_start": False, "min_equity_fraction": 0.0, **FREE,
    }  # fmt: skip
    for target in (-0.5, 0.5):
        env = IntradayTradingEnv(bars, EnvironmentConfig(**terms), spec)
        env.reset()
        go(env, target, *[math.nan] * 20)
        first = spec.lookback
        days = np.diff(bars.close_times_ns[first - 1 : first + 21]) / (86_400 * 1e9)
        assert days.max() >= 3.0  # a week-end
        charged = (0.05 / 365.0 * days * bars.close[first : first + 21]).sum()
        expected = -env.account.quantity * charged if target < 0.0 else 0.0
        assert env.holdings.costs_by_component["borrow"] == pytest.approx(expected, rel=1e-9)


def test_contracts_of_a_multiplier_gain_it_for_every_point() -> None:
    env = make(instruments=(Instrument(lot=1.0, multiplier=5.0),), **FREE)
    go(env, 0.9, math.nan)
    contracts = env.account.quantity / 5.0
    first = SPEC.lookback
    assert contracts == math.floor(0.9 * 100_000.0 / BARS.open[first] / 5.0)
    gain = contracts * 5.0 * (BARS.close[first + 1] - BARS.open[first])
    assert env.holdings.equity == pytest.approx(100_000.0 + gain, rel=1e-12)


def test_account_below_the_maintenance_margin_is_closed_at_the_next_open() -> None:
    n = len(BARS)
    close = np.full(n, 100.0)
    close[SPEC.lookback + 2 :] = 140.0
    opens = np.concatenate([close[:1], close[:-1]])
    bars = Bars(
        "X", BARS.timestamps_ns[0] + HALF_HOUR_NS * np.arange(n), opens,
        np.maximum(opens, close), np.minimum(opens, close), close, np.ones(n), 0, ALWAYS_OPEN,
    )  # fmt: skip
    margin = Instrument(lot=1.0, initial_margin=0.5, maintenance_margin=0.5)
    env = make(bars, instruments=(margin,), allow_short=True, gross_limit=2.0, max_jump=1.0, **FREE)
    go(env, -1.0, math.nan, math.nan)
    assert env.account.quantity == -1_000.0
    assert env.holdings.equity == 60_000.0  # a position of 140,000 needs 70,000
    go(env, math.nan)
    assert env.account.quantity == 0.0
    assert env.holdings.equity == 60_000.0


@given(
    shares=st.lists(st.floats(-1.0, 1.0).map(lambda it: round(it, 3)), min_size=3, max_size=12),
    lot=st.sampled_from([None, 0.01, 5.0]),
    tick=st.sampled_from([None, 0.05]),
    least=st.sampled_from([None, 20_000.0]),
)
def test_value_is_conserved_whatever_is_traded(
    shares: list[float], lot: float | None, tick: float | None, least: float | None
) -> None:
    instrument = Instrument(
        lot=lot, tick=tick, min_notional=least, taker_fee=0.001, funding=0.0001, funding_hours=1.0,
        borrow_cost=0.1,
    )  # fmt: skip
    env = make(
        instruments=(instrument,), costs=Costs(spread=0.001, impact=0.5), actions="continuous",
        allow_short=True,
    )  # fmt: skip
    before, gained, held = SPEC.lookback - 1, 0.0, 0.0
    for step, share in enumerate(shares):
        go(env, share)
        at = before + 1 + step
        gained += held * (BARS.open[at] - BARS.close[at - 1])
        held = env.account.quantity
        gained += held * (BARS.close[at] - BARS.open[at])
    assert env.holdings.equity == pytest.approx(
        env.holdings.cash + held * BARS.close[before + len(shares)], rel=1e-12
    )
    assert env.holdings.equity == pytest.approx(100_000.0 + gained - env.holdings.costs, rel=1e-9)


def test_copies_of_an_environment_with_costs_have_its_bits() -> None:
    terms: dict[str, Any] = {
        "instruments": (Instrument(lot=0.1, tick=0.05, min_notional=500.0, borrow_cost=0.1),),
        "costs": Costs(spread=0.001, impact=0.5, funding=0.0001), "allow_short": True,
        "episode_bars": 50,
    }  # fmt: skip
    config = EnvironmentConfig(**terms)
    copies = VectorizedTradingEnv(BARS, config, SPEC, n_envs=3, stagger=False)
    copies.seed(3)
    copies.reset()
    actions = np.random.default_rng(0).integers(0, 3, (49, 3))
    for row, seed in enumerate((3, 4, 5)):
        env = IntradayTradingEnv(BARS, config, SPEC)
        env.reset(seed=seed)
        if row == 0:
            for action in actions:
                copies.step(action)
        for action in actions[:, row]:
            env.step(action)
        assert copies._copies.states[row].tobytes() == env.holdings.states.tobytes()


def test_panel_has_the_instrument_of_each_symbol() -> None:
    panel = BarPanel.align([load_sample(name).slice(3_000, 3_300) for name in ("BTC", "ETH")])
    env = make(
        panel,
        actions="continuous",
        instruments=(Instrument(lot=1.0, taker_fee=0.001), Instrument(lot=2.0, taker_fee=0.0)),
        **FREE,
    )
    env.step_to(np.array([0.5, 0.4]))
    lots: FloatArray = env.holdings.quantities / [1.0, 2.0]
    assert lots.tolist() == np.floor(lots).tolist()
    assert env.holdings.account(1).fees_paid == 0.0 < env.holdings.account(0).fees_paid


def test_account_that_cannot_hold_a_lot_is_warned_of_once_and_goes_on() -> None:
    for instrument in (Instrument(lot=1e6), Instrument(min_notional=1e9)):
        with pytest.warns(InstrumentWarning, match="nothing can be traded") as warned:
            env = make(instruments=(instrument,))
        assert len(warned) == 1
        equity = go(env, *[0.5] * 20)
        assert equity == [100_000.0] * 20
        assert env.holdings.refused_trades == 20


def test_price_below_a_tick_or_another_market_is_refused_by_name() -> None:
    with pytest.raises(MarketDataError, match=r"ETH: row 1 .* below one tick of 1000"):
        make(instruments=(Instrument(tick=1_000.0),))
    with pytest.raises(MarketDataError, match="traded on the market fx-week, the bars are of alw"):
        make(instruments=(Instrument(market="fx-week"),))


def test_end_of_an_episode_says_the_costs_by_component() -> None:
    env = IntradayTradingEnv(BARS, EnvironmentConfig(episode_bars=2, random_start=False), SPEC)
    env.reset()
    assert "costs" not in env.step(2)[-1]
    costs = env.step(0)[-1]["costs"]
    assert costs["fees"] > costs["slippage"] > 0.0
    assert costs["spread"] == costs["impact"] == costs["funding"] == costs["borrow"] == 0.0


def adjusted_bars(step: float) -> tuple[Bars, int]:
    """Traded prices that fall by a factor in the middle of an episode, adjusted for it."""
    rows, at = len(BARS), SPEC.lookback + 40
    adjustment = np.where(np.arange(rows) < at, 1.0 / step, 1.0)
    return dataclasses.replace(BARS, adjustment=adjustment), at


@pytest.mark.parametrize("target", [0.5, -0.5])
def test_split_in_an_episode_multiplies_units_and_changes_neither_value_nor_features(
    target: float,
) -> None:
    bars, at = adjusted_bars(2.0)
    assert (bars.traded(bars.close)[at - 1] / bars.close[at - 1], bars.adjustment) != (1.0, None)
    plain, env = (make(each, allow_short=True, **FREE) for each in (BARS, bars))
    before = at - SPEC.lookback
    expected = go(plain, target, *[math.nan] * 60)
    assert go(env, target, *[math.nan] * (before - 1)) == pytest.approx(expected[:before])
    held, entry = env.account.quantity, env.account.entry_price
    seen = env.step_to(np.array([math.nan]))
    assert env.account.quantity == 2.0 * held
    assert env.account.entry_price == pytest.approx(0.5 * (entry or 0.0))
    assert seen[-1]["equity"] == pytest.approx(expected[before], rel=1e-12)
    assert go(env, *[math.nan] * 60)[: 60 - before] == pytest.approx(expected[before + 1 :])
    assert np.allclose(env.observe(), plain_observation(plain, env), atol=1e-6)


def plain_observation(plain: IntradayTradingEnv, env: IntradayTradingEnv) -> Any:
    while plain._index < env._index:
        plain.step_to(np.array([math.nan]))
    return plain.observe()


def test_dividend_is_paid_in_cash_and_fills_are_at_traded_prices() -> None:
    dividend_share = 0.02
    bars, at = adjusted_bars(1.0 / (1.0 - dividend_share))
    env = make(bars, **FREE)
    go(env, 0.5)
    assert env.account.last_fill_price == pytest.approx(BARS.open[SPEC.lookback] / 0.98)
    held = env.account.quantity
    go(env, *[math.nan] * (at - SPEC.lookback))
    received = held * dividend_share * BARS.close[at - 1] / 0.98
    assert env.holdings.dividends == pytest.approx(received, rel=1e-9)
    assert env.account.quantity == held
    gained = held * (BARS.close[at] - BARS.open[SPEC.lookback] / 0.98)
    assert env.holdings.equity == pytest.approx(100_000.0 + gained + received, rel=1e-12)


def test_adjustment_of_bars_goes_with_their_parts_and_counts_in_the_digest() -> None:
    bars, _ = adjusted_bars(2.0)
    assert bars.digest != BARS.digest
    for part in (bars.slice(10, 400), pickle.loads(pickle.dumps(bars.slice(10, 400)))):
        assert np.array_equal(np.asarray(part.adjustment), np.asarray(bars.adjustment)[10:400])
    for wrong in (np.ones(3), np.zeros(len(bars)), np.full(len(bars), np.nan)):
        with pytest.raises(MarketDataError, match="adjustment must be a positive number for each"):
            dataclasses.replace(BARS, adjustment=wrong)


def test_file_read_adjusted_keeps_what_its_prices_were_traded_at(tmp_path: Path) -> None:
    path = tmp_path / "acme.csv"
    days = [f"2024-01-{day:02}" for day in (2, 3, 4, 5)]
    closes, adjusted = (100.0, 102.0, 52.0, 53.0), (50.0, 51.0, 52.0, 53.0)
    path.write_text(
        "Date,Open,High,Low,Close,Adj Close,Volume\n"
        + "".join(
            f"{day},{close},{close},{close},{close},{right},1000\n"
            for day, close, right in zip(days, closes, adjusted, strict=True)
        )
    )
    bars = load_bars(path, adjusted=True, market="XNYS")
    assert bars.close.tolist() == list(adjusted)
    assert bars.traded(bars.close).tolist() == list(closes)
    assert load_bars(path, market="XNYS").adjustment is None


def test_states_of_a_release_that_kept_fewer_figures_go_on() -> None:
    config = EnvironmentConfig(episode_bars=50)
    copies, again = (VectorizedTradingEnv(BARS, config, SPEC, n_envs=2) for _ in range(2))
    copies.reset()
    copies.step(np.array([2, 0]))
    state = copies.get_state()
    state["copies"]["states"] = state["copies"]["states"][..., :10].copy()
    again.set_state(state)
    assert again._copies.states.tobytes() == copies._copies.states.tobytes()
    holdings = pickle.loads(pickle.dumps(make().holdings))
    holdings.__setstate__({"states": holdings.states[:, :10]})
    assert holdings.states.shape == (1, STATE_SIZE)


def test_split_between_a_decision_and_its_fill_multiplies_what_was_ordered() -> None:
    bars, at = adjusted_bars(2.0)
    plain = make(sized_at="close", **FREE)
    env = make(bars, sized_at="close", instruments=(Instrument(lot=0.001),), **FREE)
    before = at - SPEC.lookback
    for each in (plain, env):
        go(each, *[math.nan] * before, 0.5)
    assert env.account.quantity == pytest.approx(plain.account.quantity, abs=0.001)
    assert env.holdings.equity == pytest.approx(plain.holdings.equity, rel=1e-4)
