import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.constants import ACTION_BUY, ACTION_HOLD, ACTION_SELL
from tradewind.errors import ConflictError, InvalidInputError, MarketDataError
from tradewind.market import Account, Bars, FeaturePipeline, FeatureSpec, series_of, split_bars
from trainer_service.environment import IntradayTradingEnv

MakeEnv = Callable[..., IntradayTradingEnv]

SPEC = FeatureSpec(volatility_windows=(16,), ema_periods=(8,), vwap_window=24)
actions_of_an_episode = st.lists(
    st.sampled_from([ACTION_SELL, ACTION_HOLD, ACTION_BUY]), min_size=40, max_size=40
)


@settings(max_examples=20)
@given(
    actions=actions_of_an_episode,
    shares=st.lists(st.floats(-1.0, 1.0, width=32), min_size=40, max_size=40),
    kind=st.sampled_from(["discrete", "continuous"]),
    start=st.integers(SPEC.lookback - 1, 4000),
    allow_short=st.booleans(),
    position_fraction=st.sampled_from([1.0, 0.5, 0.3]),
    reward=st.sampled_from(["log_return", "simple_return"]),
)
def test_episode_walked_by_hand_as_in_production_gives_the_same_bits(
    make_env: MakeEnv,
    actions: list[int],
    shares: list[float],
    kind: str,
    start: int,
    allow_short: bool,
    position_fraction: float,
    reward: str,
) -> None:
    env = make_env(
        feature_spec=SPEC,
        episode_bars=40,
        actions=kind,
        allow_short=allow_short,
        position_fraction=position_fraction,
        reward=reward,
    )
    (bars,), config = series_of(env.bars), env.config
    observation, _ = env.reset(options={"start": start})

    # What an orchestrator does: it is fed bar after bar, and books its fills.
    pipeline = FeaturePipeline(SPEC)
    for index in range(start - SPEC.lookback + 1, start + 1):
        pipeline.update(bars.bar(index))
    account = Account(config.initial_cash, bars.bar(start).close)
    targets = {
        ACTION_SELL: -position_fraction if allow_short else 0.0,
        ACTION_BUY: position_fraction,
    }
    lowest = -1.0 if allow_short else 0.0
    for step, (discrete, share) in enumerate(zip(actions, shares, strict=True)):
        action: Any = discrete
        target = targets.get(discrete)
        if kind == "continuous":
            action = np.array([max(share, lowest)], dtype=np.float32)
            target = max(share, lowest) * position_fraction
        assert pipeline.observation(account.position).tobytes() == observation.tobytes()
        observation, gained, terminated, truncated, info = env.step(action)

        before = account.equity
        bar = bars.bar(start + step + 1)
        quantity = 0.0
        if target is not None:
            quantity = account.fill_toward(
                target,
                bar.open,
                transaction_cost=config.transaction_cost,
                slippage=config.slippage,
                rebalance_threshold=config.rebalance_threshold,
            )
        account.close_bar(bar.close)
        pipeline.update(bar)

        growth = account.equity / before
        growth = math.log(growth) if reward == "log_return" else growth - 1.0
        assert gained == growth * config.reward_scale
        assert info["equity"] == account.equity
        assert info["quantity"] == account.quantity
        assert info["quantity_traded"] == quantity
        assert info.get("fill_price") == (account.last_fill_price if quantity else None)
        assert account.state.tobytes() == env.account.state.tobytes()
        assert not terminated
    assert truncated
    assert pipeline.observation(account.position).tobytes() == observation.tobytes()


