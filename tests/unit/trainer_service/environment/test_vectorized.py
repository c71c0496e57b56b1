"""VectorizedTradingEnv is IntradayTradingEnv in a DummyVecEnv to the last bit, unless staggered."""

import pickle
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from tradewind.constants import ACTION_BUY, ACTION_HOLD
from tradewind.errors import ConflictError, InvalidInputError, MarketDataError
from tradewind.market import BarPanel, Bars, BarSeries, FeatureSpec, load_sample
from tradewind.risk import (
    NoSettings,
    PythonCalculator,
    RiskAgentV2,
    RiskInputs,
    RiskPolicy,
    StepRisk,
)
from trainer_service.environment import (
    EnvironmentConfig,
    IntradayTradingEnv,
    VectorizedTradingEnv,
)

SPEC = FeatureSpec(volatility_windows=(16,), ema_periods=(8,), vwap_window=24)
COUNT = 3
LIMITS = {
    "max_drawdown": {"limit": 0.05},
    "volatility": {"limit": 1.0, "weight": 0.5},
    "var_95": {"limit": 0.01},
    "daily_turnover": {"limit": 2.0},
    "daily_drawdown": {"limit": 0.02},
    "churn": {"limit": 3.0},
}
CALCULATORS = {
    "ulcer_index": {"window_bars": 7},
    "volatility": {"window_bars": 11, "min_returns": 4},
    "var": {"window_bars": 37},
    "churn": {
        "use": PythonCalculator(
            name="churn",
            version=1,
            settings=NoSettings,
            metrics=lambda _: {"churn": "capital"},
            windows=lambda _: {"returns": 9, "trades": 40_000},
            needs=lambda _: {"trades": 0, "positions": 1, "capital_base": 1, "now": 1},
            calculate=lambda _, account: {
                "churn": float(np.abs(account.trade_notionals).sum() + account.returns.max())
                / (account.capital_base or np.nan)
                * len(account.positions)
            },
        ),
        "budget_us": 1e9,
    },
}
AGENT = RiskAgentV2(RiskPolicy.parse({"calculators": CALCULATORS, "limits": LIMITS}))

configs = st.fixed_dictionaries(
    {
        "actions": st.sampled_from(["discrete", "continuous"]),
        "allow_short": st.booleans(),
        "position_fraction": st.sampled_from([1.0, 0.3]),
        "rebalance_threshold": st.sampled_from([0.0, 0.05]),
        "episode_bars": st.sampled_from([2, 29, None]),
        "random_start": st.booleans(),
        "min_equity_fraction": st.sampled_from([0.0, 0.97]),
        "reward": st.sampled_from(["log_return", "simple_return"]),
    }
)


@pytest.fixture(scope="module")
def bars(btc: Bars) -> Bars:
    """Nine days, so that the average daily volume becomes known on the way."""
    return btc.slice(3_000, 3_432)


@pytest.fixture(scope="module")
def panel() -> BarPanel:
    """Nine days of three symbols."""
    samples = [load_sample(symbol) for symbol in ("BTC", "XRP", "ETH")]
    return BarPanel.align(samples).slice(3_000, 3_432)


def make_dummy(bars: BarSeries, config: EnvironmentConfig, spec: FeatureSpec = SPEC) -> DummyVecEnv:
    def make() -> gymnasium.Env[Any, Any]:
        return Monitor(IntradayTradingEnv(bars, config, spec))

    return DummyVecEnv([make] * COUNT)


def sample_actions(env: DummyVecEnv, steps: int, seed: int) -> Iterator[NDArray[Any]]:
    env.action_space.seed(seed)
    for _ in range(steps):
        yield np.array([env.action_space.sample() for _ in range(COUNT)])


