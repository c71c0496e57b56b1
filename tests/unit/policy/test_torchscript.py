import io
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tradewind.bundle import BundleDraft, BundleFault, GoldenSet, read_bundle
from tradewind.errors import BundleError, InvalidInputError, ObservationError
from tradewind.policy import RLPolicy, TorchScriptNetwork, TorchScriptPolicy
from tradewind.policy.runtime import choose_network

Publish = Callable[[BundleDraft], Path]
Script = Callable[[nn.Module], bytes]


class Without(nn.Module):
    """Has no distribution method."""

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return obs.flatten(1).argmax(dim=1)


class Raising(nn.Module):
    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        assert obs.shape[1] == 99, "wrong width"
        return obs

    @torch.jit.export
    def distribution(self, obs: torch.Tensor) -> torch.Tensor:
        return obs


class WrongType(nn.Module):
    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return torch.zeros(obs.shape[0], dtype=torch.int32)

    @torch.jit.export
    def distribution(self, obs: torch.Tensor) -> torch.Tensor:
        return torch.zeros(obs.shape[0], 3)


class WrongShape(nn.Module):
    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return torch.zeros(obs.shape[0], dtype=torch.int64)

    @torch.jit.export
    def distribution(self, obs: torch.Tensor) -> torch.Tensor:
        return torch.zeros(obs.shape[0], 4)


class NoTensor(nn.Module):
    def forward(self, obs: torch.Tensor) -> int:
        return 1

    @torch.jit.export
    def distribution(self, obs: torch.Tensor) -> torch.Tensor:
        return obs


class Reciprocal(nn.Module):
    """Overflows on observations near zero, which are finite."""

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return self.distribution(obs)[:, 0]

    @torch.jit.export
    def distribution(self, obs: torch.Tensor) -> torch.Tensor:
        return (1.0 / obs.flatten(1)[:, :4]).reshape(-1, 2, 2)


def test_discrete_bundle_gives_the_golden_actions(
    publish: Publish, discrete_draft: BundleDraft
) -> None:
    policy = TorchScriptPolicy.load_bundle(publish(discrete_draft))
    golden = discrete_draft.golden
    for observation, expected in zip(golden.observations, golden.actions, strict=True):
        action, info = policy.predict(observation)
        assert type(action) is int
        assert action == expected
        assert info["model_compute_ns"] > 0
        assert info["version"] == policy.metadata.version
        assert info["bundle_sha256"] == policy.metadata.sha256
        assert set(info) == {"model_compute_ns", "version", "bundle_sha256"}
    actions, _ = policy.predict_batch(golden.observations)
    np.testing.assert_array_equal(actions, golden.actions, strict=True)


def test_continuous_bundle_gives_the_golden_actions(
    publish: Publish, gaussian_draft: BundleDraft
) -> None:
    policy: RLPolicy = TorchScriptPolicy.load_bundle(publish(gaussian_draft))
    golden = gaussian_draft.golden
    action, info = policy.predict(golden.observations[3], with_distribution=True)
    assert isinstance(action, np.ndarray)
    np.testing.assert_allclose(action, golden.actions[3], atol=1e-5, strict=True)
    np.testing.assert_allclose(info["distribution"], golden.distribution[3], atol=1e-5)
    _, batch_info = policy.predict_batch(golden.observations, with_distribution=True)
    assert batch_info["distribution"].shape == (6, 2, 2)


@pytest.mark.parametrize("kind", ["discrete", "gaussian"])
def test_stochastic_action_is_the_same_for_the_same_seed(
    publish: Publish, request: pytest.FixtureRequest, kind: str
) -> None:
    draft: BundleDraft = request.getfixturevalue(f"{kind}_draft")
    path = publish(draft)
    policies = [TorchScriptPolicy.load_bundle(path) for _ in range(2)]
    observations = draft.golden.observations

    torch.manual_seed(1)
    first, _ = policies[0].predict_batch(observations, deterministic=False, seed=2**64 - 1)
    torch.manual_seed(2)
    second, _ = policies[1].predict_batch(observations, deterministic=False, seed=2**64 - 1)
    alone, info = policies[0].predict(observations[0], deterministic=False, seed=2**64 - 1)

    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(alone, first[0], atol=1e-6)
    assert info["seed"] == 2**64 - 1
    actions = [policies[0].predict(observations[0], deterministic=False, seed=s) for s in range(64)]
    assert len({np.asarray(action).tobytes() for action, _ in actions}) > 1


