"""A subclass of IntradayTradingEnv, or one in wrappers: what is trained on, and what is refused."""

import json
import logging
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from orchestrator.agents.contract import read_contract
from tradewind.bundle import BundleStore, read_bundle
from tradewind.errors import ConflictError, TrainingError
from tradewind.market import Bars, BarSeries
from tradewind.risk import ProductionRiskAdvisor
from trainer_service.checkpoints import Checkpointing, CheckpointSettings
from trainer_service.environment import (
    EnvironmentConfig,
    IntradayTradingEnv,
    TradingEnvCopies,
    VectorizedTradingEnv,
)
from trainer_service.evaluation import EvaluationConfig, WalkForwardConfig
from trainer_service.progress import ProgressReporter
from trainer_service.research.judging import train_and_judge
from trainer_service.research.walk_forward import walk_forward
from trainer_service.training.agent import create_trainer_agent
from trainer_service.training.config import TrainingConfig, parse_training_config
from trainer_service.training.workspace import Workspace

MakeValues = Callable[..., dict[str, Any]]
CONFIG = EnvironmentConfig(episode_bars=40)


class Same(IntradayTradingEnv):
    """Overrides a method and changes nothing."""

    def step(self, action: Any) -> Any:
        return super().step(action)


class Counting(IntradayTradingEnv):
    """Rewards the number of steps since its reset, over all of its life times a weight."""

    def __init__(self, *arguments: Any, weight: float = 2.0, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.weight = weight
        self.history: list[int] = []
        self.alias = self.history

    def reset(self, **named: Any) -> Any:
        self.history.append(0)
        return super().reset(**named)

    def step(self, action: Any) -> Any:
        observation, _, terminated, truncated, info = super().step(action)
        self.alias[-1] += 1
        return observation, self.weight * self.history[-1], terminated, truncated, info


class Halved(gymnasium.RewardWrapper[Any, Any]):
    def reward(self, reward: Any) -> Any:
        return reward / 2.0


class Bought(IntradayTradingEnv):
    """A subclass that only chooses what is traded."""

    def __init__(self, bars: BarSeries) -> None:
        super().__init__(bars, CONFIG)


def prepare(env: Any, values: dict[str, Any]) -> Any:
    return Workspace.prepare(env, parse_training_config(values, TrainingConfig)).training_env


@pytest.mark.parametrize("actions", ["discrete", "continuous"])
def test_copies_of_what_changes_nothing_give_the_bits_of_the_compiled_environment(
    btc: Bars, risk_policy: Path, actions: Any
) -> None:
    advisor = ProductionRiskAdvisor(risk_policy)
    config = EnvironmentConfig(episode_bars=40, actions=actions)
    mine = TradingEnvCopies(Same(btc, config), btc, n_envs=4, risk=advisor)
    stock = VectorizedTradingEnv(btc, config, n_envs=4, risk=advisor)
    for env in (mine, stock):
        env.seed(3)
    assert mine.reset().tobytes() == np.asarray(stock.reset()).tobytes()
    mine.action_space.seed(1)
    for _ in range(100):
        chosen = np.array([mine.action_space.sample() for _ in range(4)])
        found, expected = mine.step(chosen), stock.step(chosen)
        for ours, theirs in zip(found[:3], expected[:3], strict=True):
            assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()
        for row in np.flatnonzero(found[2]):
            ended, other = found[3][row], expected[3][row]
            assert {**ended["episode"], "t": 0} == {**other["episode"], "t": 0}
            assert ended["TimeLimit.truncated"] == other["TimeLimit.truncated"]
            assert (
                ended["terminal_observation"].tobytes() == other["terminal_observation"].tobytes()
            )
        assert mine.step_risk is not None
        assert stock.step_risk is not None
        for name in stock.step_risk.metric_names:
            np.testing.assert_array_equal(
                mine.step_risk.metric(name), stock.step_risk.metric(name), name
            )
        np.testing.assert_array_equal(mine.step_risk.penalty, stock.step_risk.penalty)
    assert mine.risk_report(2) == stock.risk_report(2)


def test_copies_keep_what_a_subclass_has_of_its_own_apart_from_each_other(btc: Bars) -> None:
    original = Counting(btc, CONFIG, weight=3.0)
    env = TradingEnvCopies(Halved(original), btc.slice(0, 2_000), n_envs=3)
    env.seed(0)
    env.reset()
    for step in range(1, 14):
        rewards = env.step(np.ones(3, dtype=np.int64))[1]
        assert rewards.tolist() == [1.5 * step] * 3
    dones = env.step(np.ones(3, dtype=np.int64))[2]  # the third copy's first episode ends
    assert dones.tolist() == [False, False, True]
    assert env.step(np.ones(3, dtype=np.int64))[1].tolist() == [22.5, 22.5, 1.5]
    assert original.history == []
    assert env.get_attr("weight") == [3.0] * 3
    copies = env.get_attr("unwrapped")
    assert all(each.history is each.alias for each in copies)
    assert copies[0].trading_task is copies[2].trading_task


def test_copies_pickled_go_on_with_the_same_bits_and_refuse_anothers_state(btc: Bars) -> None:
    env, resumed = (
        TradingEnvCopies(Halved(Counting(btc, CONFIG)), btc, n_envs=3) for _ in range(2)
    )
    env.seed(4)
    env.reset()
    draws = np.random.default_rng(0).integers(0, 3, (90, 3))
    for chosen in draws[:50]:
        env.step(chosen)
    state = pickle.loads(pickle.dumps(env.get_state()))
    assert len(state["copies"]) < 30_000  # and not the bars
    resumed.set_state(state)
    assert resumed.observations().tobytes() == env.observations().tobytes()
    for chosen in draws[50:]:
        for ours, theirs in zip(env.step(chosen)[:3], resumed.step(chosen)[:3], strict=True):
            assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()
    assert all(each.history is each.alias for each in resumed.get_attr("unwrapped"))
    for other in (
        TradingEnvCopies(Counting(btc, CONFIG), btc, n_envs=3),
        TradingEnvCopies(Halved(Counting(btc, CONFIG)), btc, n_envs=2),
        TradingEnvCopies(Halved(Counting(btc)), btc, n_envs=3),
    ):
        with pytest.raises(ConflictError, match="another environment"):
            other.set_state(state)


def test_subclass_that_only_chooses_its_bars_is_trained_in_the_compiled_environment(
    btc: Bars, training_values: MakeValues
) -> None:
    env = prepare(gymnasium.wrappers.OrderEnforcing(Bought(btc)), training_values())
    assert isinstance(env, VectorizedTradingEnv)
    assert isinstance(prepare(Same(btc, CONFIG), training_values()), TradingEnvCopies)
    assert isinstance(
        prepare(gymnasium.wrappers.TimeLimit(Bought(btc), 10), training_values()), TradingEnvCopies
    )


@pytest.mark.parametrize("algorithm", ["DQN", "PPO"])
def test_run_in_a_subclass_trains_on_its_reward_under_risk_and_says_so(
    btc: Bars,
    training_values: MakeValues,
    risk_policy: Path,
    caplog: pytest.LogCaptureFixture,
    algorithm: str,
) -> None:
    rewards: list[float] = []

    class Mine(Counting):
        """Defined where no other process could import it."""

        def step(self, action: Any) -> Any:
            result = super().step(action)
            rewards.append(result[1])
            return result

    values = training_values(
        algorithm,
        training_params={"total_timesteps": 256, "n_envs": 2},
        risk_config={
            "enabled": True,
            "policy_yaml": str(risk_policy),
            "early_stop_threshold": None,
            "lagrangian": {"constraints": {"max_drawdown": 1e-4}, "episodes": 2},
        },
        evaluation={"resamples": 100},
    )
    if algorithm == "DQN":
        values["algo_params"]["target_update_interval"] = 100
    with caplog.at_level(logging.WARNING):
        path = create_trainer_agent(values).run(Halved(Mine(btc, CONFIG)))

    assert len(rewards) == 256
    said = [record.getMessage() for record in caplog.records]
    assert sum("stepped in Python" in line for line in said) == 1
    metadata = read_bundle(path).metadata
    recorded: Any = metadata.training.config["environment_class"]
    assert recorded["class"].endswith("Mine")
    assert recorded["wrappers"] == [f"{__name__}.Halved"]
    assert recorded["changes"] == ["Halved", "reset", "step"]
    assert metadata.features is not None
    assert metadata.features.digest == Mine(btc, CONFIG).feature_spec.digest
    assert metadata.evaluation["constraint_satisfied"] == 0.0
    # Whoever trades it needs nothing of the class.
    assert read_contract((path / "metadata.json").read_text()).features.digest == (
        metadata.features.digest
    )


class Nan(IntradayTradingEnv):
    def step(self, action: Any) -> Any:
        observation, _, *rest = super().step(action)
        return observation, float("nan"), *rest


class Seeing(IntradayTradingEnv):
    def step(self, action: Any) -> Any:
        observation, *rest = super().step(action)
        return observation + 1.0, *rest


class Aside(IntradayTradingEnv):
    def reset(self, **named: Any) -> Any:
        observation, info = super().reset(**named)
        return observation[:-1], info


class Wide(IntradayTradingEnv):
    def __init__(self, bars: BarSeries) -> None:
        super().__init__(bars, CONFIG)
        self.action_space = gymnasium.spaces.Discrete(5)


class Rows(Same):
    def __init__(self, bars: BarSeries) -> None:
        super().__init__(bars, CONFIG)
        self.signal = np.zeros(len(bars))


class Locked(Same):
    def __init__(self, bars: BarSeries) -> None:
        super().__init__(bars, CONFIG)
        self.lock = threading.Lock()


class Steering(gymnasium.ActionWrapper[Any, Any, Any]):
    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def action(self, action: Any) -> Any:
        return int(action[0] > 0.0)


def replaced(bars: BarSeries) -> IntradayTradingEnv:
    env: Any = IntradayTradingEnv(bars, CONFIG)
    env.step = lambda _action: None
    return env  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda bars: Nan(bars, CONFIG), "a step of Nan gave the reward nan"),
        (lambda bars: Seeing(bars, CONFIG), "Seeing gave another observation than the features"),
        (lambda bars: Aside(bars, CONFIG), "Aside gave another observation than the features"),
        (Wide, r"Wide has the action_space Discrete\(5\), not Discrete\(3\)"),
        (
            lambda bars: Steering(IntradayTradingEnv(bars, CONFIG)),
            r"Steering\(IntradayTradingEnv\) has the action_space Box",
        ),
        (
            lambda bars: gymnasium.wrappers.FlattenObservation(
                gymnasium.wrappers.FrameStackObservation(IntradayTradingEnv(bars, CONFIG), 2)
            ),
            "has the observation_space Box",
        ),
        (Rows, "Rows.signal has a row for each of 3000 bars"),
        (Locked, "Locked cannot be copied for training: TypeError"),
        (replaced, "IntradayTradingEnv has step replaced on the object"),
    ],
)
def test_environment_that_production_could_not_feed_or_nobody_copy_is_refused_by_name(
    btc: Bars, training_values: MakeValues, make: Callable[[BarSeries], Any], says: str
) -> None:
    values = training_values("PPO")
    with pytest.raises(TrainingError, match=says):
        create_trainer_agent(values).run(make(btc))
    assert not BundleStore(values["store"]).root.exists()
    assert not Path(values["drafts"]).exists()


