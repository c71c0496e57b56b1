"""What a newcomer does with the stack, and what an operator fears."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.compose.conftest import SERVICES, ComposeStack
from tests.waiting import wait_until
from tradewind.errors import PermissionDeniedError, TradewindError, UnavailableError
from tradewind.jobs import JobState
from tradewind.policy import TorchScriptPolicy
from tradewind.risk import RiskAgentV2, RiskInputs
from tradewind.risk.rules import Action
from tradewind.rpc.clients import InferenceClient, RiskClient, TrainerClient

CONFIG: dict[str, Any] = {
    "algorithm": "DQN",
    "algo_params": {"learning_starts": 100, "batch_size": 16},
    "training_params": {"total_timesteps": 2_000, "seed": 3},
    "risk_config": {"enabled": True, "policy_yaml": "config/risk_limits.yaml"},
    "data": {"symbol": "BTC"},
    "environment": {"episode_bars": 100},
    "evaluation": {"resamples": 100, "report": False},
}
OBSERVATION = np.linspace(-1.0, 1.0, 27).astype(np.float32)
CALM = RiskInputs(portfolio_values=np.array([100.0, 101.0, 100.5]))
CRASHED = RiskInputs(portfolio_values=np.array([100.0, 70.0]))


@pytest.fixture(scope="module")
def policy(stack: ComposeStack, tmp_path_factory: pytest.TempPathFactory) -> TorchScriptPolicy:
    """A policy that the trainer's container trained, as it lies on the shared volume."""
    with stack.connect(TrainerClient, "operator", timeout_s=120.0) as trainer:
        job = trainer.start_training("compose", CONFIG, request_id="first")
        *_, ended = trainer.watch(job.job_id)
    assert ended.state == JobState.SUCCEEDED, ended.error
    folder = tmp_path_factory.mktemp("bundle") / "compose" / ended.bundle_version
    folder.parent.mkdir()
    stack.run("cp", f"trainer:/bundles/compose/{ended.bundle_version}", str(folder))
    return TorchScriptPolicy.load_bundle(folder)


@pytest.mark.parametrize("service", SERVICES)
def test_container_has_no_rights_that_it_does_not_need(stack: ComposeStack, service: str) -> None:
    found = stack.inspect(service)
    host = found["HostConfig"]
    assert found["Config"]["User"] == "tradewind"
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert stack.execute(service, "id", "-u") == "10001"
    status = Path(f"/proc/{found['State']['Pid']}/status").read_text()
    assert "CapEff:\t0000000000000000" in status
    folders = ["/app", "/opt/venv", "/bundles"] if service == "inference" else ["/app", "/opt/venv"]
    for folder in folders:
        written = stack.execute(service, "sh", "-c", f"touch {folder}/x 2>&1 || true")
        assert "Read-only file system" in written


def test_caller_without_token_or_role_is_refused(stack: ComposeStack) -> None:
    with stack.connect(RiskClient, "officer") as officer:
        assert officer.get_policy().policy_digest
        with pytest.raises(PermissionDeniedError):
            officer.evaluate(CALM, account="main")
    with (
        RiskClient(stack.addresses["risk"], timeout_s=5.0) as stranger,
        pytest.raises(UnavailableError),
    ):
        stranger.calculate_only(CALM)  # in plain text


def test_secret_of_one_service_is_not_on_another_ones_volumes(stack: ComposeStack) -> None:
    for service in SERVICES:
        mounts = {mount["Destination"] for mount in stack.inspect(service)["Mounts"]}
        assert ("/signing" in mounts) is (service == "trainer")
        assert not mounts & {"/clients", "/grafana"}
        written = stack.execute(service, "sh", "-c", "touch /tls/x /access/x 2>&1 || true")
        assert written.count("Read-only file system") == 2


@pytest.mark.parametrize("service", SERVICES)
def test_container_takes_no_more_memory_or_threads_than_it_may(
    stack: ComposeStack, service: str
) -> None:
    host = stack.inspect(service)["HostConfig"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] == 512


def test_inference_image_holds_nothing_of_training(stack: ComposeStack) -> None:
    names = ["stable_baselines3", "sb3_contrib", "gymnasium", "pandas", "matplotlib", "mlflow"]
    code = f"import importlib.util as u; print([n for n in {names} if u.find_spec(n)])"
    assert stack.execute("inference", "python", "-c", code) == "[]"
    files = stack.execute("inference", "ls", "/app").split()
    assert sorted(files) == ["config", "docker", "inference_service", "protos", "tradewind"]


def test_kernels_of_the_images_are_compiled_before_they_start(stack: ComposeStack) -> None:
    for service in SERVICES:
        count = "find {} -name '*.nbc' | wc -l"
        built = stack.execute(service, "sh", "-c", count.format("/opt/kernels"))
        now = stack.execute(service, "sh", "-c", count.format("/tmp/kernels"))
        assert int(built) > 0
        assert now == built


