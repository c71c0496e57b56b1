"""What a policy does on held-out bars, beside what anybody could do without one."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from tradewind.constants import ACTION_BUY, ACTION_HOLD
from tradewind.policy import TorchScriptNetwork
from tradewind.risk import RiskAgentV2, RiskInputs, RiskPolicy
from trainer_service.environment import IntradayTradingEnv

__all__ = ["evaluate", "record_observations"]

Observations = NDArray[np.float32]
Choose = Callable[[Observations], Any]
"""Observation to action."""

_RANDOM_RUNS = 8
_METRICS = ("max_drawdown", "expected_shortfall_95")
_SHORTEST_WINDOW = 20


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
    # The production calculators, with expected shortfall over all of the bars.
    window = {"window_bars": max(len(env.bars), _SHORTEST_WINDOW)}
    agent = RiskAgentV2(RiskPolicy.parse({"calculators": {"expected_shortfall": window}}))
    env.action_space.seed(seed)

    def run(choose: Choose) -> dict[str, float]:
        _play(env, choose)
        return _figures(agent, env.risk_inputs())

    observations = _play(env, _greedy(network))
    figures = _figures(agent, env.risk_inputs())
    random_runs = [run(lambda _: env.action_space.sample()) for _ in range(_RANDOM_RUNS)]
    baselines = {
        "buy_and_hold": run(lambda _: ACTION_BUY),
        "always_flat": run(lambda _: ACTION_HOLD),
        "random": {
            name: float(np.mean([figures[name] for figures in random_runs]))
            for name in set.intersection(*map(set, random_runs))
        },
    }
    for baseline, values in baselines.items():
        figures |= {f"{baseline}_{name}": values[name] for name in sorted(values)}
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


def _figures(agent: RiskAgentV2, account: RiskInputs) -> dict[str, float]:
    values = account.portfolio_values
    metrics = agent.calculate_only(account).metric_values
    return {
        "return": float(values[-1] / values[0] - 1.0),
        **{name: metrics[name] for name in _METRICS if name in metrics},
        "trades": float(len(account.trade_notionals)),
    }