class Indexed(Same):
    """Keeps something made from its bars, and makes it anew."""

    def __init__(self, bars: BarSeries) -> None:
        super().__init__(bars, CONFIG)
        self.signal = np.arange(len(bars))

    def onto(self, bars: BarSeries) -> "Indexed":
        return Indexed(bars)


def test_subclass_that_overrides_onto_is_copied_by_it(btc: Bars) -> None:
    env = TradingEnvCopies(Indexed(btc), btc.slice(0, 1_000), n_envs=2)
    assert [len(each) for each in env.get_attr("signal")] == [1_000, 1_000]


def test_walk_forward_and_trials_train_in_the_subclass_too(
    btc: Bars, training_values: MakeValues
) -> None:
    values = training_values("PPO", evaluation={"resamples": 100})
    env = Nan(btc, CONFIG)
    with pytest.raises(TrainingError, match=r"Nan\)? gave the reward nan"):
        walk_forward(values, Halved(env), WalkForwardConfig(folds=2))
    config = parse_training_config(values, TrainingConfig)
    reporter = ProgressReporter(lambda _: None, 256)
    with pytest.raises(TrainingError, match=r"Nan\)? gave the reward nan"):
        train_and_judge(config, env, btc.slice(0, 2_000), btc.slice(2_000, 3_000), reporter)


