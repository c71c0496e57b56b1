"""Makes the bundles that every later release must still read.

    python tests/contract/bundle/make_store.py FOLDER

Run once per format version; the result is committed beside this file as store_v<version> and is
never made again. When the format grows, what is new is added to it. All networks have random
weights: what counts is the format, not the policy.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tradewind.bundle import (
    BoxSpace,
    BundleDraft,
    BundleStore,
    DiscreteSpace,
    Distribution,
    FeatureRecord,
    GoldenSet,
    RiskRecord,
    TrainingRecord,
)
from tradewind.policy import TorchScriptNetwork, measure_latency
from trainer_service.export import serialize

CREATED_AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
GOLDEN_COUNT = 16
LEAST_MARGIN = 0.01  # between the best two Q values: no processor's rounding changes the action


class QNetwork(nn.Module):
    """Six observed numbers, three actions."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(6, 8)
        self.out = nn.Linear(8, 3)

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return self.distribution(obs).argmax(dim=1)

    @torch.jit.export
    def distribution(self, obs: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self.out(torch.relu(self.hidden(obs)))
        return values


class GaussianNetwork(nn.Module):
    """A [2, 3] observation, an action of two numbers within the bounds."""

    bound: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(6, 8)
        self.out = nn.Linear(8, 4)
        self.register_buffer("bound", torch.tensor([1.0, 2.5]))

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        action: torch.Tensor = self.bound * torch.tanh(self.distribution(obs)[:, 0])
        return action

    @torch.jit.export
    def distribution(self, obs: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self.out(torch.tanh(self.hidden(obs.flatten(1))))
        return values.reshape(-1, 2, 2)


class DeterministicNetwork(nn.Module):
    """Four observed numbers, an action of one; its distribution is the action itself."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(4, 8)
        self.out = nn.Linear(8, 1)

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.out(torch.relu(self.hidden(obs))))

    @torch.jit.export
    def distribution(self, obs: torch.Tensor) -> torch.Tensor:
        return self.forward(obs)


def scripted(module: nn.Module) -> bytes:
    script = torch.jit.script(module.eval())
    return serialize(torch.jit.freeze(script, preserved_attrs=["distribution"]))


def golden(network: TorchScriptNetwork, observations: NDArray[np.float32]) -> GoldenSet:
    return GoldenSet(
        observations=observations,
        actions=network.act(observations)[0],
        distribution=network.distribution(observations)[0],
    )


def discrete_draft(generator: np.random.Generator) -> BundleDraft:
    policy_pt = scripted(QNetwork())
    network = TorchScriptNetwork(policy_pt)
    observations = generator.normal(size=(10 * GOLDEN_COUNT, 6)).astype(np.float32)
    q_values = np.sort(network.distribution(observations)[0], axis=1)
    clear = q_values[:, -1] - q_values[:, -2] > LEAST_MARGIN
    recorded = golden(network, observations[clear][:GOLDEN_COUNT])
    return BundleDraft(
        name="tiny-dqn",
        algo="SB3-DQN",
        policy_pt=policy_pt,
        golden=recorded,
        obs_space=BoxSpace(shape=(6,), low=-10.0, high=(10.0,) * 5 + (None,)),
        action_space=DiscreteSpace(n=3),
        distribution=Distribution(kind="q_values", exploration_rate=0.05),
        features=FeatureRecord(spec={"window": 2, "columns": ["return", "rsi"]}, digest="f" * 64),
        risk=RiskRecord(
            policy_digest="a" * 64,
            limits={"max_drawdown": 0.2},
            penalty_weight=0.1,
            early_stop_threshold=0.8,
        ),
        training=TrainingRecord(
            timesteps=1000,
            seed=7,
            data_digest="d" * 64,
            libraries={"torch": torch.__version__},
            parent_version="2026-11-21.3",
            config={"algorithm": "DQN", "algo_params": {"gamma": 0.99, "net_arch": [8]}},
        ),
        evaluation={"total_return": 0.0125, "max_drawdown": 0.03},
        slo=measure_latency(network, recorded.observations, trials=500),
        extra_files={"report.html": b"<!doctype html><title>tiny-dqn</title>\n"},
    )


def continuous_draft(generator: np.random.Generator) -> BundleDraft:
    policy_pt = scripted(GaussianNetwork())
    network = TorchScriptNetwork(policy_pt)
    observations = generator.normal(size=(GOLDEN_COUNT, 2, 3)).astype(np.float32)
    recorded = golden(network, observations)
    return BundleDraft(
        name="tiny-sac",
        algo="SB3-SAC",
        policy_pt=policy_pt,
        golden=recorded,
        obs_space=BoxSpace(shape=(2, 3)),
        action_space=BoxSpace(shape=(2,), low=(-1.0, -2.5), high=(1.0, 2.5)),
        distribution=Distribution(kind="squashed_gaussian"),
        training=TrainingRecord(timesteps=0),
        slo=measure_latency(network, recorded.observations, trials=500),
    )


def deterministic_draft(generator: np.random.Generator) -> BundleDraft:
    policy_pt = scripted(DeterministicNetwork())
    network = TorchScriptNetwork(policy_pt)
    observations = generator.normal(size=(GOLDEN_COUNT, 4)).astype(np.float32)
    recorded = golden(network, observations)
    return BundleDraft(
        name="tiny-td3",
        algo="SB3-TD3",
        policy_pt=policy_pt,
        golden=recorded,
        obs_space=BoxSpace(shape=(4,)),
        action_space=BoxSpace(shape=(1,), low=-1.0, high=1.0),
        distribution=Distribution(kind="deterministic"),
        training=TrainingRecord(timesteps=0),
        slo=measure_latency(network, recorded.observations, trials=500),
    )


def main() -> None:
    torch.manual_seed(7)
    generator = np.random.default_rng(7)
    store = BundleStore(Path(sys.argv[1]))
    for make in (discrete_draft, continuous_draft, deterministic_draft):
        draft = make(generator)
        print(store.publish(draft, created_at=CREATED_AT).path)


if __name__ == "__main__":
    main()