def risk_of(dummy: DummyVecEnv, dones: NDArray[np.bool_], infos: list[Any]) -> list[RiskInputs]:
    """Each copy's account after the step, before the reset that followed it."""
    present = dummy.env_method("risk_inputs")
    return [
        info["final_risk_inputs"] if done else inputs
        for inputs, done, info in zip(present, dones, infos, strict=True)
    ]


def assert_same_risk(agent: RiskAgentV2, risk: StepRisk | None, accounts: list[RiskInputs]) -> None:
    assert risk is not None
    for row, account in enumerate(accounts):
        report = agent.calculate_only(account)
        metrics = dict(zip(risk.metric_names, risk.values[row].tolist(), strict=True))
        assert {
            name: value for name, value in metrics.items() if not np.isnan(value)
        } == report.metric_values
        figures = (risk.risk_score[row], risk.penalty[row])
        for figure, expected in zip(figures, (report.risk_score, report.penalty), strict=True):
            assert figure == expected or (np.isnan(figure) and expected is None)
        judged = report.risk_score is not None and not report.unchecked_limits
        assert risk.judged[row] == judged


@settings(max_examples=50)
@given(values=configs, seed=st.integers(0, 2**31), steps=st.integers(1, 70))
def test_vectorized_with_random_actions_gives_the_bits_of_its_copies_and_their_risk(
    bars: Bars, values: dict[str, Any], seed: int, steps: int
) -> None:
    assert_same_bits(bars, EnvironmentConfig(**values), seed, steps)


@settings(max_examples=50)
@given(
    values=configs,
    gross_limit=st.sampled_from([1.0, 1.7]),
    seed=st.integers(0, 2**31),
    steps=st.integers(1, 70),
)
def test_vectorized_of_several_symbols_gives_the_bits_of_its_copies_and_their_risk(
    panel: BarPanel, values: dict[str, Any], gross_limit: float, seed: int, steps: int
) -> None:
    config = EnvironmentConfig(**{**values, "actions": "continuous", "gross_limit": gross_limit})
    assert_same_bits(panel, config, seed, steps)


def assert_same_bits(bars: BarSeries, config: EnvironmentConfig, seed: int, steps: int) -> None:
    ours = VectorizedTradingEnv(bars, config, SPEC, n_envs=COUNT, risk=AGENT, stagger=False)
    dummy = make_dummy(bars, config)
    assert (ours.action_space, ours.observation_space) == (
        dummy.action_space,
        dummy.observation_space,
    )
    assert ours.seed(seed) == dummy.seed(seed)
    assert np.asarray(ours.reset()).tobytes() == np.asarray(dummy.reset()).tobytes()
    for actions in sample_actions(dummy, steps, seed):
        found, expected = ours.step(actions), dummy.step(actions)
        for mine, theirs in zip(found[:3], expected[:3], strict=True):
            assert isinstance(mine, np.ndarray)
            assert isinstance(theirs, np.ndarray)
            assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape)
            assert mine.tobytes() == theirs.tobytes()
        assert_same_infos(found[3], expected[3])
        assert_same_risk(AGENT, ours.step_risk, risk_of(dummy, expected[2], expected[3]))
        for mine, other in zip(ours.reset_infos, dummy.reset_infos, strict=True):
            np.testing.assert_equal(mine, other)
        assert ours.observations().tobytes() == np.asarray(found[0]).tobytes()


