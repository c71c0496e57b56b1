"""What no bundle can hold is refused, and which extractors of one's own it can."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import TQC, RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO, SAC
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import Tensor, nn

from tests.exporting import OWN, build_network, check_exportable
from tradewind.errors import ExportError
from tradewind.policy import TorchScriptNetwork
from trainer_service import export
from trainer_service.export import script_policy, serialize


class Diverging(BaseFeaturesExtractor):
    """A user's own extractor that does something else once it is a script."""

    def forward(self, observations: Tensor) -> Tensor:
        scripted: bool = torch.jit.is_scripting()  # type: ignore[attr-defined]
        return -observations if scripted else observations


class Dropping(BaseFeaturesExtractor):
    """A user's own extractor that TorchScript can express."""

    def __init__(self, observation_space: spaces.Box, rate: float) -> None:
        super().__init__(observation_space, 5)
        self.linear = nn.Linear(4, 5)
        self.drop = nn.Dropout(rate)

    def forward(self, observations: Tensor) -> Tensor:
        features = self.drop(self.linear(observations))
        if bool(features.sum() > 0.0):
            features = features.abs()
        ordered: Tensor = features.sort(dim=1).values
        return ordered


class Listing(BaseFeaturesExtractor):
    """A user's own extractor that it cannot express."""

    def forward(self, observations: Tensor) -> Tensor:
        return torch.stack([value for value in {"a": observations}.values() if value is not None])


class CallingPython(BaseFeaturesExtractor):
    """One that it compiles, with a call that no file can hold."""

    def forward(self, observations: Tensor) -> Tensor:
        features: Tensor = self.outside(observations)
        return features

    @torch.jit.ignore  # type: ignore[untyped-decorator]
    def outside(self, observations: Tensor) -> Tensor:
        return observations


class Counting(BaseFeaturesExtractor):
    """One that remembers, so that its answers depend on more than the observation."""

    calls: Tensor

    def __init__(self, observation_space: spaces.Box, features_dim: int) -> None:
        super().__init__(observation_space, features_dim)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, observations: Tensor) -> Tensor:
        return observations + self.calls.add_(1.0)


class Looping(BaseFeaturesExtractor):
    """One that may never end."""

    def forward(self, observations: Tensor) -> Tensor:
        while bool(observations.abs().max() > 1e6):
            observations = observations / 2.0
        return observations


def with_extractor(extractor: type[BaseFeaturesExtractor], **arguments: Any) -> Any:
    chosen = {"features_extractor_class": extractor, "features_extractor_kwargs": arguments}
    env = DummyVecEnv([lambda: gymnasium.make("CartPole-v1")])
    return DQN("MlpPolicy", env, policy_kwargs=chosen, device="cpu", buffer_size=10, seed=1)


def test_custom_extractor_that_can_be_scripted_is_exported() -> None:
    model = with_extractor(Dropping, rate=0.5)
    observations = np.random.default_rng(0).normal(0.0, 2.0, (100, 4)).astype(np.float32)

    check_exportable(model)

    network = TorchScriptNetwork(serialize(script_policy(build_network(model)[0])))
    expected, _ = model.predict(observations, deterministic=True)
    np.testing.assert_array_equal(network.act(observations)[0], expected)


@pytest.mark.parametrize(
    ("extractor", "says"),
    [
        (Listing, "cannot be scripted"),
        (CallingPython, "cannot be saved"),
        (Diverging, "differs from the model"),
        (Counting, "changes a weight in place"),
        (Looping, "uses while at"),
    ],
)
def test_custom_extractor_that_no_bundle_can_hold_is_refused_before_training(
    extractor: type[BaseFeaturesExtractor], says: str
) -> None:
    model = with_extractor(extractor, features_dim=4)

    with pytest.raises(ExportError, match=says):
        check_exportable(model)


class ImageEnv(gymnasium.Env[Any, int]):
    observation_space = spaces.Box(0, 255, (8, 8, 3), np.uint8)
    action_space: spaces.Space[Any] = spaces.Discrete(2)

    def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        return self.observation_space.sample(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, False, {}


def test_build_network_with_image_observations_is_refused() -> None:
    model = DQN("MlpPolicy", DummyVecEnv([ImageEnv]), device="cpu", buffer_size=10)

    with pytest.raises(ExportError, match="needs Box observations of float32"):
        build_network(model)


def test_build_network_with_several_discrete_choices_is_refused() -> None:
    env = ImageEnv()
    env.observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
    env.action_space = spaces.MultiDiscrete([2, 3])
    model = A2C("MlpPolicy", DummyVecEnv([lambda: env]), device="cpu")

    with pytest.raises(ExportError, match="MultiCategoricalDistribution"):
        build_network(model)


def test_build_network_with_recurrent_policy_is_refused() -> None:
    env = DummyVecEnv([lambda: gymnasium.make("CartPole-v1")])
    model = RecurrentPPO("MlpLstmPolicy", env, device="cpu", n_steps=16, batch_size=16)

    with pytest.raises(ExportError, match="no export is known for a Recurrent"):
        export.build_network(OWN["PPO"], model)


@pytest.mark.parametrize("algorithm", [SAC, TQC])
def test_build_network_of_soft_actor_with_state_dependent_exploration_is_refused(
    algorithm: Any,
) -> None:
    env = DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")])
    model = algorithm("MlpPolicy", env, use_sde=True, device="cpu", buffer_size=10)

    with pytest.raises(ExportError, match="StateDependentNoiseDistribution"):
        build_network(model)


def test_build_network_with_state_dependent_exploration_is_refused() -> None:
    env = DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")])
    model = PPO("MlpPolicy", env, use_sde=True, device="cpu", n_steps=32, batch_size=32)

    with pytest.raises(ExportError, match="StateDependentNoiseDistribution"):
        build_network(model)
