"""What a policy does on held-out bars, beside what anybody could do without one."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from tradewind.constants import ACTION_BUY, ACTION_HOLD
from tradewind.policy import TorchScriptNetwork
from tradewind.risk import RiskInputs
from tradewind.risk.curve import summarize_curve
from trainer_service.environment import IntradayTradingEnv

__all__ = ["evaluate", "record_observations"]

Observations = NDArray[np.float32]
Choose = Callable[[Observations], Any]
"""Observation to action."""

_RANDOM_RUNS = 8


def evaluate(
    env: IntradayTradingEnv, network: TorchScriptNetwork, seed: int
) -> tuple[dict[str, float], Observations]:
    """Runs an exported policy and its baselines over held-out bars, costs included.

    The baselines are buy-and-hold, always flat, and uniformly random actions (means of eight
    runs).

    Args:
        env: One episode over the held-out bars.
        network: The network as the bundle holds it.
        seed: Seeds the random actions.

    Returns:
        Figures by name, those of a baseline under its prefix (`buy_and_hold_return`): `return`,
        `max_drawdown` and `expected_shortfall_95` as fractions (by RiskAgentV2, over all of the
        bars) and `trades`; a figure that cannot be calculated is left out. And the observations
        that the policy saw. Shape [steps, observation].
    """
    env.action_space.seed(seed)

    def run(env: IntradayTradingEnv, choose: Choose) -> dict[str, float]:
        _play(env, choose)
        return _figures(env.risk_inputs())

    observations = _play(env, _greedy(network))
    figures = _figures(env.risk_inputs())
    holding = env
    if env.config.actions != "discrete":
        # No continuous action keeps a quantity.
        terms = env.config.model_copy(update={"actions": "discrete"})
        holding = IntradayTradingEnv(env.bars, terms, env.feature_spec)
    chance = [run(env, lambda _: env.action_space.sample()) for _ in range(_RANDOM_RUNS)]
    baselines = {
        "buy_and_hold": run(holding, lambda _: ACTION_BUY),
        "always_flat": run(holding, lambda _: ACTION_HOLD),
        "random": _means(chance),
    }
    for baseline, values in baselines.items():
        figures |= {f"{baseline}_{name}": value for name, value in values.items()}
    return figures, observations


def record_observations(
    env: gymnasium.Env[Any, Any], network: TorchScriptNetwork, count: int, seed: int
) -> Observations:
    """What a policy sees in an environment, over as many episodes as it takes.

    Args:
        env: The environment.
        network: The network as the bundle holds it.
        count: How many observations.
        seed: Seeds the first episode.

    Returns:
        Shape [count, *observation].
    """
    parts = [_play(env, _greedy(network), seed, count)]
    while sum(map(len, parts)) < count:
        parts.append(_play(env, _greedy(network), None, count - sum(map(len, parts))))
    return np.concatenate(parts)


def _greedy(network: TorchScriptNetwork) -> Choose:
    return lambda observation: network.act(observation[np.newaxis])[0][0]


def _play(
    env: gymnasium.Env[Any, Any],
    choose: Choose,
    seed: int | None = None,
    max_steps: int | None = None,
) -> Observations:
    """Plays one episode, or its first steps, and gives what was seen before each step."""
    observation, _ = env.reset(seed=seed)
    seen: list[Observations] = []
    ended = False
    while not ended and len(seen) != max_steps:
        seen.append(observation)
        observation, _, terminated, truncated, _ = env.step(choose(observation))
        ended = terminated or truncated
    return np.stack(seen)


def _figures(account: RiskInputs) -> dict[str, float]:
    curve = summarize_curve(account.portfolio_values, account.timestamps)
    figures = {"return": curve.total_return, "max_drawdown": curve.max_drawdown}
    if curve.expected_shortfall_95 is not None:
        figures["expected_shortfall_95"] = curve.expected_shortfall_95
    figures["trades"] = float(np.count_nonzero(account.trade_notionals))
    return figures


def _means(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([run[name] for run in runs])) for name in runs[0]}
