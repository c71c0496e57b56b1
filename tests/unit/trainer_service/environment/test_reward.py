"""Rewards of anyone's own: the same alone and among others, and what is refused of them."""

import itertools
import json
import pickle
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import Field

from tradewind.errors import ComponentError, ConflictError, SettingsError, TrainingError
from tradewind.market import BarPanel, Bars, load_sample
from tradewind.settings import parse_settings
from trainer_service.environment import (
    EnvironmentConfig,
    IntradayTradingEnv,
    Reward,
    RewardWindow,
    TradingEnvCopies,
    VectorizedTradingEnv,
)
from trainer_service.environment.config import EnvironmentSettings
from trainer_service.environment.reward import check_reward_function
from trainer_service.testing import check_reward
from trainer_service.training.workspace import held_out_episode


class Growth(Reward):
    """The last log return of equity less a price for what is traded: as the compiled one."""

    name: ClassVar[str] = "growth"
    version: ClassVar[int] = 3

    price: float = Field(default=0.0, ge=0.0)

    @property
    def lookback(self) -> int:
        return 1

    def rewards(self, window: RewardWindow) -> Any:
        growth = np.log(np.maximum(window.equity[:, -1] / window.equity[:, -2], 1e-4))
        return growth - self.price * window.traded[:, -1] / window.equity[:, -2]


class Seen(Growth):
    """Tells what it is given."""

    name: ClassVar[str] = "seen"
    given: ClassVar[list[RewardWindow]] = []

    @property
    def lookback(self) -> int:
        return 3

    def rewards(self, window: RewardWindow) -> Any:
        columns: Any = [array.copy() for array in window]
        Seen.given.append(RewardWindow(*columns))
        return window.steps


class Broken(Growth):
    name: ClassVar[str] = "broken"
    answer: ClassVar[Any] = None

    def rewards(self, window: RewardWindow) -> Any:
        return type(self).answer(window)


def broken(answer: Any, **declared: Any) -> Reward:
    words = {"answer": staticmethod(answer), "__module__": __name__, **declared}
    made: Reward = type("Chosen", (Broken,), words)()
    return made


SETTINGS: dict[str, Any] = {"episode_bars": 40, "actions": "continuous", "allow_short": True}


@pytest.mark.parametrize("reward", [Growth(), Growth(price=0.5), Seen()])
def test_reward_is_the_same_alone_and_among_others(reward: Reward) -> None:
    check_reward(reward)


def test_reward_of_several_symbols_is_the_same_alone_and_among_others() -> None:
    bars = BarPanel.align([load_sample(name).slice(0, 2_000) for name in ("BTC", "ETH")])
    check_reward(Growth(price=0.1), bars)


def test_reward_that_calculates_what_the_compiled_step_does_gives_its_numbers(btc: Bars) -> None:
    own, compiled = (
        VectorizedTradingEnv(
            btc, EnvironmentConfig(**SETTINGS, reward=reward, reward_scale=50.0), n_envs=4
        )
        for reward in (Growth(), "log_return")
    )
    random = np.random.default_rng(0)
    for env in (own, compiled):
        env.seed(1)
        env.reset()
    for _ in range(120):
        actions = random.uniform(-1.0, 1.0, (4, 1)).astype(np.float32)
        found, wanted = own.step(actions), compiled.step(actions)
        np.testing.assert_allclose(found[1], wanted[1], rtol=1e-5, atol=1e-9)
        for row in np.flatnonzero(found[2]):
            ours, theirs = found[3][row]["episode"], wanted[3][row]["episode"]
            assert ours["r"] == pytest.approx(theirs["r"], abs=1e-5)


