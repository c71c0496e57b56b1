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

from orchestrator import ReplayResult, ServedPolicy
from orchestrator.demo import (
    POLICY,
    Stack,
    main,
    replay_all,
    start_services,
    train,
    wait_until_served,
)
from tradewind.errors import ConflictError, SettingsError, TrainingError
from tradewind.market import load_sample, split_bars
from tradewind.rpc.clients import RiskClient, RiskPolicyStatus

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
# A share of the bars that leaves about 700 for the replay.
HELD_OUT_FRACTION = 0.02


def short_training() -> dict[str, Any]:
    config = yaml.safe_load((ROOT / "config/training/ppo_btc.yaml").read_text())
    config["training_params"] |= {
        "total_timesteps": 4_096,
        "held_out_fraction": HELD_OUT_FRACTION,
    }
    return dict(config)


@dataclass(frozen=True)
class Trained:
    services: Stack
    version: str
    metadata: dict[str, Any]
    served: ServedPolicy
    replays: dict[str, ReplayResult]


@pytest.fixture(scope="module")
def console() -> Console:
    return Console(file=io.StringIO())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, console: Console) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("demo")
    with contextlib.ExitStack() as stack:
        services = start_services(console, folder, stack)
        version = train(console, services.trainer, short_training()).bundle_version
        wait_until_served(services.inference, version)
        path = folder / "bundles" / POLICY / version / "metadata.json"
        served = ServedPolicy.for_policy(services.inference, services.risk, POLICY, version)
        bars = split_bars(load_sample("BTC"), HELD_OUT_FRACTION)[1]
        replays = replay_all(console, served, bars)
        yield Trained(services, version, json.loads(path.read_text()), served, replays)


def test_replay_over_grpc_repeats_the_held_out_evaluation_of_the_trainer(trained: Trained) -> None:
    evaluation = trained.metadata["evaluation"]
    policy = trained.replays["policy"]
    assert policy.total_return == evaluation["return"]
    assert policy.trade_count == evaluation["trades"]
    assert trained.replays["buy and hold"].total_return == evaluation["buy_and_hold_return"]


def test_replay_over_grpc_asks_both_services_on_every_bar(trained: Trained) -> None:
    decisions = trained.served.decisions
    assert len(decisions) == len(trained.replays["policy"].equity) - 1
    digest = trained.metadata["risk"]["policy_digest"]
    for decision in decisions:
        assert decision.prediction.version == trained.version
        assert decision.prediction.bundle_sha256 == trained.metadata["sha256"]
        assert decision.risk.policy_digest == digest
        assert decision.risk.metric_values["max_drawdown"] >= 0.0
    report = trained.services.inference.latency_reports(POLICY)[0]
    assert report.call_count == len(decisions)
    assert 0 < report.p50_us <= report.p99_us <= report.max_us


def test_served_policy_with_another_risk_policy_in_force_refuses(trained: Trained) -> None:
    class OtherPolicy(RiskClient):
        def get_policy(self, *, timeout_s: float | None = None) -> RiskPolicyStatus:
            return RiskPolicyStatus("0" * 64, {}, (), (), "", "")

    with OtherPolicy("127.0.0.1:1") as other:
        with pytest.raises(ConflictError, match="was trained under risk policy"):
            ServedPolicy.for_policy(trained.services.inference, other, POLICY)


def test_training_with_a_wrong_key_is_refused_by_name(trained: Trained, console: Console) -> None:
    config = short_training()
    config["algo_params"]["learning_rat"] = 1e-3
    with pytest.raises(SettingsError, match="learning_rat"):
        train(console, trained.services.trainer, config)


def test_training_that_stays_too_risky_ends_without_a_bundle(
    trained: Trained, console: Console
) -> None:
    config = short_training()
    config["risk_config"] |= {"early_stop_threshold": 0.001, "early_stop_patience": 500}
    with pytest.raises(TrainingError, match="STOPPED_BY_RISK"):
        train(console, trained.services.trainer, config)


def test_main_with_a_missing_configuration_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--training", str(tmp_path / "none.yaml"), "--output", str(tmp_path)]) == 1
    assert "cannot read" in capsys.readouterr().out


def test_main_with_a_short_training_ends_with_the_summary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training = tmp_path / "short.yaml"
    training.write_text(yaml.safe_dump(short_training()))
    assert main(["--training", str(training), "--output", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    for expected in ("model compute", "SLO of 100 µs at p99", "buy and hold", "picture"):
        assert expected in text
    (picture,) = (tmp_path / "out").glob("*/replay.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
