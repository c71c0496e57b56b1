"""A bundle of format 2 serves from its graph and weights; its policy.pt is not even looked at."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.declaring import declare
from tradewind.bundle import BundleDraft, GoldenSet
from tradewind.errors import BundleError
from tradewind.policy import TorchScriptPolicy, load_sealed_policy

Publish = Callable[[BundleDraft], Path]

LOADERS = [TorchScriptPolicy.load_bundle, load_sealed_policy]


@pytest.fixture(params=["discrete_draft", "gaussian_draft"])
def draft(request: pytest.FixtureRequest) -> BundleDraft:
    found: BundleDraft = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("load", LOADERS)
def test_declared_bundle_acts_as_its_script_does_bit_by_bit(
    publish: Publish, draft: BundleDraft, load: Callable[[Path], TorchScriptPolicy]
) -> None:
    declared, scripted = load(publish(declare(draft))), load(publish(draft))
    assert (declared.metadata.format_version, scripted.metadata.format_version) == (2, 1)
    assert (declared.runtime, declared.runtime_reason) == ("compiled", "")
    observations = np.random.default_rng(3).normal(size=(100, 3, 2)).astype(np.float32)
    for seed in (None, 4):
        found, info = declared.predict_batch(
            observations, deterministic=seed is None, seed=seed, with_distribution=True
        )
        expected, about = scripted.predict_batch(
            observations, deterministic=seed is None, seed=seed, with_distribution=True
        )
        np.testing.assert_array_equal(found, expected, strict=True)
        np.testing.assert_array_equal(info["distribution"], about["distribution"])


def test_digest_of_a_declared_network_is_that_of_graph_and_weights(
    publish: Publish, discrete_draft: BundleDraft
) -> None:
    folder = publish(declare(discrete_draft))
    said = json.loads((folder / "metadata.json").read_bytes())
    weights = hashlib.sha256((folder / "policy.safetensors").read_bytes()).hexdigest()
    named = {"weights": weights, "graph": said["graph"]}
    canonical = json.dumps(named, sort_keys=True, separators=(",", ":")).encode()
    assert said["sha256"] == hashlib.sha256(canonical).hexdigest()
    # Another network with the same copy for others is not taken for it, in answers and in logs.
    declared = declare(discrete_draft)
    doubled = {name: array * 2 for name, array in declared.weights.items()}
    other = json.loads((publish(replace(declared, weights=doubled)) / "metadata.json").read_bytes())
    assert other["files"]["policy.pt"] == said["files"]["policy.pt"]
    assert other["sha256"] != said["sha256"]


@pytest.mark.parametrize("load", LOADERS)
def test_policy_pt_of_a_declared_bundle_is_never_loaded(
    publish: Publish, discrete_draft: BundleDraft, load: Callable[[Path], TorchScriptPolicy]
) -> None:
    policy = load(publish(replace(declare(discrete_draft), policy_pt=b"no network")))
    np.testing.assert_array_equal(
        policy.predict_batch(policy.golden.observations)[0], policy.golden.actions
    )


@pytest.mark.parametrize("load", LOADERS)
def test_weights_of_two_layers_that_are_swapped_are_caught_by_the_golden_answers(
    publish: Publish, draft: BundleDraft, load: Callable[[Path], TorchScriptPolicy]
) -> None:
    declared = declare(draft)
    for changed in (
        {**declared.weights, "linear_1.bias": declared.weights["linear_1.bias"][::-1].copy()},
        {**declared.weights, "linear_2.weight": -declared.weights["linear_2.weight"]},
    ):
        with pytest.raises(BundleError, match="golden observation 0 gives") as refused:
            load(publish(replace(declared, weights=changed)))
        assert refused.value.reason == "GOLDEN_MISMATCH"


def test_draft_whose_weights_do_not_fit_its_graph_is_not_published(
    publish: Publish, discrete_draft: BundleDraft
) -> None:
    declared = declare(discrete_draft)
    with pytest.raises(BundleError, match=r"'linear_1.bias' is missing"):
        publish(replace(declared, weights={"linear_1.weight": np.zeros(1, np.float32)}))
    nan = {**declared.weights, "linear_1.bias": np.full(16, np.nan, np.float32)}
    with pytest.raises(BundleError, match="NaN or infinite"):
        publish(replace(declared, weights=nan))


def test_golden_answers_of_another_network_refuse_a_declared_one(
    publish: Publish, gaussian_draft: BundleDraft
) -> None:
    golden = gaussian_draft.golden
    other = GoldenSet(golden.observations, golden.actions + 0.1, golden.distribution)
    with pytest.raises(BundleError, match="gives action") as refused:
        load_sealed_policy(publish(replace(declare(gaussian_draft), golden=other)))
    assert refused.value.reason == "GOLDEN_MISMATCH"


def test_fresh_process_that_loads_declared_bundles_never_imports_torch(
    publish: Publish, discrete_draft: BundleDraft
) -> None:
    statement = (
        "import sys\n"
        "from inference_service.execution_agent import create_execution_agent_stub\n"
        "from tradewind.policy import TorchScriptPolicy, load_sealed_policy\n"
        "from orchestrator.analysis.decision_replay.bundles import open_bundle\n"
        "stub = create_execution_agent_stub(sys.argv[1])\n"
        "stub.validate_slo_compliance(num_trials=3)\n"
        "load_sealed_policy(sys.argv[1])\n"
        "assert 'torch' not in sys.modules\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", statement, str(publish(declare(discrete_draft)))],
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