def test_reward_sees_the_last_steps_of_each_account_and_cash_before_its_episode(btc: Bars) -> None:
    env = IntradayTradingEnv(btc, EnvironmentConfig(**SETTINGS, reward=Seen()))
    env.reset(options={"start": 500})
    Seen.given.clear()
    infos = [env.step(np.array([target], dtype=np.float32))[4] for target in (1.0, 1.0, -0.5, 0.0)]
    first, *_, last = Seen.given
    cash = env.config.initial_cash
    assert first.equity.tolist() == [[cash, cash, cash, infos[0]["equity"]]]
    assert first.exposure[0, :3].tolist() == [0.0, 0.0, 0.0]
    assert first.exposure[0, 3] == pytest.approx(1.0, abs=0.02)
    assert first.traded[0, :2].tolist() == [0.0, 0.0]
    assert first.traded[0, 2] == infos[0]["quantity_traded"] * infos[0]["fill_price"]
    assert last.equity.tolist() == [[info["equity"] for info in infos]]
    assert last.traded[0, 0] == 0.0  # below the threshold, so nothing was traded
    assert last.traded[0, 2] == abs(infos[3]["quantity_traded"]) * infos[3]["fill_price"]
    assert [window.steps.tolist() for window in Seen.given] == [[1], [2], [3], [4]]
    env.reset(options={"start": 500})
    env.step(np.array([1.0], dtype=np.float32))
    assert Seen.given[-1].equity.tolist() == first.equity.tolist()


def test_copies_with_an_own_reward_pickled_go_on_with_the_same_bits(btc: Bars) -> None:
    class Same(IntradayTradingEnv):
        def step(self, action: Any) -> Any:
            return super().step(action)

    config = EnvironmentConfig(**SETTINGS, reward=Growth(price=0.2))
    for make in (
        lambda: VectorizedTradingEnv(btc, config, n_envs=3),
        lambda: TradingEnvCopies(Same(btc, config), btc, n_envs=3),
    ):
        env, resumed = make(), make()
        env.seed(4)
        env.reset()
        draws = np.random.default_rng(0).uniform(-1.0, 1.0, (90, 3, 1)).astype(np.float32)
        for chosen in draws[:50]:
            env.step(chosen)
        resumed.set_state(pickle.loads(pickle.dumps(env.get_state())))
        for chosen in draws[50:]:
            ours, theirs = env.step(chosen), resumed.step(chosen)
            assert np.asarray(ours[1]).tobytes() == np.asarray(theirs[1]).tobytes()
            for row in np.flatnonzero(ours[2]):
                assert ours[3][row]["episode"]["r"] == theirs[3][row]["episode"]["r"]


def test_state_of_copies_with_another_version_of_the_reward_is_refused(btc: Bars) -> None:
    class Newer(Growth):
        version: ClassVar[int] = 4

    old, new = (
        VectorizedTradingEnv(btc, EnvironmentConfig(**SETTINGS, reward=reward), n_envs=2)
        for reward in (Growth(), Newer())
    )
    old.reset()
    with pytest.raises(ConflictError, match="another environment"):
        new.set_state(old.get_state())


COUNT = itertools.count()


def remembers(window: RewardWindow) -> Any:
    return window.steps + float(next(COUNT))


def writes(window: RewardWindow) -> Any:
    window.equity[:] = 1.0
    return window.steps