def test_stochastic_action_without_a_seed_tells_the_one_it_drew(
    publish: Publish, discrete_draft: BundleDraft
) -> None:
    policy = TorchScriptPolicy.load_bundle(publish(discrete_draft))
    observation = discrete_draft.golden.observations[0]
    action, info = policy.predict(observation, deterministic=False)
    again, _ = policy.predict(observation, deterministic=False, seed=info["seed"])
    assert action == again


def test_predict_with_bad_input_is_refused(publish: Publish, discrete_draft: BundleDraft) -> None:
    policy = TorchScriptPolicy.load_bundle(publish(discrete_draft))
    with pytest.raises(ObservationError, match=r"shape \(4,\) instead of \(3, 2\)"):
        policy.predict(np.zeros(4))
    with pytest.raises(InvalidInputError, match="seed is refused"):
        policy.predict(np.zeros((3, 2)), deterministic=False, seed=-1)


def test_network_that_overflows_gives_an_error_instead_of_an_action(
    publish: Publish, gaussian_draft: BundleDraft, script_module: Script
) -> None:
    observations = np.ones((2, 3, 2), np.float32)
    golden = GoldenSet(observations, np.ones((2, 2), np.float32), np.ones((2, 2, 2), np.float32))
    draft = replace(gaussian_draft, policy_pt=script_module(Reciprocal()), golden=golden)
    policy = TorchScriptPolicy.load_bundle(publish(draft))
    for deterministic in (True, False):
        with pytest.raises(BundleError, match="NaN or infinite") as refused:
            policy.predict(np.zeros((3, 2)), deterministic=deterministic, seed=1)
        assert refused.value.reason == BundleFault.MODEL_OUTPUT_INVALID


RELEASED = Path(__file__).parents[2] / "contract/bundle/store_v1/tiny-dqn/2026-11-22.1"


@pytest.mark.parametrize("runtime", ["compiled", "torchscript"])
def test_discrete_network_that_overflows_gives_an_error_instead_of_an_action(runtime: str) -> None:
    bundle = read_bundle(RELEASED)
    torchscript = TorchScriptNetwork(bundle.policy_pt)
    network, reason = choose_network(torchscript, bundle.metadata.obs_space, bundle.golden)
    assert (network.runtime, reason) == ("compiled", "")
    policy = TorchScriptPolicy(bundle, network if runtime == "compiled" else torchscript, "")
    assert policy.runtime == runtime
    fine = bundle.golden.observations[0]
    overflowing = np.full_like(fine, 3e38)

    assert policy.predict(fine)[0] == bundle.golden.actions[0]
    with pytest.raises(BundleError, match="NaN or infinite distribution") as refused:
        policy.predict(overflowing)
    assert refused.value.reason == BundleFault.MODEL_OUTPUT_INVALID
    with pytest.raises(BundleError, match="NaN or infinite distribution"):
        policy.predict_batch(np.stack([fine, overflowing, fine]))


