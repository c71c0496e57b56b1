"""A trained model whose bundle cannot be published is kept, and exported later."""

import json
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import trainer_service.training.agent
import trainer_service.training.draft
from tradewind.bundle import BundleStore, SigningKey, TrustedKeys, read_bundle
from tradewind.errors import ConflictError, ExportError, NotFoundError, StorageError
from tradewind.market import Bars
from tradewind.policy import TorchScriptPolicy
from tradewind_cli.__main__ import main
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv
from trainer_service.jobs.failures import describe_failure
from trainer_service.training.agent import create_trainer_agent
from trainer_service.training.kept import export_draft

MakeValues = Callable[..., dict[str, Any]]
CONFIG = EnvironmentConfig(episode_bars=40)


class Own(IntradayTradingEnv):
    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, 2.0 * reward, *rest


def make_values(make: MakeValues, risk_policy: Path, algorithm: str = "PPO") -> dict[str, Any]:
    values = make(
        algorithm,
        training_params={
            "total_timesteps": 256,
            "n_envs": 2,
            "normalize_observations": True,
            "normalize_rewards": True,
        },
        risk_config={
            "enabled": True,
            "policy_yaml": str(risk_policy),
            "early_stop_threshold": None,
            "lagrangian": {"constraints": {"max_drawdown": 0.1}, "episodes": 2},
        },
        evaluation={"resamples": 100},
    )
    if algorithm == "DQN":
        values["algo_params"]["target_update_interval"] = 100
    return values


def fail(problem: BaseException) -> Callable[..., Any]:
    def raise_it(*_: Any, **__: Any) -> Any:
        raise problem

    return raise_it


def only_draft(values: dict[str, Any]) -> Path:
    (draft,) = Path(values["drafts"]).iterdir()
    return draft


def full() -> OSError:
    """An error of its own each time: notes are added to it."""
    return OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("module", "name", "problem"),
    [
        (trainer_service.training.draft, "evaluate", RuntimeError("the evaluation broke")),
        (trainer_service.training.draft, "verify_policy", ExportError("differs from the model")),
        (trainer_service.training.draft, "render_report", KeyError("no such figure")),
        (trainer_service.training.draft, "measure_latency", KeyboardInterrupt()),
        (trainer_service.training.draft, "build_network", MemoryError()),
        (BundleStore, "publish", full()),
        (BundleStore, "publish", SystemExit(143)),
    ],
    ids=lambda given: getattr(given, "__name__", None) or str(given),
)
def test_training_that_fails_after_it_has_learnt_keeps_the_model_that_is_exported_later(
    btc: Bars,
    training_values: MakeValues,
    risk_policy: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    problem: BaseException,
) -> None:
    values = make_values(training_values, risk_policy)
    trainer, env = create_trainer_agent(values), Own(btc, CONFIG)
    with monkeypatch.context() as broken:
        broken.setattr(module, name, fail(problem))
        with pytest.raises(type(problem)) as failure:
            trainer.run(env)
    draft = only_draft(values)
    said = failure.value.__notes__[0]
    assert f"`tradewind bundle export {draft}` tries again" in said
    if isinstance(problem, Exception):
        assert str(draft) in describe_failure(failure.value, None)
    assert not list(Path(values["store"]).glob("*/*"))
    about = json.loads((draft / "draft.json").read_text())
    assert (about["policy"], about["algorithm"], about["timesteps"]) == ("tiny", "PPO", 256)

    found = export_draft(draft)

    assert not draft.exists()
    expected = trainer.train(env)
    assert not list(Path(values["drafts"]).iterdir())
    assert found.metadata.sha256 == expected.metadata.sha256
    assert found.metadata.evaluation == expected.metadata.evaluation
    assert found.metadata.training == expected.metadata.training
    assert found.metadata.risk == expected.metadata.risk
    assert found.metadata.features == expected.metadata.features
    assert TorchScriptPolicy.load_bundle(found.path).metadata.algo == "SB3-PPO"
    # The latencies in them are measured anew.
    report, other = ((each.path / "report.html").read_text() for each in (found, expected))
    assert report.partition("Model compute")[0].count("<tr") == (
        other.partition("Model compute")[0].count("<tr")
    )


@pytest.mark.parametrize("algorithm", ["DQN", "SAC"])
def test_draft_of_every_kind_of_model_gives_the_bundle_that_the_training_would_have(
    btc: Bars,
    training_values: MakeValues,
    risk_policy: Path,
    monkeypatch: pytest.MonkeyPatch,
    algorithm: str,
) -> None:
    values = make_values(training_values, risk_policy, algorithm)
    kind: Any = "continuous" if algorithm == "SAC" else "discrete"
    env = IntradayTradingEnv(btc, EnvironmentConfig(episode_bars=40, actions=kind))
    trainer = create_trainer_agent(values)
    with monkeypatch.context() as broken:
        broken.setattr(BundleStore, "publish", fail(full()))
        with pytest.raises(OSError, match="No space left"):
            trainer.run(env)
    found, expected = export_draft(only_draft(values)), trainer.train(env)
    assert found.metadata.sha256 == expected.metadata.sha256
    assert found.metadata.distribution == expected.metadata.distribution
    assert found.metadata.evaluation == expected.metadata.evaluation


