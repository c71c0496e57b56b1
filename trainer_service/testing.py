"""For the tests of whoever writes a reward."""

import numpy as np

from tradewind.errors import ComponentError, FieldViolation
from tradewind.market import BarSeries, load_sample
from tradewind.parts import check_version
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv, VectorizedTradingEnv
from trainer_service.environment.reward import REWARDS, Reward

__all__ = ["check_reward"]

_COPIES, _STEPS = 5, 300


def check_reward(reward: Reward, bars: BarSeries | None = None) -> None:
    """Checks that a reward is the same for one environment alone and for many together.

    Args:
        reward: The reward.
        bars: What is traded, at random; by default the beginning of the embedded sample of BTC.

    Raises:
        ComponentError: It is refused at the start of a training, or gives other numbers; the
            message says which, and after how many steps.
        TrainingError: It fails in an episode, or is no finite number.
    """
    check_version(REWARDS.kind, type(reward), "reward")
    bars = load_sample("BTC").slice(0, 1_000) if bars is None else bars
    config = EnvironmentConfig(
        reward=reward, actions="continuous", allow_short=True, episode_bars=100
    )
    together = VectorizedTradingEnv(bars, config, n_envs=_COPIES, stagger=False)
    alone = [IntradayTradingEnv(bars, config) for _ in range(_COPIES)]
    together.seed(5)
    together.reset()
    for row, env in enumerate(alone):
        env.reset(seed=5 + row)
    random = np.random.default_rng(5)
    for step in range(_STEPS):
        shape = (_COPIES, *(together.action_space.shape or ()))
        actions = random.uniform(-1.0, 1.0, shape).astype(np.float32)
        found = together.step(actions)[1]
        for row, env in enumerate(alone):
            _, wanted, terminated, truncated, _ = env.step(actions[row])
            if np.float32(wanted).tobytes() != found[row].tobytes():
                said = (
                    f"{reward.identity} gave {found[row]} after {step + 1} steps to an account "
                    f"among others, {np.float32(wanted)} to it alone"
                )
                raise ComponentError("reward is refused", [FieldViolation("reward", said)])
            if terminated or truncated:
                env.reset()