@pytest.mark.parametrize(
    ("module", "fault", "cause"),
    [
        (Without(), "MODEL_UNLOADABLE", "not a scripted network with the methods"),
        (Raising(), "MODEL_OUTPUT_INVALID", r"fails on observations of shape \(6, 3, 2\)"),
        (WrongType(), "MODEL_OUTPUT_INVALID", r"action as int32 \(6,\) instead of int64"),
        (WrongShape(), "MODEL_OUTPUT_INVALID", r"\(6, 4\) instead of float32 \(6, 3\)"),
        (NoTensor(), "MODEL_OUTPUT_INVALID", "a int instead of a tensor"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_bundle_with_a_network_that_breaks_the_contract_is_refused(
    publish: Publish,
    discrete_draft: BundleDraft,
    script_module: Script,
    module: nn.Module,
    fault: str,
    cause: str,
) -> None:
    golden = replace(
        discrete_draft.golden,
        actions=np.zeros(6, np.int64),
        distribution=np.zeros((6, 3), np.float32),
    )
    draft = replace(discrete_draft, policy_pt=script_module(module), golden=golden)
    with pytest.raises(BundleError, match=cause) as refused:
        TorchScriptPolicy.load_bundle(publish(draft))
    assert refused.value.reason == BundleFault(fault)
    assert "bundle tiny/" in str(refused.value)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"not an archive" * 100])
def test_bundle_whose_network_is_no_archive_is_refused(
    publish: Publish, discrete_draft: BundleDraft, data: bytes
) -> None:
    with pytest.raises(BundleError) as refused:
        TorchScriptPolicy.load_bundle(publish(replace(discrete_draft, policy_pt=data)))
    assert refused.value.reason == BundleFault.MODEL_UNLOADABLE


def test_bundle_whose_network_is_a_pickle_is_refused_unopened(
    publish: Publish, discrete_draft: BundleDraft
) -> None:
    buffer = io.BytesIO()
    torch.save({"weights": torch.zeros(3)}, buffer)
    draft = replace(discrete_draft, policy_pt=buffer.getvalue())
    with pytest.raises(BundleError) as refused:
        TorchScriptPolicy.load_bundle(publish(draft))
    assert refused.value.reason == BundleFault.MODEL_UNLOADABLE


def test_bundle_with_another_golden_action_is_refused(
    publish: Publish, discrete_draft: BundleDraft
) -> None:
    actions = discrete_draft.golden.actions.copy()
    actions[4] = (actions[4] + 1) % 3
    draft = replace(discrete_draft, golden=replace(discrete_draft.golden, actions=actions))
    with pytest.raises(BundleError, match="golden observation 4 gives action") as refused:
        TorchScriptPolicy.load_bundle(publish(draft))
    assert refused.value.reason == BundleFault.GOLDEN_MISMATCH
    assert refused.value.metadata == {"observation": "4", "what": "action"}


@pytest.mark.parametrize(("difference", "refused"), [(5e-6, False), (3e-5, True)])
def test_bundle_with_another_golden_number_is_refused_beyond_the_tolerance(
    publish: Publish, gaussian_draft: BundleDraft, difference: float, refused: bool
) -> None:
    golden = gaussian_draft.golden
    draft = replace(gaussian_draft, golden=replace(golden, actions=golden.actions + difference))
    path = publish(draft)
    if not refused:
        TorchScriptPolicy.load_bundle(path)
        return
    with pytest.raises(BundleError, match="golden observation 0 gives action"):
        TorchScriptPolicy.load_bundle(path)


def test_predict_from_many_threads_gives_each_its_own_answer(
    publish: Publish, discrete_draft: BundleDraft
) -> None:
    policy = TorchScriptPolicy.load_bundle(publish(discrete_draft))
    observations, expected = discrete_draft.golden.observations, discrete_draft.golden.actions
    wrong: list[int] = []

    def work(offset: int) -> None:
        for call in range(300):
            row = (offset + call) % len(observations)
            action, _ = policy.predict(observations[row])
            if action != expected[row]:
                wrong.append(row)

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_import_of_the_package_leaves_the_threads_of_torch_alone() -> None:
    code = (
        "import torch; before = torch.get_num_threads();"
        "import tradewind.policy, sys;"
        "assert torch.get_num_threads() == before;"
        "print({'grpc', 'gymnasium', 'stable_baselines3', 'pandas'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"
