from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.scripting import script
from tradewind.bundle import (
    ActionSpace,
    BoxSpace,
    BundleDraft,
    BundleStore,
    DiscreteSpace,
    Distribution,
    GoldenSet,
    SloRecord,
    TrainingRecord,
)

OBSERVATION_SHAPE = (3, 2)


class DiscreteNetwork(nn.Module):
    """Q values of three actions."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(6, 16)
        self.out = nn.Linear(16, 3)

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return self.distribution(obs).argmax(dim=1)

    @torch.jit.export
    def distribution(self, obs: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self.out(torch.relu(self.hidden(obs.flatten(1))))
        return values


class GaussianNetwork(nn.Module):
    """Mean and log standard deviation of two numbers; acts with the squashed mean."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(6, 16)
        self.out = nn.Linear(16, 4)

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.distribution(obs)[:, 0])

    @torch.jit.export
    def distribution(self, obs: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self.out(torch.tanh(self.hidden(obs.flatten(1))))
        return values.reshape(-1, 2, 2)


def make_draft(
    module: DiscreteNetwork | GaussianNetwork, action_space: ActionSpace, distribution: Distribution
) -> BundleDraft:
    generator = np.random.default_rng(5)
    observations = generator.normal(size=(6, *OBSERVATION_SHAPE)).astype(np.float32)
    with torch.no_grad():
        tensor = torch.from_numpy(observations)
        golden = GoldenSet(
            observations=observations,
            actions=module(tensor).numpy(),
            distribution=module.distribution(tensor).numpy(),
        )
    return BundleDraft(
        name="tiny",
        algo="test",
        policy_pt=script(module),
        golden=golden,
        obs_space=BoxSpace(shape=OBSERVATION_SHAPE),
        action_space=action_space,
        distribution=distribution,
        training=TrainingRecord(timesteps=0),
        slo=SloRecord(where="test", p50_us=1.0, p99_us=2.0, p999_us=3.0, trials=1),
    )


@pytest.fixture
def discrete_draft() -> BundleDraft:
    torch.manual_seed(1)
    return make_draft(
        DiscreteNetwork(),
        DiscreteSpace(n=3),
        Distribution(kind="q_values", exploration_rate=0.25),
    )


@pytest.fixture
def gaussian_draft() -> BundleDraft:
    torch.manual_seed(2)
    return make_draft(
        GaussianNetwork(),
        BoxSpace(shape=(2,), low=-1.0, high=1.0),
        Distribution(kind="squashed_gaussian"),
    )


@pytest.fixture
def publish(tmp_path: Path) -> Callable[[BundleDraft], Path]:
    """Publishes into a store of the test's own and gives the folder of the version."""

    def publish(draft: BundleDraft) -> Path:
        return BundleStore(tmp_path / "store").publish(draft).path

    return publish


@pytest.fixture
def script_module() -> Callable[[nn.Module], bytes]:
    return script