@pytest.mark.parametrize("sized_at", ["open", "close"])
def test_quantity_sized_at_the_close_knows_nothing_of_the_next_open(
    make_env: MakeEnv, btc: Bars, sized_at: str
) -> None:
    bars = btc.slice(0, 500)
    jumped = dataclasses.replace(
        bars, open=bars.open * 1.2, high=bars.high * 1.2, low=bars.low, close=bars.close
    )
    start, cost, slip = 200, 0.001, 0.0002
    quantities = []
    for series in (bars, jumped):
        env = make_env(bars=series, episode_bars=40, sized_at=sized_at, position_fraction=0.5)
        env.reset(options={"start": start})
        *_, info = env.step(ACTION_BUY)
        quantities.append(info["quantity_traded"])
        price = series.open[start + 1] * (1.0 + slip)
        assert info["fill_price"] == price
        left = 100_000.0 - quantities[-1] * price * (1.0 + cost)
        assert env.account.cash == pytest.approx(left, rel=1e-12)
    friction = (1.0 + slip) * (1.0 + cost) - 1.0
    half_of_what_is_left = 50_000.0 / (bars.close[start] * (1.0 + 0.5 * friction))
    if sized_at == "close":
        assert quantities[0] == quantities[1] == pytest.approx(half_of_what_is_left, rel=1e-12)
    else:
        assert quantities[0] == pytest.approx(1.2 * quantities[1], rel=1e-9)


@settings(max_examples=15)
@given(actions=actions_of_an_episode, changed_after=st.integers(0, 39), seed=st.integers(0, 99))
def test_episode_with_the_future_changed_is_the_same_until_then(
    make_env: MakeEnv, actions: list[int], changed_after: int, seed: int
) -> None:
    env = make_env(feature_spec=SPEC, episode_bars=40, allow_short=True)
    start = 1000
    boundary = start + changed_after + 1
    factors = np.ones(len(env.bars))
    factors[boundary:] = np.exp(
        np.random.default_rng(seed).normal(0, 0.05, len(env.bars) - boundary)
    )
    prices = {name: getattr(env.bars, name) * factors for name in ("open", "high", "low", "close")}
    other = make_env(
        bars=dataclasses.replace(env.bars, **prices),
        feature_spec=SPEC,
        episode_bars=40,
        allow_short=True,
    )

    first, second = (each.reset(options={"start": start})[0] for each in (env, other))
    assert first.tobytes() == second.tobytes()
    for action in actions[:changed_after]:
        ours, theirs = env.step(action), other.step(action)
        assert ours[0].tobytes() == theirs[0].tobytes()
        assert ours[1:] == theirs[1:]
    # The step into the first changed bar shows the change: the comparison above can fail.
    assert env.step(ACTION_HOLD)[0].tobytes() != other.step(ACTION_HOLD)[0].tobytes()


def test_buy_fills_at_the_next_open_with_slippage_and_cost(make_env: MakeEnv) -> None:
    env = make_env(transaction_cost=0.01, slippage=0.02, episode_bars=10)
    env.reset(options={"start": 500})
    _, reward, _, _, info = env.step(ACTION_BUY)
    bar = series_of(env.bars)[0].bar(501)
    assert info["fill_price"] == bar.open * 1.02
    bought = 100_000.0 / (bar.open * 1.02 * 1.01)
    assert info["quantity"] == pytest.approx(bought)
    assert info["equity"] == pytest.approx(bought * bar.close)
    assert reward == pytest.approx(100.0 * math.log(bought * bar.close / 100_000.0))


def test_hold_keeps_the_quantity_and_pays_nothing(make_env: MakeEnv) -> None:
    env = make_env(episode_bars=20, position_fraction=0.5)
    env.reset(options={"start": 500})
    bought = env.step(ACTION_BUY)[4]["quantity"]
    fees = env.account.fees_paid
    for _ in range(10):
        info = env.step(ACTION_HOLD)[4]
        assert info["quantity"] == bought
        assert info["quantity_traded"] == 0.0
        assert "fill_price" not in info
    assert env.account.fees_paid == fees


@pytest.mark.parametrize(("allow_short", "exposure"), [(False, 0.0), (True, -0.5)])
def test_sell_goes_short_only_where_allowed(
    make_env: MakeEnv, allow_short: bool, exposure: float
) -> None:
    env = make_env(allow_short=allow_short, position_fraction=0.5)
    env.reset(options={"start": 500})
    env.step(ACTION_BUY)
    env.step(ACTION_SELL)
    bar = series_of(env.bars)[0].bar(502)
    marked_at_open = env.account.quantity * bar.open
    equity_at_open = env.account.cash + marked_at_open
    assert marked_at_open / equity_at_open == pytest.approx(exposure)


