"""QR-DQN and TQC that look at the tail of the return."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import sb3_contrib
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from tests.exporting import build_network
from tradewind.errors import SettingsError
from tradewind.policy import TorchScriptNetwork
from trainer_service.algorithms import find_algorithm
from trainer_service.algorithms.tail_learning import TailQRDQN, TailTQC
from trainer_service.export import script_policy, serialize


class Gamble(gymnasium.Env[NDArray[np.float32], Any]):
    """One decision an episode: a sure 1, or 4 with a chance of 70 % and -3 otherwise.

    The gamble is better on average (1.9 to 1) and worse in its lowest quarter (-3 to 1). A
    continuous action says how much to gamble: -1 nothing, 1 everything.
    """

    def __init__(self, *, continuous: bool) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = (
            spaces.Box(-1.0, 1.0, (1,), np.float32) if continuous else spaces.Discrete(2)
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        number = float(np.asarray(action).item())
        share = number if isinstance(self.action_space, spaces.Discrete) else (number + 1.0) / 2.0
        outcome = 4.0 if self.np_random.random() < 0.7 else -3.0
        return np.zeros(1, np.float32), (1.0 - share) + share * outcome, True, False, {}


def weights(model: Any) -> NDArray[np.float32]:
    return np.concatenate([part.detach().numpy().ravel() for part in model.policy.parameters()])


@pytest.mark.parametrize(
    ("ours", "theirs", "continuous"),
    [(TailQRDQN, sb3_contrib.QRDQN, False), (TailTQC, sb3_contrib.TQC, True)],
)
def test_tail_of_everything_is_the_algorithm_of_the_library(
    ours: Any, theirs: Any, continuous: bool, tmp_path: Path
) -> None:
    arguments = {"seed": 1, "learning_starts": 20, "buffer_size": 200, "batch_size": 8}
    found, expected = (
        kind(
            "MlpPolicy",
            Gamble(continuous=continuous),
            policy_kwargs={"net_arch": [8]},
            **arguments,
        ).learn(60)
        for kind in (ours, theirs)
    )
    np.testing.assert_array_equal(weights(found), weights(expected))

    tail = ours(
        "MlpPolicy",
        Gamble(continuous=continuous),
        policy_kwargs={"net_arch": [8], "cvar_alpha": 0.2},
        **arguments,
    ).learn(60)
    tail.save(tmp_path / "model")
    again = ours.load(tmp_path / "model")
    np.testing.assert_array_equal(weights(again), weights(tail))
    assert again.policy.cvar_alpha == 0.2


def qr_dqn(cvar_alpha: float) -> Any:
    return TailQRDQN(
        "MlpPolicy",
        Gamble(continuous=False),
        learning_rate=5e-3,
        learning_starts=100,
        buffer_size=2_000,
        batch_size=64,
        train_freq=2,
        target_update_interval=100,
        exploration_fraction=1.0,
        exploration_final_eps=0.5,
        seed=0,
        policy_kwargs={"net_arch": [16], "n_quantiles": 20, "cvar_alpha": cvar_alpha},
    ).learn(2_000)


def test_qr_dqn_with_a_tail_leaves_the_gamble_that_pays_on_average() -> None:
    observation = np.zeros((1, 1), np.float32)
    for cvar_alpha, action in ((1.0, 1), (0.25, 0)):
        model = qr_dqn(cvar_alpha)
        assert model.predict(observation, deterministic=True)[0] == [action]
        network = TorchScriptNetwork(serialize(script_policy(build_network(model)[0])))
        assert network.act(observation)[0] == [action]
        with torch.no_grad():
            quantiles = model.quantile_net(torch.from_numpy(observation))
        lowest = quantiles[:, : round(cvar_alpha * 20)].mean(dim=1).numpy()
        np.testing.assert_allclose(network.distribution(observation)[0], lowest, atol=1e-6)


def test_tqc_with_a_tail_shows_its_actor_the_lowest_quantiles_of_all_critics() -> None:
    model = TailTQC(
        "MlpPolicy",
        Gamble(continuous=True),
        policy_kwargs={"net_arch": [8], "n_quantiles": 10, "n_critics": 3, "cvar_alpha": 0.2},
    )
    observations, actions = torch.zeros(4, 1), torch.linspace(-1.0, 1.0, 4)[:, None]
    every = model.critic(observations, actions)
    assert every.shape == (4, 3, 10)
    shown = model.critic(observations, actions.requires_grad_())
    lowest = np.sort(every.detach().numpy().reshape(4, 30))[:, :6]
    np.testing.assert_array_equal(shown.detach().numpy()[:, 0], lowest)
    # What TQC.train makes of it is what the actor climbs.
    climbed = shown.mean(dim=2).mean(dim=1)
    np.testing.assert_allclose(climbed.detach().numpy(), lowest.mean(axis=1), rtol=1e-6)
    assert torch.autograd.grad(climbed.sum(), actions)[0].abs().sum() > 0.0


@pytest.mark.parametrize("algorithm", ["QR-DQN", "TQC"])
@pytest.mark.parametrize("cvar_alpha", [0.0, 1.5, 0.001])
def test_tail_that_is_empty_or_more_than_all_is_refused(algorithm: str, cvar_alpha: float) -> None:
    complete: Callable[..., Any] = find_algorithm(algorithm).complete
    with pytest.raises(SettingsError, match="cvar_alpha"):
        complete({"policy_kwargs": {"cvar_alpha": cvar_alpha}}, 1, 10_000)
