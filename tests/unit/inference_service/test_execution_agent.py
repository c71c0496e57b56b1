from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from inference_service.execution_agent import ExecutionAgentStub, create_execution_agent_stub
from tradewind.bundle import BundleStore
from tradewind.errors import InvalidInputError, ObservationError, VersionNotFoundError
from tradewind.policy import TorchScriptPolicy


@pytest.fixture(autouse=True)
def keep_torch_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def path(store: BundleStore, publish: Callable[..., str]) -> Path:
    return store.path("tiny-dqn", publish())


def test_stub_predicts_as_the_policy_does(path: Path) -> None:
    agent = create_execution_agent_stub(path)
    policy = TorchScriptPolicy.load_bundle(path)
    for observation, expected in zip(
        policy.golden.observations, policy.golden.actions, strict=True
    ):
        action, info = agent.predict(observation)
        assert action == expected
        assert info["version"] == agent.metadata.version
    explored, _ = agent.predict(policy.golden.observations[0], deterministic=False, seed=57)
    assert explored == 1
    assert torch.get_num_threads() == 1


def test_slo_report_is_judged_at_p99(path: Path) -> None:
    policy = TorchScriptPolicy.load_bundle(path)
    report = ExecutionAgentStub(policy, slo_us=1e9).validate_slo_compliance(num_trials=200)
    assert report["num_trials"] == 200
    assert 0.0 < report["p50_latency_us"] <= report["p99_latency_us"] <= report["p999_latency_us"]
    assert report["mean_latency_us"] > 0.0
    assert report["slo_met"]
    strict = ExecutionAgentStub(policy, slo_us=0.001).validate_slo_compliance(num_trials=200)
    assert (strict["slo_us"], strict["slo_met"]) == (0.001, False)


def test_comparison_with_a_baseline_gives_the_ratio_of_the_median(path: Path) -> None:
    agent = create_execution_agent_stub(path)
    comparison = agent.benchmark_against_baseline(baseline_latency_us=4.0, num_trials=100)
    assert comparison["ratio"] == comparison["p50_latency_us"] / 4.0
    assert comparison["baseline_latency_us"] == 4.0
    assert comparison["num_trials"] == 100


def test_stub_with_bad_arguments_says_which(path: Path) -> None:
    agent = create_execution_agent_stub(path)
    with pytest.raises(InvalidInputError, match="num_trials: 0 instead of at least 1"):
        agent.validate_slo_compliance(num_trials=0)
    for baseline in (0.0, -1.0, float("nan")):
        with pytest.raises(InvalidInputError, match="baseline_latency_us: .* is not above 0"):
            agent.benchmark_against_baseline(baseline_latency_us=baseline)
    with pytest.raises(ObservationError, match=r"shape \(2,\) instead of \(6,\)"):
        agent.predict([1.0, 2.0])
    with pytest.raises(VersionNotFoundError):
        create_execution_agent_stub(path.with_name("2020-01-01.1"))