def test_log_rewards_add_up_to_the_episodes_return(make_env: MakeEnv) -> None:
    env = make_env(episode_bars=200, allow_short=True)
    env.reset(seed=3)
    rng = np.random.default_rng(3)
    rewards = [float(env.step(int(rng.integers(3)))[1]) for _ in range(200)]
    growth = math.log(env.account.equity / env.config.initial_cash)
    assert sum(rewards) == pytest.approx(100.0 * growth)


def test_reset_with_the_same_seed_gives_the_same_episode(make_env: MakeEnv) -> None:
    def episode(env: IntradayTradingEnv, seed: int) -> list[Any]:
        steps: list[Any] = [env.reset(seed=seed)[0].tobytes(), env.reset()[0].tobytes()]
        for action in (2, 1, 0, 2):
            observation, *rest = env.step(action)
            steps += [observation.tobytes(), rest]
        return steps

    assert episode(make_env(), 5) == episode(make_env(), 5)
    assert episode(make_env(), 5) != episode(make_env(), 6)


def test_random_starts_cover_every_bar_that_has_room_for_an_episode(
    make_env: MakeEnv, btc: Bars
) -> None:
    env = make_env(bars=btc.slice(0, 45), feature_spec=SPEC, episode_bars=10)
    starts = {env.reset(seed=seed)[1]["start"] for seed in range(60)}
    assert starts == {31, 32, 33, 34}


def test_start_without_random_is_the_first_bar_with_an_observation(make_env: MakeEnv) -> None:
    env = make_env(random_start=False)
    assert env.reset(seed=9)[1]["start"] == env.feature_spec.lookback - 1


def test_episode_without_a_length_goes_on_to_the_last_bar(make_env: MakeEnv, btc: Bars) -> None:
    env = make_env(bars=btc.slice(0, 300), random_start=False, episode_bars=None)
    env.reset()
    steps = 0
    truncated = False
    while not truncated:
        _, _, _, truncated, info = env.step(ACTION_BUY)
        steps += 1
    assert steps == 300 - env.feature_spec.lookback
    assert info["equity"] == env.account.quantity * btc.bar(299).close + env.account.cash


def test_bars_just_long_enough_make_an_environment(make_env: MakeEnv, btc: Bars) -> None:
    env = make_env(bars=btc.slice(0, 197), episode_bars=100)
    assert env.reset(seed=1)[1]["start"] == 96
    with pytest.raises(MarketDataError, match=r"196 bars of BTC are too few: 97 .* make 197"):
        make_env(bars=btc.slice(0, 196), episode_bars=100)


def test_bars_of_another_length_than_the_specification_are_refused(make_env: MakeEnv) -> None:
    with pytest.raises(MarketDataError, match="for bar_seconds = 60"):
        make_env(feature_spec=FeatureSpec(bar_seconds=60))


def crash(bars: Bars, at: int, factor: float) -> Bars:
    factors = np.ones(len(bars))
    factors[at:] = factor
    prices = {name: getattr(bars, name) * factors for name in ("open", "high", "low", "close")}
    prices["open"] = np.concatenate(
        [prices["open"][:at], bars.open[at : at + 1], prices["open"][at + 1 :]]
    )
    prices["high"] = np.maximum(prices["high"], prices["open"])
    prices["low"] = np.minimum(prices["low"], prices["open"])
    return dataclasses.replace(bars, **prices)


def test_episode_with_equity_under_the_floor_terminates(make_env: MakeEnv, btc: Bars) -> None:
    env = make_env(bars=crash(btc.slice(0, 2000), 504, 0.4), min_equity_fraction=0.5, max_jump=1.0)
    env.reset(options={"start": 500})
    ended = [env.step(ACTION_BUY)[2] for _ in range(4)]
    assert ended == [False, False, False, True]


