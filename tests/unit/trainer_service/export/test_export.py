"""Exported networks against the Stable-Baselines3 models they come from."""

import io
import os
import subprocess
import sys
import zipfile
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from sb3_contrib import QRDQN
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize
from torch import nn

from tests.exporting import build_network, verify_policy
from tradewind.errors import ExportError
from tradewind.policy import TorchScriptNetwork
from trainer_service.export import script_policy, serialize
from trainer_service.export.modules import (
    DeterministicPolicyNetwork,
    GaussianPolicyNetwork,
    ObservationNormalizer,
    SquashedGaussianPolicyNetwork,
)

# Stable-Baselines3 types the parts of its models too loosely to be used without Any.
Models = dict[tuple[Any, ...], Any]

CASES = [
    (algorithm, env, normalized)
    for algorithm, env in ((DQN, "CartPole-v1"), (PPO, "CartPole-v1"), (PPO, "Pendulum-v1"))
    for normalized in (False, True)
]


def make_env(env_id: str, *, normalized: bool) -> VecEnv:
    env = DummyVecEnv([lambda: gymnasium.make(env_id)] * 2)
    return VecNormalize(env, clip_obs=1.5) if normalized else env


def train(algorithm: Any, env: VecEnv, **parameters: Any) -> Any:
    sizes = {"n_steps": 32, "batch_size": 32} if algorithm is PPO else {"learning_starts": 32}
    return algorithm("MlpPolicy", env, seed=1, device="cpu", **sizes, **parameters).learn(256)


def sample_observations(model: Any, count: int = 1000) -> NDArray[np.float32]:
    shape = (count, *model.observation_space.shape)
    return np.random.default_rng(0).normal(0.0, 2.0, shape).astype(np.float32)


@pytest.fixture(scope="module")
def models() -> Models:
    return {case: train(case[0], make_env(case[1], normalized=case[2])) for case in CASES}


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: "-".join(map(str, (case[0].__name__, *case[1:])))
)
def test_exported_network_loaded_from_its_bytes_acts_as_the_model(
    models: Models, case: tuple[Any, ...]
) -> None:
    model = models[case]
    observations = sample_observations(model)
    statistics = model.get_vec_normalize_env()
    inputs = statistics.normalize_obs(observations) if statistics else observations
    expected, _ = model.predict(inputs, deterministic=True)

    network, _ = build_network(model)
    load: Any = torch.jit.load
    script = load(io.BytesIO(serialize(script_policy(network))))
    with torch.inference_mode():
        actions = script(torch.from_numpy(observations)).numpy()

    if isinstance(model.action_space, spaces.Discrete):
        assert actions.dtype == np.int64
        np.testing.assert_array_equal(actions, expected)
    else:
        assert actions.dtype == np.float32
        np.testing.assert_allclose(actions, expected, rtol=0, atol=1e-5)
    assert len(np.unique(actions)) > 1