class StopError(Exception):
    """The process ends here."""


@pytest.mark.parametrize("algorithm", ["DQN", "PPO"])
def test_training_in_a_subclass_resumed_ends_as_the_unbroken_one(
    btc: Bars, training_values: MakeValues, tmp_path: Path, algorithm: str
) -> None:
    values = training_values(
        algorithm,
        training_params={"total_timesteps": 512, "n_envs": 2, "normalize_observations": True},
        evaluation={"resamples": 100},
    )
    if algorithm == "DQN":
        values["algo_params"]["target_update_interval"] = 100
    trainer = create_trainer_agent(values)
    env = Halved(Counting(btc, CONFIG))
    unbroken = trainer.train(env).metadata

    def interrupt(timesteps: int) -> None:
        if timesteps >= 256:
            raise StopError

    saved = CheckpointSettings(folder=tmp_path / "saved", interval_timesteps=64)
    with pytest.raises(StopError):
        trainer.train(env, checkpointing=Checkpointing(saved, interrupt))
    resumed = trainer.train(env, checkpointing=Checkpointing(saved)).metadata
    assert resumed.sha256 == unbroken.sha256
    assert resumed.evaluation == unbroken.evaluation


class Unpicklable(Same):
    def __init__(self, bars: BarSeries) -> None:
        super().__init__(bars, CONFIG)
        self.rule = lambda: 1


