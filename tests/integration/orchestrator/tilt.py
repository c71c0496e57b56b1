"""A continuous policy of one symbol or several that was not trained, and what publishes it."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from tests.integration.orchestrator.conftest import SPEC, TERMS
from tradewind.bundle import BoxSpace, Distribution, FeatureRecord, GoldenSet
from tradewind.market import FeatureSpec
from trainer_service.export import serialize

__all__ = ["publish_tilt"]


class Tilt(nn.Module):
    """Goes to positions of its own for each observation; the larger the gain, the larger they are.

    Args:
        symbol_count: How many positions.
        size: Numbers of an observation.
        gain: Factor on what goes into tanh.
    """

    def __init__(self, symbol_count: int, size: int, gain: float) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layer = nn.Linear(size, symbol_count)
        self.gain = gain

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.gain * self.layer(obs))

    @torch.jit.export
    def distribution(self, obs: torch.Tensor) -> torch.Tensor:
        return self.forward(obs)


def publish_tilt(
    publish: Callable[..., str],
    name: str = "tilt",
    *,
    symbols: tuple[str, ...] = (),
    gain: float = 1.0,
    features: FeatureSpec = SPEC,
) -> None:
    """Publishes such a policy by what `publisher` gave; no symbols are one of any name."""
    count = len(symbols) or 1
    size = count * features.observation_size
    module = Tilt(count, size, gain).eval()
    observations = np.random.default_rng(3).normal(size=(16, size)).astype(np.float32)
    with torch.no_grad():
        answers = module(torch.from_numpy(observations)).numpy()
    spec = features.model_dump(mode="json")
    publish(
        terms=TERMS.model_copy(update={"actions": "continuous"}),
        features=FeatureRecord(spec=spec, digest=features.digest, symbols=symbols),
        name=name,
        algo="SB3-TD3",
        policy_pt=serialize(torch.jit.script(module)),
        golden=GoldenSet(observations, answers, answers),
        obs_space=BoxSpace(shape=(size,)),
        action_space=BoxSpace.from_bounds((count,), -1.0, 1.0),
        distribution=Distribution(kind="deterministic"),
    )