def assert_same_infos(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        assert mine["TimeLimit.truncated"] == other["TimeLimit.truncated"]
        assert ("episode" in mine) == ("episode" in other)
        if "episode" in other:
            assert mine["episode"]["r"] == other["episode"]["r"]
            assert mine["episode"]["l"] == other["episode"]["l"]
            assert mine["episode"]["t"] >= 0.0
            terminal = mine["terminal_observation"]
            assert terminal.tobytes() == other["terminal_observation"].tobytes()


def test_vectorized_with_the_shipped_policy_gives_the_risk_of_long_episodes(
    btc: Bars, risk_policy: Any
) -> None:
    agent = RiskAgentV2.from_yaml(risk_policy)
    bars, config = btc.slice(0, 1_700), EnvironmentConfig(episode_bars=700, allow_short=True)
    ours = VectorizedTradingEnv(bars, config, SPEC, n_envs=COUNT, risk=agent, stagger=False)
    dummy = make_dummy(bars, config)
    for env in (ours, dummy):
        env.seed(3)
        env.reset()
    for step, actions in enumerate(sample_actions(dummy, 720, seed=3)):
        ours.step(actions)
        _, _, dones, infos = dummy.step(actions)
        if step % 40 == 0 or dones.any():
            assert_same_risk(agent, ours.step_risk, risk_of(dummy, dones, infos))


@pytest.mark.parametrize("random_start", [True, False])
def test_vectorized_staggered_cuts_first_episodes_evenly_and_no_later_ones(
    bars: Bars, random_start: bool
) -> None:
    config = EnvironmentConfig(episode_bars=20, random_start=random_start)
    env = VectorizedTradingEnv(bars, config, SPEC, n_envs=8)
    assert env.first_lengths.tolist() == [20, 18, 15, 13, 10, 8, 5, 3]
    ends: list[list[int]] = [[] for _ in range(8)]
    for _ in range(2):  # a second reset of all staggers anew
        env.seed(1)
        env.reset()
        for step in range(1, 61):
            *_, dones, infos = env.step(np.full(8, ACTION_HOLD))
            for row in np.flatnonzero(dones).tolist():
                ends[row].append(step)
                assert infos[row]["TimeLimit.truncated"]
    for row, first in enumerate(env.first_lengths.tolist()):
        assert ends[row] == [*range(first, 61, 20)] * 2


@pytest.mark.parametrize("episode_bars", [7, None])
def test_vectorized_of_one_copy_is_the_environment_itself_staggered_or_not(
    bars: Bars, episode_bars: int | None
) -> None:
    config = EnvironmentConfig(episode_bars=episode_bars)
    env, alone = (
        VectorizedTradingEnv(bars, config, SPEC, n_envs=1),
        IntradayTradingEnv(bars, config, SPEC),
    )
    env.seed(4)
    observation, _ = alone.reset(seed=4)
    assert np.asarray(env.reset()).tobytes() == observation.tobytes()
    for action in np.random.default_rng(0).integers(0, 3, 40):
        observations, rewards, dones, infos = env.step(np.array([action]))
        observation, reward, terminated, truncated, _ = alone.step(action)
        last = infos[0].get("terminal_observation", np.asarray(observations)[0])
        assert last.tobytes() == observation.tobytes()
        assert (rewards[0], dones[0]) == (np.float32(reward), terminated or truncated)
        if dones[0]:
            alone.reset()


def test_vectorized_with_start_options_starts_there_once(bars: Bars) -> None:
    config = EnvironmentConfig(episode_bars=2)
    env = VectorizedTradingEnv(bars, config, SPEC, n_envs=2)
    env.set_options([{"start": 100}, {"start": 50}])
    env.seed(0)
    env.reset()
    assert [info["start"] for info in env.reset_infos] == [100, 50]
    env.step(np.array([ACTION_HOLD] * 2))
    env.step(np.array([ACTION_HOLD] * 2))
    assert [info["start"] for info in env.reset_infos] != [100, 50]

    before = env.observations().tobytes(), env.get_state()["copies"]
    env.set_options([{"start": 70}, {"start": 5}])
    with pytest.raises(InvalidInputError, match="start must be a bar from 31"):
        env.reset()
    assert env.observations().tobytes() == before[0]
    for name, array in env.get_state()["copies"].items():
        assert array.tobytes() == before[1][name].tobytes()


def test_vectorized_state_pickled_goes_on_with_the_same_bits(bars: Bars) -> None:
    config = EnvironmentConfig(episode_bars=20, actions="continuous")
    make = partial(VectorizedTradingEnv, bars, config, SPEC, n_envs=4, risk=AGENT)
    env, resumed = make(), make()
    env.seed(5)
    env.reset()
    actions = np.random.default_rng(1).random((90, 4, 1), dtype=np.float32)
    for step in range(50):
        env.step(actions[step])

    state = pickle.loads(pickle.dumps(env.get_state()))
    expected = run(env, actions[50:])
    resumed.set_state(state)

    assert resumed.observations().tobytes() == expected[0].tobytes()
    assert [each.tobytes() for each in run(resumed, actions[50:])] == [
        each.tobytes() for each in expected
    ]


def run(env: VectorizedTradingEnv, actions: NDArray[np.float32]) -> list[NDArray[Any]]:
    arrays: list[NDArray[Any]] = [env.observations()]
    for each in actions:
        observations, rewards, dones, _ = env.step(each)
        assert env.step_risk is not None
        arrays += [np.asarray(observations), rewards, dones, env.step_risk.values]
    return arrays


@pytest.mark.parametrize(
    "changes",
    [
        {"config": EnvironmentConfig(episode_bars=20, slippage=0.1)},
        {"feature_spec": FeatureSpec()},
        {"n_envs": 2},
        {"risk": None},
        {"risk": RiskAgentV2(RiskPolicy())},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_vectorized_state_of_another_environment_is_refused(
    bars: Bars, changes: dict[str, Any]
) -> None:
    same: dict[str, Any] = {
        "config": EnvironmentConfig(episode_bars=20),
        "feature_spec": SPEC,
        "n_envs": 4,
        "risk": AGENT,
    }
    env = VectorizedTradingEnv(bars, **same)
    other = VectorizedTradingEnv(bars, **{**same, **changes})
    with pytest.raises(ConflictError, match="another"):
        other.set_state(env.get_state())


def test_vectorized_step_before_reset_or_without_actions_is_refused(bars: Bars) -> None:
    env = VectorizedTradingEnv(bars, EnvironmentConfig(episode_bars=20), SPEC, n_envs=2, risk=AGENT)
    for call in (env.observations, lambda: env.step(np.array([1, 1])), env.step_wait):
        with pytest.raises(ConflictError, match=r"call (reset|step_async)\(\) first"):
            call()
    env.reset()
    with pytest.raises(ConflictError, match="no risk has been measured yet"):
        env.risk_report(0)
    with pytest.raises(ConflictError, match=r"call step_async\(\) first"):
        env.step_wait()


@pytest.mark.parametrize(
    ("kind", "actions", "message"),
    [
        ("discrete", np.array([1, 3]), "must be 0"),
        ("discrete", np.array([-1, 1]), "must be 0"),
        ("discrete", np.array([1.0, 1.0]), "must be 0"),
        ("discrete", np.array([1]), r"must have shape \(2,\)"),
        ("discrete", np.array([[1], [1]]), r"must have shape \(2,\)"),
        ("continuous", np.array([[0.5], [np.nan]], dtype=np.float32), "one number from 0 to 1"),
        ("continuous", np.array([[0.5], [-0.1]], dtype=np.float32), "one number from 0 to 1"),
        ("continuous", np.array([0.5, 0.5], dtype=np.float32), r"must have shape \(2, 1\)"),
    ],
)
def test_vectorized_step_with_an_impossible_action_is_refused_and_changes_nothing(
    bars: Bars, kind: Any, actions: NDArray[Any], message: str
) -> None:
    config = EnvironmentConfig(episode_bars=20, actions=kind)
    env = VectorizedTradingEnv(bars, config, SPEC, n_envs=2)
    env.reset()
    before = pickle.dumps(env.get_state())
    with pytest.raises(InvalidInputError, match=message):
        env.step(actions)
    assert pickle.dumps(env.get_state()) == before


def test_vectorized_with_too_few_bars_is_refused(bars: Bars) -> None:
    with pytest.raises(MarketDataError, match="too few"):
        VectorizedTradingEnv(bars, EnvironmentConfig(episode_bars=430), SPEC, n_envs=2)


def test_vectorized_without_copies_is_refused(bars: Bars) -> None:
    with pytest.raises(InvalidInputError, match="at least 1, not 0"):
        VectorizedTradingEnv(bars, n_envs=0)


def test_vectorized_arrays_handed_out_stay_as_they_were(bars: Bars) -> None:
    env = VectorizedTradingEnv(bars, EnvironmentConfig(episode_bars=3), SPEC, n_envs=2, risk=AGENT)
    first = env.reset()
    kept = [first, *env.step(np.array([ACTION_BUY] * 2))[:3]]
    assert env.step_risk is not None
    kept += [env.step_risk.values, env.step_risk.judged]
    copies = [np.copy(np.asarray(array)) for array in kept]
    for _ in range(5):
        env.step(np.array([ACTION_HOLD] * 2))
    for array, copy in zip(kept, copies, strict=True):
        assert np.asarray(array).tobytes() == copy.tobytes()


def test_vectorized_infos_of_copies_that_go_on_cannot_be_written(bars: Bars) -> None:
    env = VectorizedTradingEnv(bars, EnvironmentConfig(episode_bars=20), SPEC, n_envs=2)
    env.reset()
    infos = env.step(np.array([ACTION_HOLD] * 2))[3]
    with pytest.raises(TypeError):
        infos[0]["mine"] = 1


def test_vectorized_attributes_are_those_of_the_task(bars: Bars) -> None:
    env = VectorizedTradingEnv(bars, EnvironmentConfig(episode_bars=20), SPEC, n_envs=3)
    assert env.get_attr("symbol") == ["BTC"] * 3
    assert env.get_attr("feature_spec", [0]) == [SPEC]
    assert env.env_is_wrapped(Monitor) == [True] * 3
    assert not env.has_attr("wings")
    for call in (partial(env.set_attr, "bars", None), partial(env.env_method, "risk_inputs")):
        with pytest.raises(AttributeError, match="have no (bars|risk_inputs)"):
            call()


@pytest.mark.parametrize("wrap", [None, VecNormalize], ids=str)
@pytest.mark.parametrize("algorithm", [PPO, DQN])
def test_vectorized_trains_a_model_to_the_weights_of_a_dummy(
    bars: Bars, algorithm: Any, wrap: Callable[..., Any] | None
) -> None:
    config = EnvironmentConfig(episode_bars=15)
    sizes = {"n_steps": 24, "batch_size": 24, "n_epochs": 1}
    if algorithm is DQN:
        sizes = {"learning_starts": 20, "batch_size": 8, "buffer_size": 500}
    weights, lengths = [], []
    for make in (partial(VectorizedTradingEnv, n_envs=COUNT, stagger=False), make_dummy):
        env = make(bars, config, SPEC)
        model = algorithm("MlpPolicy", wrap(env) if wrap else env, seed=2, device="cpu", **sizes)
        model.learn(24 * COUNT * 2)
        weights.append([tensor.numpy().tobytes() for tensor in model.policy.state_dict().values()])
        lengths.append([episode["l"] for episode in model.ep_info_buffer])
    assert weights[0] == weights[1]
    assert lengths[0] == lengths[1]
    assert lengths[0]


def test_vectorized_serves_evaluate_policy(bars: Bars) -> None:
    config = EnvironmentConfig(episode_bars=15)
    env = VectorizedTradingEnv(bars, config, SPEC, n_envs=COUNT, stagger=False)
    model = PPO("MlpPolicy", env, n_steps=8, batch_size=24, device="cpu")
    _, lengths = evaluate_policy(model, env, n_eval_episodes=4, return_episode_rewards=True)
    assert lengths == [15] * 4