def unlocks(window: RewardWindow) -> Any:
    whole: Any = window.equity.base
    whole[:] = 3.0
    return window.steps


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        (broken(lambda window: window.steps[:-1]), r"gave rewards of shape \(6,\), not \(7,\)"),
        (broken(lambda _: 1.0), r"gave rewards of shape \(\), not \(7,\)"),
        (broken(lambda _: "much"), "raised ValueError .*: could not convert"),
        (broken(lambda _: None), r"of shape \(\), not \(7,\)"),
        (broken(lambda window: window.steps / 0.0), "gave inf after step 1 of an episode"),
        (broken(lambda window: window.steps * 1e39), "no finite number of 32 bits"),
        (broken(lambda window: window.steps * np.nan), "gave nan after step 1"),
        (broken(lambda window: vars(window)), "broken@3 raised TypeError .*: vars"),
        (broken(remembers), "function of its last 1 steps alone|remembers"),
        (broken(writes), "assignment destination is read-only"),
        (broken(unlocks), "writes to what it is given"),
        (
            broken(lambda window: window.equity[:, -1] - window.equity[:, -1].mean()),
            "for an account among others and .* for it alone",
        ),
        (broken(lambda w: w.steps, lookback=property(lambda _: 0)), "has the lookback 0"),
        (broken(lambda w: w.steps, lookback=property(lambda _: None)), "has the lookback None"),
        (broken(lambda w: w.steps, lookback=property(lambda _: 1 // 0)), "ZeroDivisionError"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_reward_that_breaks_its_word_is_refused_before_it_is_used(
    reward: Reward, said: str, btc: Bars
) -> None:
    with pytest.raises(ComponentError, match=said) as refusal:
        check_reward_function(reward)
    assert "reward is refused: environment.reward: broken@3 " in str(refusal.value)
    with pytest.raises(ComponentError, match=said):
        IntradayTradingEnv(btc, EnvironmentConfig(reward=reward))


def explodes(window: RewardWindow) -> Any:
    return np.where(window.steps == 30, np.inf, 1.0)


def test_reward_that_explodes_in_an_episode_ends_the_training_with_the_step(btc: Bars) -> None:
    config = EnvironmentConfig(reward=broken(explodes), episode_bars=50)
    env = IntradayTradingEnv(btc, config)
    env.reset(seed=1)
    copies = VectorizedTradingEnv(btc, config, n_envs=3, stagger=False)
    copies.reset()
    for _ in range(29):
        env.step(2)
        copies.step(np.full(3, 2))
    for step in (lambda: env.step(2), lambda: copies.step(np.full(3, 2))):
        with pytest.raises(TrainingError, match="broken@3 gave inf after step 30 of an episode"):
            step()


def test_evaluation_asks_no_reward_of_ones_own(btc: Bars) -> None:
    env = IntradayTradingEnv(btc, EnvironmentConfig(reward=Growth(), episode_bars=40))
    assert held_out_episode(env, btc.slice(0, 2_000)).config.reward == "log_return"


def test_configuration_names_a_reward_and_a_bundle_records_its_version() -> None:
    named = {"kind": f"{__name__}:Growth", "options": {"price": 0.25}}
    settings = parse_settings({"reward": named}, EnvironmentSettings)
    assert settings.reward == Growth(price=0.25)
    assert json.loads(settings.model_dump_json())["reward"] == named
    again = parse_settings(json.loads(settings.model_dump_json()), EnvironmentSettings)
    assert again == settings
    assert EnvironmentSettings.model_validate(settings.model_dump()) == settings
    recorded = json.loads(settings.made().model_dump_json())["reward"]
    assert recorded == {"name": "growth", "version": 3, "options": {"price": 0.25}}
    for value in (recorded, named, f"{__name__}:Growth", "other"):
        with pytest.raises(SettingsError, match="reward: .*must be log_return, simple_return, or"):
            parse_settings({"reward": value}, EnvironmentConfig)
    for plain in ("log_return", "simple_return"):
        assert parse_settings({"reward": plain}, EnvironmentSettings).reward == plain


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("sharpe", "there is no reward 'sharpe'"),
        ({"kind": f"{__name__}:Growth", "options": {"prise": 1}}, "growth: prise: Extra inputs"),
        (
            {"kind": f"{__name__}:Growth", "options": {"price": -1}},
            "price: .*greater than",
        ),
        ({"price": 1}, r"must be a name, or \{kind: NAME, options: \{...\}\}"),
        ({"kind": f"{__name__}:Growth", "price": 1}, "must be a name, or"),
        ({"kind": f"{__name__}:Growth", "options": 1}, "growth: "),
        ({"kind": 3}, "must be a name"),
        ([1], "must be a name"),
        (f"{__name__}:SETTINGS", "is dict .*; expected: a subclass of .*Reward"),
        (f"{__name__}:Reward", "has the name None"),
        ("no_such_module_at_all:Reward", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_configuration_of_a_reward_that_cannot_be_had_is_refused(value: Any, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refusal:
        parse_settings({"reward": value}, EnvironmentSettings)
    assert "reward: " in str(refusal.value)