def test_training_in_a_subclass_that_cannot_be_saved_says_so_before_it_learns(
    btc: Bars, training_values: MakeValues, tmp_path: Path
) -> None:
    settings = CheckpointSettings(folder=tmp_path / "saved", interval_timesteps=64)
    trainer = create_trainer_agent(training_values("PPO"))
    steps: list[int] = []
    with pytest.raises(TrainingError, match="Unpicklable cannot be saved: .*without checkpoints"):
        trainer.train(
            Unpicklable(btc),
            lambda progress: steps.append(progress.timesteps_done),
            Checkpointing(settings),
        )
    assert set(steps) == {0}


def test_environment_of_anybody_with_a_nan_reward_ends_the_training(
    training_values: MakeValues,
) -> None:
    class Nowhere(gymnasium.Env[Any, Any]):
        observation_space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)
        action_space = gymnasium.spaces.Discrete(2)

        def reset(self, **_: Any) -> Any:
            return np.zeros(3, dtype=np.float32), {}

        def step(self, _action: Any) -> Any:
            return np.zeros(3, dtype=np.float32), np.nan, False, False, {}

    training = {"total_timesteps": 256, "held_out_fraction": None}
    with pytest.raises(TrainingError, match="a step of Nowhere gave the reward nan"):
        create_trainer_agent(training_values("PPO", training_params=training)).run(Nowhere())


def test_record_of_a_stock_training_names_no_class(btc: Bars, training_values: MakeValues) -> None:
    values = training_values(evaluation=EvaluationConfig(resamples=100).model_dump())
    path = create_trainer_agent(values).run(IntradayTradingEnv(btc, CONFIG))
    assert (
        "environment_class"
        not in json.loads((path / "metadata.json").read_text())["training"]["config"]
    )