@pytest.mark.parametrize("normalized", [False, True])
def test_distribution_of_dqn_gives_its_q_values(models: Models, normalized: bool) -> None:
    model = models[DQN, "CartPole-v1", normalized]
    observations = sample_observations(model, 50)
    statistics = model.get_vec_normalize_env()
    inputs = statistics.normalize_obs(observations) if statistics else observations

    network, distribution = build_network(model)
    q_values, _ = TorchScriptNetwork(serialize(script_policy(network))).distribution(observations)

    assert (distribution.kind, distribution.exploration_rate) == ("q_values", 0.05)
    with torch.no_grad():
        expected = model.q_net(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(q_values, expected, rtol=1e-6, atol=1e-6)


def test_distribution_of_discrete_ppo_gives_logits_of_its_probabilities(
    models: Models,
) -> None:
    model = models[PPO, "CartPole-v1", False]
    observations = sample_observations(model, 50)

    network, distribution = build_network(model)
    logits, _ = TorchScriptNetwork(serialize(script_policy(network))).distribution(observations)

    assert distribution.kind == "categorical_logits"
    policy = model.policy.get_distribution(torch.from_numpy(observations)).distribution
    probabilities = torch.softmax(torch.from_numpy(logits), dim=1).numpy()
    np.testing.assert_allclose(probabilities, policy.probs.detach().numpy(), atol=1e-6)


def test_distribution_of_continuous_ppo_gives_unclipped_mean_and_log_std(
    models: Models,
) -> None:
    model = models[PPO, "Pendulum-v1", False]
    observations = np.float32(20.0) * sample_observations(model, 50)

    network, distribution = build_network(model)
    parameters, _ = TorchScriptNetwork(serialize(script_policy(network))).distribution(observations)

    assert distribution.kind == "diag_gaussian"
    gaussian = model.policy.get_distribution(torch.from_numpy(observations)).distribution
    np.testing.assert_allclose(parameters[:, 0], gaussian.mean.detach().numpy(), atol=1e-6)
    np.testing.assert_allclose(
        np.exp(parameters[:, 1]), gaussian.stddev.detach().numpy(), rtol=1e-6
    )


def test_continuous_actions_beyond_the_bounds_are_clipped_as_the_model_clips_them(
    models: Models,
) -> None:
    model = models[PPO, "Pendulum-v1", False]
    with torch.no_grad():
        model.policy.action_net.bias += 100.0
    observations = sample_observations(model, 10)

    network, _ = build_network(model)
    actions, _ = TorchScriptNetwork(serialize(script_policy(network))).act(observations)

    with torch.no_grad():
        model.policy.action_net.bias -= 100.0
    np.testing.assert_array_equal(actions, np.full((10, 1), model.action_space.high[0]))


@settings(max_examples=25, deadline=None)
@given(
    observations=hnp.arrays(np.float32, (4, 3), elements=st.floats(-(2.0**20), 2.0**20, width=32)),
    moments=hnp.arrays(np.float64, (2, 3), elements=st.floats(1e-6, 1e6)),
)
def test_normalizer_gives_the_bits_of_vec_normalize(
    observations: NDArray[np.float32], moments: NDArray[np.float64]
) -> None:
    space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    env = gymnasium.make("Pendulum-v1")
    assert env.observation_space.shape == space.shape
    statistics: Any = VecNormalize(DummyVecEnv([lambda: env]), clip_obs=5.0)
    statistics.obs_rms.mean, statistics.obs_rms.var = moments

    normalizer = ObservationNormalizer(moments[0], moments[1], statistics.epsilon, 5.0)

    normalized = normalizer(torch.from_numpy(observations)).numpy()
    assert normalized.tobytes() == statistics.normalize_obs(observations).tobytes()


def test_scripted_policy_shares_no_memory_with_the_model_and_needs_no_gradient(
    models: Models,
) -> None:
    model = models[DQN, "CartPole-v1", False]

    script = script_policy(build_network(model)[0])

    assert not any(parameter.requires_grad for parameter in script.parameters())
    theirs = {parameter.data_ptr() for parameter in model.policy.parameters()}
    assert theirs.isdisjoint(parameter.data_ptr() for parameter in script.parameters())
    assert all(parameter.requires_grad for parameter in model.policy.q_net.parameters())


def test_serialized_policy_names_no_source_path_and_repeats_its_bytes(models: Models) -> None:
    network = build_network(models[PPO, "CartPole-v1", True])[0]
    policy_pt = serialize(script_policy(network))
    with zipfile.ZipFile(io.BytesIO(policy_pt)) as archive:
        contents = b"".join(archive.read(name) for name in archive.namelist())
    assert b"trainer_service/export" not in contents
    assert b"site-packages" not in contents
    assert serialize(script_policy(network)) == policy_pt


def test_verify_policy_with_other_weights_names_the_first_observation_that_differs(
    models: Models,
) -> None:
    model = models[DQN, "CartPole-v1", False]
    network, _ = build_network(model)
    script: Any = script_policy(network)
    with torch.no_grad():
        script.layers[-1].weight.neg_()

    with pytest.raises(ExportError, match=r"differs from the model on \d+ of 100 .* observation"):
        verify_policy(script, model, sample_observations(model, 100))


@pytest.mark.parametrize("algorithm", [DQN, PPO, QRDQN])
@pytest.mark.parametrize("scale", [1.0, 1e5])
def test_verify_policy_judges_a_near_tie_by_the_distance_of_what_is_compared(
    algorithm: Any, scale: float
) -> None:
    model = algorithm("MlpPolicy", make_env("CartPole-v1", normalized=True), seed=1, device="cpu")
    last = {
        DQN: lambda: model.q_net.q_net[-1],
        PPO: lambda: model.policy.action_net,
        QRDQN: lambda: model.quantile_net.quantile_net[-1],
    }[algorithm]()
    actions = last.out_features // 2 if algorithm is QRDQN else 1
    with torch.no_grad():  # both actions are equal, everywhere
        last.weight[1::2] = last.weight[::2] if actions > 1 else last.weight[0]
        last.weight.mul_(0.1)
        last.bias[:] = 1.0
        last.weight.mul_(scale)
        last.bias.mul_(scale)
    observations = sample_observations(model, 300)
    for shift, accepted in ((4e-7, True), (1e-2, False)):
        script: Any = script_policy(build_network(model)[0])
        layer = next(it for it in reversed(list(script.layers.children())) if hasattr(it, "bias"))
        with torch.no_grad():
            layer.bias[1::2] += shift * max(scale, 1.0)
        turned = script(torch.from_numpy(observations)).numpy()
        assert (turned == 1).all()  # and the model takes the first
        if accepted:
            verify_policy(script, model, observations)
        else:
            with pytest.raises(ExportError, match=r"differs from the model on 300 of 300"):
                verify_policy(script, model, observations)


def test_verify_policy_with_scores_that_differ_under_the_same_actions_is_refused(
    models: Models,
) -> None:
    model = models[DQN, "CartPole-v1", False]
    script: Any = script_policy(build_network(model)[0])
    with torch.no_grad():
        script.layers[-1].bias.add_(0.5)  # of both actions: none changes

    with pytest.raises(ExportError, match="differs from the model on 100 of 100"):
        verify_policy(script, model, sample_observations(model, 100))


def test_script_policy_with_nan_weight_is_refused(
    models: Models,
) -> None:
    model = train(DQN, make_env("CartPole-v1", normalized=False))
    with torch.no_grad():
        model.policy.q_net.q_net[0].weight[0, 0] = torch.nan

    with pytest.raises(ExportError, match=r"layers\.1\.weight holds NaN or infinite values"):
        script_policy(build_network(model)[0])


def test_policy_that_has_overflowed_gives_no_action_within_the_bounds() -> None:
    bounds = np.full(2, -1.0, np.float32), np.full(2, 1.0, np.float32)
    overflowing = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        overflowing.weight.fill_(3e38)
    normalizer = nn.Identity()
    networks: list[nn.Module] = [
        GaussianPolicyNetwork(normalizer, overflowing, torch.zeros(2), *bounds),
        SquashedGaussianPolicyNetwork(
            normalizer, nn.Identity(), overflowing, overflowing, (-20.0, 2.0), *bounds
        ),
        DeterministicPolicyNetwork(normalizer, overflowing, *bounds),
    ]
    for network in networks:
        actions = network(torch.tensor([[2.0], [1e-38]]))
        assert torch.isnan(actions[0]).all()
        assert (actions[1].abs() <= 1.0).all()


def test_serialized_policy_of_another_process_has_the_same_bytes() -> None:
    # TorchScript keeps the constants of a module in a set, whose order is each process's own.
    code = (
        "import hashlib, torch\n"
        "from torch import nn\n"
        "from trainer_service.export import script_policy, serialize\n"
        "from trainer_service.export.modules import GreedyPolicyNetwork\n"
        "torch.manual_seed(0)\n"
        "layers = nn.Sequential(nn.Flatten(), nn.Linear(3, 4), nn.ELU(), nn.Linear(4, 2))\n"
        "policy_pt = serialize(script_policy(GreedyPolicyNetwork(nn.Identity(), layers)))\n"
        "print(hashlib.sha256(policy_pt).hexdigest())\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        for seed in ("1", "2", "3")
    ]
    digests = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(digests) == 1