def test_draft_of_an_environment_without_bars_is_exported_without_it(
    training_values: MakeValues, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = {"total_timesteps": 256, "held_out_fraction": None}
    values = training_values("PPO", training_params=training)
    trainer = create_trainer_agent(values)
    with monkeypatch.context() as broken:
        broken.setattr(
            trainer_service.training.draft, "record_observations", fail(ValueError("closed"))
        )
        with pytest.raises(ValueError, match="closed"):
            trainer.run(gymnasium.make("CartPole-v1"))
    found = export_draft(only_draft(values))
    expected = trainer.train(gymnasium.make("CartPole-v1"))
    assert found.metadata.sha256 == expected.metadata.sha256


def test_draft_on_a_full_disk_goes_elsewhere_or_is_said_to_be_lost(
    btc: Bars,
    training_values: MakeValues,
    risk_policy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    blocked, temporary = tmp_path / "a-file", tmp_path / "temporary"
    blocked.write_text("no folder can be made below it")
    values = {**make_values(training_values, risk_policy), "drafts": str(blocked)}
    trainer, env = create_trainer_agent(values), IntradayTradingEnv(btc, CONFIG)
    monkeypatch.setattr(BundleStore, "publish", fail(full()))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(temporary))
    with pytest.raises(OSError, match="No space left") as failure:
        trainer.run(env)
    (kept,) = (temporary / "tradewind-drafts").iterdir()
    assert str(kept) in failure.value.__notes__[0]

    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(blocked))
    with caplog.at_level(logging.WARNING), pytest.raises(OSError, match="No space left"):
        trainer.run(env)
    lost = [record for record in caplog.records if "cannot be kept in" in record.getMessage()]
    assert len(lost) >= 2


def test_export_command_publishes_a_draft_signed_and_without_its_report(
    btc: Bars,
    training_values: MakeValues,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    policy = tmp_path / "limits.yaml"
    policy.write_text("limits: {max_drawdown: {limit: 0.5}}\nmonitor_only: true\n...\n")
    values = make_values(training_values, policy)
    with monkeypatch.context() as broken:
        broken.setattr(trainer_service.training.draft, "render_report", fail(ZeroDivisionError()))
        with pytest.raises(ZeroDivisionError):
            create_trainer_agent(values).run(IntradayTradingEnv(btc, CONFIG))
    draft, key, store = only_draft(values), tmp_path / "key", tmp_path / "elsewhere"
    SigningKey.create(key)
    policy.write_text(
        "limits: {max_drawdown: {limit: 0.1}}\nmonitor_only: true\n...\n"
    )  # changed since

    arguments = ["--store", str(store), "--key", str(key), "--without-report", "--json"]
    assert main(["bundle", "export", str(draft), *arguments]) == 0

    answer = json.loads(capsys.readouterr().out)
    trusted = TrustedKeys.load([Path(f"{key}.pub")], required=True)
    bundle = read_bundle(Path(answer["bundle"]), trusted=trusted)
    assert bundle.metadata.risk is not None
    assert bundle.metadata.risk.limits == {"max_drawdown": 0.5}
    assert not (Path(answer["bundle"]) / "report.html").exists()
    assert not draft.exists()
    assert main(["bundle", "export", str(draft)]) != 0
    assert "is no draft of a trained model" in capsys.readouterr().err


def test_draft_that_is_none_or_that_others_may_write_or_that_is_damaged_is_refused(
    btc: Bars, training_values: MakeValues, risk_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = make_values(training_values, risk_policy)
    monkeypatch.setattr(BundleStore, "publish", fail(full()))
    with pytest.raises(OSError, match="No space left"):
        create_trainer_agent(values).run(IntradayTradingEnv(btc, CONFIG))
    draft = only_draft(values)
    assert draft.stat().st_mode & 0o077 == 0
    with pytest.raises(NotFoundError, match="is no draft"):
        export_draft(draft / "other")
    draft.chmod(0o722)
    with pytest.raises(ConflictError, match="others may write to it"):
        export_draft(draft)
    draft.chmod(0o700)
    with pytest.raises(OSError, match="No space left"):
        export_draft(draft)
    assert draft.exists()  # for the next try
    (draft / "state.pickle").write_bytes(b"cut short")
    with pytest.raises(StorageError, match="cannot be read"):
        export_draft(draft)
