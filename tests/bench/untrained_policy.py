"""Publishes a policy that was never trained: `python -m tests.bench.untrained_policy STORE`."""

import sys
from pathlib import Path

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import PPO

from tests.bench.bench_orchestrator import SPEC, SYMBOLS, TERMS
from tests.exporting import build_network
from tradewind.bundle import (
    BoxSpace,
    BundleDraft,
    BundleStore,
    DiscreteSpace,
    FeatureRecord,
    GoldenSet,
    TrainingRecord,
)
from tradewind.market import Bars, load_sample, split_bars
from tradewind.policy import TorchScriptNetwork, choose_network, measure_latency
from trainer_service.export import script_policy, serialize

LAYERS = [64, 64]


class Market(gymnasium.Env[NDArray[np.float32], np.int64]):
    """The spaces of the trading environment; the network is never trained here."""

    observation_space = gymnasium.spaces.Box(
        -SPEC.clip, SPEC.clip, (SPEC.observation_size,), np.float32
    )
    action_space = gymnasium.spaces.Discrete(3)


def make_draft(bars: Bars) -> BundleDraft:
    """A bundle of an untrained policy for the bars of any symbol."""
    model = PPO("MlpPolicy", Market(), policy_kwargs={"net_arch": LAYERS}, seed=2, n_steps=64)
    layers, distribution = build_network(model)
    policy_pt = serialize(script_policy(layers))
    network = TorchScriptNetwork(policy_pt)
    draws = np.random.default_rng(1).normal(size=(64, SPEC.observation_size))
    observations = draws.astype(np.float32)
    golden = GoldenSet(
        observations, network.act(observations)[0], network.distribution(observations)[0]
    )
    space = BoxSpace.from_bounds((SPEC.observation_size,), -SPEC.clip, SPEC.clip)
    return BundleDraft(
        name="bench",
        algo="SB3-PPO",
        policy_pt=policy_pt,
        golden=golden,
        obs_space=space,
        action_space=DiscreteSpace(n=3),
        distribution=distribution,
        features=FeatureRecord(spec=SPEC.model_dump(mode="json"), digest=SPEC.digest),
        training=TrainingRecord(
            timesteps=0,
            data_digest=bars.digest,
            config={"environment": TERMS.model_dump(mode="json")},
        ),
        slo=measure_latency(choose_network(network, space, golden)[0], observations),
    )


def main() -> None:
    """Publishes it as `bench`."""
    bars = split_bars(load_sample(SYMBOLS[0]), 0.2)[1]
    BundleStore(Path(sys.argv[1])).publish(make_draft(bars))


if __name__ == "__main__":
    main()
