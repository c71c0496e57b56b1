import subprocess
import sys
import warnings
from typing import Literal

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_sb3

from tradewind.market import load_sample
from trainer_service.environment import (
    ENVIRONMENT_ID,
    EnvironmentConfig,
    IntradayTradingEnv,
    register_environments,
)


def test_make_in_a_fresh_process_imports_and_registers_by_itself() -> None:
    program = """
import gymnasium
env = gymnasium.make("trainer_service.environment:tradewind/IntradayTrading-v0")
print(env.unwrapped.symbol, env.reset(seed=1)[0].shape)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("BTC (27,)\n", "")


def test_register_again_changes_nothing() -> None:
    spec = gymnasium.registry[ENVIRONMENT_ID]
    register_environments()
    assert gymnasium.registry[ENVIRONMENT_ID] is spec


def test_make_with_arguments_hands_them_on() -> None:
    bars = load_sample("ETH").slice(0, 900)
    config = EnvironmentConfig(allow_short=True, episode_bars=100)
    env = gymnasium.make(ENVIRONMENT_ID, bars=bars, config=config).unwrapped
    assert isinstance(env, IntradayTradingEnv)
    assert env.bars.digest == bars.digest
    assert env.config == config


@pytest.mark.parametrize("allow_short", [False, True])
@pytest.mark.parametrize("actions", ["discrete", "continuous"])
def test_environment_passes_both_checkers_without_a_warning(
    allow_short: bool, actions: Literal["discrete", "continuous"]
) -> None:
    config = EnvironmentConfig(allow_short=allow_short, actions=actions)
    env = gymnasium.make(ENVIRONMENT_ID, config=config).unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Bounds that are not symmetric: without shorts there is nothing below flat.
        warnings.filterwarnings("ignore", message=".*symmetric and normalized")
        check_env(env)
        check_env_sb3(env)
