"""From training to bundle, for every algorithm, every kind of action and every extractor."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.exporting import OWN, build_network
from tradewind.bundle import BundleStore
from tradewind.policy import TorchScriptNetwork, TorchScriptPolicy, choose_network
from trainer_service.export import script_policy, serialize
from trainer_service.progress import ProgressReporter
from trainer_service.training.draft import Trained, make_draft

Train = Callable[..., Any]

CASES = [(name, actions) for name, algorithm in OWN.items() for actions in algorithm.action_kinds]
DISTRIBUTIONS = {
    "DQN": "q_values",
    "QR-DQN": "q_values",
    "SAC": "squashed_gaussian",
    "TQC": "squashed_gaussian",
    "TD3": "deterministic",
}


def assert_same_actions(found: NDArray[Any], expected: NDArray[Any]) -> None:
    if np.issubdtype(expected.dtype, np.integer):
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("normalized", [False, True], ids=["raw", "normalized"])
@pytest.mark.parametrize(("algorithm", "actions"), CASES)
def test_bundle_of_every_algorithm_is_compiled_and_acts_as_the_model(
    train: Train, tmp_path: Path, algorithm: str, actions: str, normalized: bool
) -> None:
    trained = train(algorithm, actions, normalized=normalized)
    reporter = ProgressReporter(lambda _: None, 1)
    draft = make_draft(Trained(trained.model), trained.workspace, trained.config, reporter)

    policy = TorchScriptPolicy.load_bundle(BundleStore(tmp_path).publish(draft).path)

    assert policy.metadata.format_version == 2
    assert (policy.runtime, policy.runtime_reason) == ("compiled", "")
    found, _ = policy.predict_batch(trained.observations)
    assert_same_actions(found, trained.expected_actions())
    assert np.ptp(found) > 0.0
    assert policy.metadata.algo == f"SB3-{algorithm}"
    default = "categorical_logits" if actions == "discrete" else "diag_gaussian"
    assert policy.metadata.distribution.kind == DISTRIBUTIONS.get(algorithm, default)
    sampled, info = policy.predict_batch(trained.observations, deterministic=False, seed=3)
    assert info["seed"] == 3
    if algorithm == "TD3":
        np.testing.assert_allclose(sampled, found, rtol=0.0, atol=1e-5)
    else:
        assert not np.array_equal(sampled, found)
    if actions == "continuous":
        low = -1.0 if normalized else 0.0
        assert ((sampled >= low) & (sampled <= 1.0)).all()


@pytest.mark.parametrize("extractor", ["layer_norm_mlp", "return_convolution"])
@pytest.mark.parametrize(("algorithm", "actions"), [("QR-DQN", "discrete"), ("SAC", "continuous")])
def test_network_with_a_named_extractor_is_compiled_and_acts_as_the_model(
    train: Train, algorithm: str, actions: str, extractor: str
) -> None:
    trained = train(algorithm, actions, normalized=True, extractor=extractor)
    reporter = ProgressReporter(lambda _: None, 1)
    draft = make_draft(Trained(trained.model), trained.workspace, trained.config, reporter)

    network, reason = choose_network(
        TorchScriptNetwork(draft.policy_pt), draft.obs_space, draft.golden
    )

    assert (network.runtime, reason) == ("compiled", "")
    assert_same_actions(network.act(trained.observations)[0], trained.expected_actions())


def test_distribution_of_qr_dqn_gives_the_means_of_its_quantiles(train: Train) -> None:
    trained = train("QR-DQN", "discrete", normalized=False)

    found, distribution = distribution_of(trained)

    with torch.no_grad():
        quantiles = trained.model.quantile_net(torch.from_numpy(trained.observations))
    np.testing.assert_allclose(found, quantiles.mean(dim=1).numpy(), atol=1e-6)
    assert distribution.exploration_rate == trained.model.exploration_rate > 0.0


@pytest.mark.parametrize("algorithm", ["SAC", "TQC"])
def test_distribution_of_a_soft_actor_gives_mean_and_bounded_log_std(
    train: Train, algorithm: str
) -> None:
    trained = train(algorithm, "continuous", normalized=False)
    bias = trained.model.actor.log_std.bias
    shift = 2.0 - bias.item()  # to the upper bound, which some observations then exceed

    with torch.no_grad():
        bias += shift
        found, _ = distribution_of(trained)
        mean, log_std, _ = trained.model.actor.get_action_dist_params(
            torch.from_numpy(trained.observations)
        )
        bias -= shift

    np.testing.assert_allclose(found[:, 0], mean.numpy(), atol=1e-6)
    np.testing.assert_allclose(found[:, 1], log_std.numpy(), atol=1e-6)
    assert found[:, 1].min() < found[:, 1].max() == 2.0


def distribution_of(trained: Any) -> tuple[NDArray[np.float32], Any]:
    network, distribution = build_network(trained.model)
    script = TorchScriptNetwork(serialize(script_policy(network)))
    return script.distribution(trained.observations)[0], distribution
