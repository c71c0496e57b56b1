"""The whole way on a short training: three real services, real bars, real gRPC."""

import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from orchestrator.demo import POLICY, DemoRun, Stack, main, run, start_services, train
from orchestrator.served_policy import ServedPolicy
from tradewind.errors import ConflictError, SettingsError, TrainingError
from tradewind.jobs import JobState, TrainingJob
from tradewind.rpc.clients import RiskClient, RiskPolicyStatus, TrainerClient

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
# A share of the bars that leaves about 700 for the replay.
HELD_OUT_FRACTION = 0.02


def short_training() -> dict[str, Any]:
    config = yaml.safe_load((ROOT / "config/training/ppo_btc.yaml").read_text())
    config["training_params"] |= {
        "total_timesteps": 2_048,
        "held_out_fraction": HELD_OUT_FRACTION,
    }
    return dict(config)


@dataclass(frozen=True)
class Shown:
    """A run of the demo, whose services still answer."""

    services: Stack
    run: DemoRun
    metadata: dict[str, Any]
    folder: Path
    text: str


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("demo")
    console = Console(file=io.StringIO(), width=120)
    with contextlib.ExitStack() as stack:
        services = start_services(console, folder, stack)
        done = run(console, services, short_training(), folder)
        path = folder / "bundles" / POLICY / done.version / "metadata.json"
        assert isinstance(console.file, io.StringIO)
        text = console.file.getvalue()
        yield Shown(services, done, json.loads(path.read_text()), folder, text)


def test_replay_over_grpc_repeats_the_held_out_evaluation_of_the_trainer(shown: Shown) -> None:
    evaluation = shown.metadata["evaluation"]
    policy = shown.run.replays["policy"]
    assert policy.total_return == evaluation["return"]
    assert policy.trade_count == evaluation["trades"]
    assert shown.run.replays["buy and hold"].total_return == evaluation["buy_and_hold_return"]


def test_replay_over_grpc_asks_both_services_on_every_bar(shown: Shown) -> None:
    decisions = shown.run.served.decisions
    assert len(decisions) == len(shown.run.replays["policy"].equity) - 1
    digest = shown.metadata["risk"]["policy_digest"]
    for decision in decisions:
        assert decision.prediction.version == shown.run.version
        assert decision.prediction.bundle_sha256 == shown.metadata["sha256"]
        assert decision.risk.policy_digest == digest
        assert decision.risk.metric_values["max_drawdown"] >= 0.0
    report = shown.services.inference.latency_reports(POLICY)[0]
    assert report.call_count == len(decisions)
    assert 0 < report.p50_us <= report.p99_us <= report.max_us


def test_served_policy_with_another_risk_policy_in_force_refuses(shown: Shown) -> None:
    class OtherPolicy(RiskClient):
        def get_policy(self, *, timeout_s: float | None = None) -> RiskPolicyStatus:
            return RiskPolicyStatus("0" * 64, {}, (), (), "", "")

    with OtherPolicy("127.0.0.1:1") as other:
        with pytest.raises(ConflictError, match="was trained under risk policy"):
            ServedPolicy.for_policy(shown.services.inference, other, POLICY)


def test_run_prints_its_summary_and_draws_its_picture(shown: Shown) -> None:
    for expected in ("model compute", "SLO of 100 µs at p99", "buy and hold", "picture"):
        assert expected in shown.text
    assert (shown.folder / "replay.png").read_bytes().startswith(b"\x89PNG")


def test_training_with_a_wrong_key_is_refused_by_name(shown: Shown) -> None:
    config = short_training()
    config["algo_params"]["learning_rat"] = 1e-3
    with pytest.raises(SettingsError, match="learning_rat"):
        train(Console(file=io.StringIO()), shown.services.trainer, config)


def test_training_that_stays_too_risky_ends_without_a_bundle() -> None:
    error = "the mean risk score stayed above 0.001"
    job = TrainingJob("1", "demo", "{}", state=JobState.STOPPED_BY_RISK, error=error)

    class TooRisky(TrainerClient):
        def start_training(self, *_: Any, **__: Any) -> TrainingJob:
            return job

        def watch(self, *_: Any, **__: Any) -> Iterator[TrainingJob]:
            yield job

    with TooRisky("127.0.0.1:1") as trainer:
        with pytest.raises(TrainingError, match="STOPPED_BY_RISK: the mean risk score"):
            train(Console(file=io.StringIO()), trainer, short_training())


def test_main_with_a_missing_configuration_says_so_before_it_starts_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--training", str(tmp_path / "none.yaml"), "--output", str(tmp_path)]) == 1
    assert "cannot read" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