def test_trained_policy_is_served_from_the_shared_volume(
    stack: ComposeStack, policy: TorchScriptPolicy
) -> None:
    with stack.connect(InferenceClient, "orchestrator") as inference:
        wait_until(inference.is_serving, "the first bundle to serve")
        answer = inference.predict(OBSERVATION, policy="compose")
    assert answer.version == policy.metadata.version
    assert answer.action == policy.predict(OBSERVATION)[0]


def test_risk_is_what_the_same_policy_gives_here(stack: ComposeStack) -> None:
    expected = RiskAgentV2.from_yaml("config/risk_limits.yaml").calculate_only(CALM)
    with stack.connect(RiskClient, "orchestrator") as risk:
        found = risk.calculate_only(CALM)
    assert found == expected


def test_killed_inference_comes_back_with_the_same_answer(
    stack: ComposeStack, policy: TorchScriptPolicy
) -> None:
    stack.kill("inference")
    with stack.connect(InferenceClient, "orchestrator") as inference:
        wait_until(inference.is_serving, "the bundle to serve again")
        answer = inference.predict(OBSERVATION, policy="compose")
    assert answer.action == policy.predict(OBSERVATION)[0]


def test_killed_risk_service_comes_back_halted_with_every_decision(stack: ComposeStack) -> None:
    with stack.connect(RiskClient, "orchestrator") as risk:
        halted = risk.evaluate(CRASHED, account="halted")
        assert halted.action == Action.HALT
        stack.kill("risk")
        wait_until(risk.is_serving, "risk to serve again")
        again = risk.evaluate(CALM, account="halted")
    assert again.action == Action.HALT
    with stack.connect(RiskClient, "officer") as officer:
        decisions = [record.decision_id for record in officer.list_decisions(account="halted")]
    assert sorted(decisions) == sorted([halted.decision_id, again.decision_id])


def test_killed_trainer_comes_back_with_its_jobs_and_ends_the_one_under_way(
    stack: ComposeStack, policy: TorchScriptPolicy
) -> None:
    longer = {**CONFIG, "training_params": {"total_timesteps": 30_000, "seed": 3}}
    with stack.connect(TrainerClient, "operator", timeout_s=120.0) as trainer:
        job = trainer.start_training("survivor", longer, request_id="second")
        wait_until(
            lambda: trainer.get_job(job.job_id).state == JobState.RUNNING,
            "the job to run",
        )
        stack.kill("trainer")
        wait_until(trainer.is_serving, "the trainer to serve again")
        first = trainer.start_training("compose", CONFIG, request_id="first")
        assert first.state == JobState.SUCCEEDED
        assert first.bundle_version == policy.metadata.version

        def has_ended() -> bool:
            try:
                return trainer.get_job(job.job_id).state not in (
                    JobState.QUEUED,
                    JobState.RUNNING,
                )
            except TradewindError:
                return False

        wait_until(has_ended, "the job to end", patience_s=180.0)
        ended = trainer.get_job(job.job_id)
        assert ended.state == JobState.SUCCEEDED, ended.error
        assert ended.resumes == 1
    with stack.connect(InferenceClient, "orchestrator") as inference:
        wait_until(
            lambda: (
                "survivor" in {found.policy for found in inference.list_policies().policy_versions}
            ),
            "the second policy to serve",
        )


def test_rolled_back_variant_stays_out_when_inference_is_killed(
    stack: ComposeStack, policy: TorchScriptPolicy, tmp_path: Path
) -> None:
    bold = {"target": "survivor/served", "weight": 50, "bounds": {"error_share": 0.5}}
    variants = [
        {"name": "steady", "target": "served", "weight": 50},
        {"name": "bold", **bold},  # bounds are refused where no rollback can be kept
    ]
    file = tmp_path / "routing.yaml"
    file.write_text(yaml.safe_dump({"policies": {"compose": {"variants": variants}}}))

    def survivor_serves(client: InferenceClient) -> bool:
        return "survivor" in {found.policy for found in client.list_policies().policy_versions}

    def state(client: InferenceClient) -> str:
        found = client.get_routing("compose").variant("compose", "bold")
        return "" if found is None else found.state

    with stack.connect(InferenceClient, "orchestrator") as inference:
        wait_until(lambda: survivor_serves(inference), "both policies to serve", patience_s=180.0)
        stack.run("cp", str(file), "trainer:/bundles/routing.yaml")
        wait_until(lambda: state(inference) == "ACTIVE", "the routing to be in force")
        inference.roll_back_variant("compose", "bold", name="Ada", reason="a test")
        stack.kill("inference")
        wait_until(inference.is_serving, "the policy to serve again")
        assert state(inference) == "ROLLED_BACK"
        answers = [
            inference.predict(OBSERVATION, policy="compose", routing_key=str(key))
            for key in range(20)
        ]
    assert {answer.variant for answer in answers} == {"steady"}


def test_stopped_stack_drains_and_ends_without_an_error(stack: ComposeStack) -> None:
    stack.run("stop", *SERVICES)
    assert {name: stack.inspect(name)["State"]["ExitCode"] for name in SERVICES} == dict.fromkeys(
        SERVICES, 0
    )
