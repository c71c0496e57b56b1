"""Constraints on held-out bars, over the horizon that training kept them over."""

from collections.abc import Mapping

import numpy as np

from tradewind.policy import Network
from tradewind.risk import RiskAgentV2, RiskPolicy
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv
from trainer_service.evaluation.episode import greedy

__all__ = ["judge_constraints"]


def judge_constraints(
    held_out: IntradayTradingEnv,
    training: EnvironmentConfig,
    network: Network,
    risk_policy: RiskPolicy,
    constraints: Mapping[str, float],
) -> dict[str, float]:
    """What constraints come to on held-out bars: in episodes as long as those of the training.

    A constraint is on the mean over episodes of what a metric is at their end. The drawdown of one
    episode over all of the held-out bars is another number, and larger: so the bars are cut into
    as many whole episodes as there are, one after the other, each with an account of its own.

    Args:
        held_out: The environment of the held-out bars.
        training: Settings of the training's environment, for the length of its episodes.
        network: The network as the bundle holds it.
        risk_policy: Settings of the risk calculators.
        constraints: Limits by metric.

    Returns:
        `held_out_constraint_<metric>` (mean of metric / limit; left out where no episode knows it),
        `held_out_constraint_episodes`, and `held_out_constraint_satisfied`: 1 when every mean is
        known and at most 1. Empty when the bars are too few for one episode.
    """
    first, last = held_out.feature_spec.lookback - 1, len(held_out.bars) - 1
    length = training.episode_bars or last - first
    starts = range(first, last - length + 1, length)
    if not len(starts):
        return {}
    episode = {"episode_bars": length, "random_start": False, "reward": "log_return"}
    settings = training.model_copy(update=episode)
    env = IntradayTradingEnv(held_out.bars, settings, held_out.feature_spec)
    choose, agent = greedy(network), RiskAgentV2(risk_policy)
    ends: dict[str, list[float]] = {name: [] for name in constraints}
    for start in starts:
        observation, _ = env.reset(options={"start": start})
        ended = False
        while not ended:
            observation, _, terminated, truncated, _ = env.step(choose(observation))
            ended = terminated or truncated
        values = agent.calculate_only(env.risk_inputs()).metric_values
        for name, limit in constraints.items():
            if name in values:
                ends[name].append(values[name] / limit)
    means = {name: float(np.mean(found)) for name, found in ends.items() if found}
    kept = len(means) == len(constraints) and all(mean <= 1.0 for mean in means.values())
    return {
        **{f"held_out_constraint_{name}": mean for name, mean in means.items()},
        "held_out_constraint_episodes": float(len(starts)),
        "held_out_constraint_satisfied": float(kept),
    }