@pytest.mark.parametrize(
    ("reward", "lost"), [("log_return", math.log(1e-4)), ("simple_return", None)]
)
def test_episode_with_everything_lost_short_terminates_with_a_finite_reward(
    make_env: MakeEnv, btc: Bars, reward: str, lost: float | None
) -> None:
    bars = crash(btc.slice(0, 2000), 503, 3.0)
    env = make_env(
        bars=bars, allow_short=True, min_equity_fraction=0.0, reward=reward, max_jump=2.0
    )
    env.reset(options={"start": 500})
    env.step(ACTION_SELL)
    before = env.step(ACTION_HOLD)[4]["equity"]
    observation, gained, terminated, _, info = env.step(ACTION_HOLD)
    assert terminated
    assert info["equity"] < 0.0
    assert gained == 100.0 * (info["equity"] / before - 1.0 if lost is None else lost)
    assert env.observation_space.contains(observation)


def test_step_without_an_episode_is_refused(make_env: MakeEnv) -> None:
    env = make_env(episode_bars=2)
    with pytest.raises(ConflictError, match=r"call reset\(\) first"):
        env.step(ACTION_HOLD)
    env.reset(seed=1)
    env.step(ACTION_HOLD)
    assert env.step(ACTION_HOLD)[3]
    with pytest.raises(ConflictError, match=r"call reset\(\) first"):
        env.step(ACTION_HOLD)


@pytest.mark.parametrize("action", [-1, 3, 1.0, "BUY", None, np.array([1, 2])], ids=repr)
def test_step_with_an_unknown_action_is_refused_and_changes_nothing(
    make_env: MakeEnv, action: Any
) -> None:
    env = make_env()
    env.reset(seed=1)
    before = env.account.state.copy()
    with pytest.raises(InvalidInputError, match=r"0 \(SELL\), 1 \(HOLD\) or 2 \(BUY\)"):
        env.step(action)
    assert env.account.state.tobytes() == before.tobytes()


@pytest.mark.parametrize(
    "action", [np.nan, -1.01, np.array([1.1]), np.array([0.1, 0.2]), "long", None, [[]]], ids=repr
)
def test_step_with_a_continuous_action_out_of_bounds_is_refused_and_changes_nothing(
    make_env: MakeEnv, action: Any
) -> None:
    env = make_env(actions="continuous", allow_short=True)
    env.reset(seed=1)
    before = env.account.state.copy()
    with pytest.raises(InvalidInputError, match="must be one number from -1 to 1"):
        env.step(action)
    assert env.account.state.tobytes() == before.tobytes()


def test_continuous_actions_without_shorting_end_at_flat(make_env: MakeEnv) -> None:
    env = make_env(actions="continuous")
    assert env.action_space == spaces.Box(0.0, 1.0, (1,), np.float32)
    env.reset(seed=1)
    with pytest.raises(InvalidInputError, match="from 0 to 1"):
        env.step(-0.5)


@pytest.mark.parametrize("action", [2, np.int64(2), np.array(2), np.uint8(2)], ids=repr)
def test_step_with_any_kind_of_integer_is_taken(make_env: MakeEnv, action: Any) -> None:
    env = make_env()
    env.reset(seed=1)
    assert env.step(action)[4]["quantity"] > 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"begin": 5}, "the only option of reset is 'start'"),
        ({"start": 95}, "from 96 to 4327: 95"),
        ({"start": 4328}, "from 96 to 4327: 4328"),
    ],
    ids=str,
)
def test_reset_with_an_impossible_option_is_refused(
    make_env: MakeEnv, options: dict[str, int], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        make_env().reset(options=options)


def test_observations_handed_out_stay_as_they_were(make_env: MakeEnv) -> None:
    env = make_env()
    first, _ = env.reset(seed=1)
    copy = first.copy()
    second = env.step(ACTION_BUY)[0]
    assert first.tobytes() == copy.tobytes()
    assert not np.shares_memory(first, second)


def test_held_out_bars_make_an_environment_of_their_own(make_env: MakeEnv, btc: Bars) -> None:
    train, held_out = split_bars(btc, 0.2)
    env = make_env(bars=held_out, random_start=False, episode_bars=None)
    observation, _ = env.reset()
    start = len(train) + env.feature_spec.lookback - 1
    expected = FeaturePipeline(env.feature_spec).transform(btc)[start]
    assert observation[: env.feature_spec.market_size].tobytes() == expected.tobytes()
