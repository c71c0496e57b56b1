"""What earlier releases left at their users' is read by this one, for ever.

Each folder beside this file was made by `make.py` with the code of a release, and never again.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.account.journal import Journal
from orchestrator.agents.contract import read_contract
from orchestrator.analysis.decision_replay import verify
from orchestrator.analysis.decision_replay.verify import NEVER_COMPARED
from orchestrator.brokers.books import Books
from orchestrator.decision_log import DecisionLog
from orchestrator.settings import OrchestratorSettings
from risk_service.audit.database import Database
from risk_service.audit.decision import JournaledDecision
from risk_service.audit.trail import AuditTrail
from risk_service.verify import find_faults
from tradewind.bundle import BundleStore
from tradewind.jobs import JobState
from tradewind.market import FeatureSpec, load_bars
from tradewind.policy import TorchScriptPolicy
from tradewind.risk import RiskOverlay, RiskPolicy
from tradewind.settings import load_settings, parse_settings
from trainer_service.checkpoints import Checkpointing, CheckpointSettings
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv
from trainer_service.jobs.store import JobStore
from trainer_service.service.settings import TrainerServiceSettings
from trainer_service.training.agent import create_trainer_agent
from trainer_service.training.config import JobConfig
from trainer_service.training.kept import export_draft

FOLDER = Path(__file__).parent
RELEASES = sorted(path.name for path in FOLDER.iterdir() if (path / "about.json").exists())


@pytest.fixture(params=RELEASES)
def released(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of what a release left, which is the working directory."""
    copy = tmp_path / "released"
    shutil.copytree(FOLDER / request.param, copy)
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)  # as it was before it was committed
    monkeypatch.chdir(copy)
    return copy


def about(released: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((released / "about.json").read_text())
    return said


def the_bundle(released: Path) -> Path:
    store = BundleStore(released / "store")
    (version,) = store.versions("tiny-ppo")
    return store.path("tiny-ppo", version)


def environment(released: Path) -> IntradayTradingEnv:
    said = about(released)
    bars = load_bars(released / "bars.csv", "BTC")
    config = EnvironmentConfig(**said["environment"])
    return IntradayTradingEnv(bars, config, FeatureSpec(**said["features"]))


def test_release_0_1_is_there() -> None:
    assert "0.1" in RELEASES


def test_released_policy_and_features_have_the_digests_that_they_had(released: Path) -> None:
    said = about(released)
    policy = RiskPolicy.from_yaml(released / "risk_policy.yaml")
    assert policy.has_digest(said["risk_policy_digest"])
    spec = FeatureSpec(**said["features"])
    assert spec.identity.match(said["feature_spec_digest"], None).same


def test_released_bundle_acts_as_it_did_and_is_of_the_same_contract(released: Path) -> None:
    path = the_bundle(released)
    loaded = TorchScriptPolicy.load_bundle(path)
    actions, _ = loaded.predict_batch(loaded.golden.observations)
    assert actions.tolist() == loaded.golden.actions.tolist()
    contract = read_contract((path / "metadata.json").read_text())
    said = about(released)
    assert contract.features == FeatureSpec(**said["features"])
    assert contract.terms.position_fraction == said["environment"]["position_fraction"]
    policy = RiskPolicy.from_yaml(released / "risk_policy.yaml")
    trained_under = str(contract.risk_policy_digest)
    assert policy.identity.match(trained_under, contract.risk_parts).same


def test_released_log_is_replayed_bit_by_bit(released: Path) -> None:
    log = DecisionLog(released / "orchestrator" / "log")
    found = verify(log, BundleStore(released / "store"))
    assert found.first_difference is None
    assert (found.ticks, found.not_checked) == (60, (NEVER_COMPARED,))
    compared = {column.column: column.compared for column in found.columns}
    assert (compared["cash"], compared["risk.max_drawdown"]) == (60, 54)  # 6 to warm up
    assert compared["fills.price"] == len(log.flat("fills")) > 10


def test_released_account_is_gone_on_with(released: Path) -> None:
    kept = released / "orchestrator"
    journal = Journal(kept / "kept.journal")
    assert [entry.sequence for entry in journal.entries] == list(range(60))
    journal.close()
    books = Books(kept / "kept.broker", 20_000.0)
    logged = DecisionLog(kept / "log").flat("fills")
    assert [fill.price for fill in books.fills(0)] == logged["price"].to_pylist()
    books.close()
    settings = load_settings(released / "orchestrator.yaml", OrchestratorSettings)
    assert settings.symbols == ("BTC",)


@pytest.mark.parametrize("algorithm", ["PPO", "DQN"])
def test_released_checkpoint_is_resumed(released: Path, algorithm: str) -> None:
    config = json.loads((released / f"training-{algorithm}.json").read_text())
    notes: list[str] = []
    settings = CheckpointSettings(
        folder=released / "checkpoints" / algorithm, interval_s=None, interval_timesteps=10**6
    )
    bundle = create_trainer_agent(config).train(
        environment(released), checkpointing=Checkpointing(settings, on_note=notes.append)
    )
    assert "resumed from the checkpoint at timestep 256" in notes
    assert bundle.metadata.training.timesteps == 512


@pytest.mark.parametrize("algorithm", ["PPO", "DQN"])
def test_released_draft_is_made_a_bundle(released: Path, algorithm: str) -> None:
    bundle = export_draft(released / "drafts" / algorithm, store=released / "published")
    spec = FeatureSpec(**about(released)["features"])
    assert bundle.metadata.features is not None
    assert bundle.metadata.features.digest == spec.digest
    assert bundle.metadata.training.config["environment"]["allow_short"] is True  # type: ignore[index, call-overload]


def test_released_job_store_goes_on(released: Path) -> None:
    store = JobStore(f"sqlite:///{released}/jobs.sqlite")
    jobs, _ = store.list_page(10, "")
    states = {job.request_id: job.state for job in jobs}
    assert states == {
        "good": JobState.SUCCEEDED,
        "bad": JobState.FAILED,
        "cancelled": JobState.CANCELLED,
        "cancelled-too": JobState.CANCELLED,
    }
    for job in jobs:
        config = parse_settings(json.loads(job.config_json), JobConfig)
        assert config.training_params.n_envs == 2
    again = store.add(jobs[0])
    assert again.job_id == jobs[0].job_id  # its request is still known
    store.close()
    settings = load_settings(released / "trainer.yaml", TrainerServiceSettings)
    assert settings.store == Path("store")


def test_released_audit_trail_is_whole_and_its_halts_are_in_force(released: Path) -> None:
    database = Database(f"sqlite:///{released}/audit.sqlite")
    trail = AuditTrail(database, released / "audit.sqlite.journal")
    halted = {name for name, standing in trail.restored.items() if standing.is_halted}
    decisions = [JournaledDecision.from_json(row.payload) for row in trail.page("", None, 200)]
    trail.wait(trail.submit(replace(decisions[0], decision_id="of this release")))  # it goes on
    assert len(trail.page("", None, 200)) == len(decisions) + 1
    trail.close()
    assert halted == {"halted-still"}
    assert len(decisions) == 54 + 3
    overlay_digest = about(released).get("overlay_digest", "")
    assert {decision.overlay_digest for decision in decisions} == {overlay_digest}
    if overlay_digest:
        text = (released / "overlay.yaml").read_bytes()
        assert RiskOverlay.from_text(text, "overlay.yaml").digest() == overlay_digest
    closed = Database(f"sqlite:///{released}/audit.sqlite")
    with closed.snapshot() as connection:
        assert list(find_faults(connection)) == []
    closed.close()
