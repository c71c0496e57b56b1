"""Trainings followed in TensorBoard and in a real MLflow database."""

import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from tradewind.bundle import BundleStore
from tradewind.errors import SettingsError, StoppedByRiskError, StorageError, TrainingError
from tradewind.market import Bars
from tradewind.urls import sqlite_url
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv
from trainer_service.tracking import TrackingConfig, open_trackers
from trainer_service.training.agent import create_trainer_agent

MakeValues = Callable[..., dict[str, Any]]

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload``")


def make_env(bars: Bars) -> IntradayTradingEnv:
    return IntradayTradingEnv(bars.slice(0, 1_000), EnvironmentConfig(episode_bars=50))


def tracked_values(make: MakeValues, **tracking: Any) -> dict[str, Any]:
    return make("PPO", training_params={"total_timesteps": 512}, tracking=tracking)


def test_train_with_tensorboard_writes_curves_and_held_out_figures(
    training_values: MakeValues, btc: Bars, tmp_path: Path
) -> None:
    values = tracked_values(training_values, tensorboard=str(tmp_path / "tb"))

    bundle = create_trainer_agent(values).train(make_env(btc))

    (run,) = (tmp_path / "tb" / "tiny").iterdir()
    events = EventAccumulator(str(run))
    events.Reload()
    losses = events.Scalars("train/value_loss")
    assert len(losses) > 2
    assert losses[-1].step <= 512
    (sharpe,) = events.Scalars("evaluation/sharpe")
    assert sharpe.step == 512
    assert sharpe.value == pytest.approx(bundle.metadata.evaluation["sharpe"], rel=1e-6)
    assert "configuration/text_summary" in events.Tags()["tensors"]


def test_train_with_mlflow_logs_parameters_metrics_report_and_bundle(
    training_values: MakeValues, btc: Bars, tmp_path: Path
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    values = tracked_values(training_values, tensorboard=None, mlflow_uri=uri, experiment="btc")

    bundle = create_trainer_agent(values).train(make_env(btc))

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("btc")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["algo_params.gamma"] == "0.99"
    assert run.data.params["training_params.total_timesteps"] == "512"
    assert run.data.metrics["evaluation/return"] == bundle.metadata.evaluation["return"]
    history = client.get_metric_history(run.info.run_id, "train/value_loss")
    assert [point.step for point in history] == sorted({point.step for point in history})
    assert len(history) > 2
    assert run.data.tags["tradewind.sha256"] == bundle.metadata.sha256
    files = {item.path for item in client.list_artifacts(run.info.run_id, "bundle")}
    assert {f"bundle/{name}" for name in ("policy.pt", "metadata.json", "report.html")} <= files
    assert (tmp_path / "mlartifacts").is_dir()
    # The configuration in the bundle says nothing about where it was followed.
    assert "tracking" not in bundle.metadata.training.config

    strict = tmp_path / "strict.yaml"
    strict.write_text("{limits: {max_drawdown: {limit: 0.00001}}, monitor_only: true}\n")
    values["risk_config"] = {
        "enabled": True,
        "policy_yaml": str(strict),
        "early_stop_patience": 100,
    }
    with pytest.raises(StoppedByRiskError):
        create_trainer_agent(values).train(make_env(btc))
    ends = [found.info.status for found in client.search_runs([experiment.experiment_id])]
    assert sorted(ends) == ["FAILED", "FINISHED"]


def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_mlflow_run_takes_any_symbol_and_any_length_as_parameters(tmp_path: Path) -> None:
    folder = tmp_path / "with %2F"
    folder.mkdir()
    uri = sqlite_url(folder / "mlflow.db")
    symbols = ("ETH", "^GSPC", "EURUSD=X", "M&M", "a/../b", "/", "..", "", "ü", "x:y", "Ω" * 300)
    paths = {symbol: f"{number}.csv" for number, symbol in enumerate(symbols)}
    parameters = {"data": {"paths": paths}, "note": "x" * 20_000, "empty": "", "none": {}}
    config = TrackingConfig(tensorboard=None, mlflow_uri=uri, experiment="^odd?%41")
    with open_trackers(config, "tiny", parameters):
        pass
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("^odd?%41")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    found = run.data.params
    assert found["data.paths.ETH"] == "0.csv"
    assert found["data.paths.:5E:GSPC"] == "1.csv"
    assert found["data.paths.EURUSD:3D:X"] == "2.csv"
    assert sorted(it for it in found.values() if it.endswith(".csv")) == sorted(paths.values())
    assert len(found["note"]) == 6_000
    assert Path(experiment.artifact_location.removeprefix("file://")).name == "mlartifacts"


def test_mlflow_run_that_cannot_be_begun_leaves_nothing_behind_and_blames_no_uri(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = sqlite_url(tmp_path / "mlflow.db")
    config = TrackingConfig(tensorboard=None, mlflow_uri=uri, experiment="x")
    refusal = MlflowException("no such name", error_code=INVALID_PARAMETER_VALUE)
    for problem in (refusal, OSError("gone"), KeyboardInterrupt()):
        with monkeypatch.context() as broken:

            def fail(*_: Any, problem: BaseException = problem, **__: Any) -> None:
                raise problem

            broken.setattr(MlflowClient, "log_batch", fail)
            with (
                pytest.raises((TrainingError, KeyboardInterrupt)) as failure,
                open_trackers(config, "tiny", {"a": 1}),
            ):
                pass
        if problem is refusal:
            assert "MLflow refuses the configuration" in str(failure.value)
            assert "mlflow_uri" not in str(failure.value)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("x")
    assert experiment is not None
    assert client.search_runs([experiment.experiment_id]) == []


@pytest.mark.parametrize("kind", ["nobody listens", "no such scheme", "no such folder"])
def test_train_with_an_mlflow_uri_that_cannot_be_used_fails_before_it_starts(
    training_values: MakeValues, btc: Bars, tmp_path: Path, kind: str
) -> None:
    uri = {
        "nobody listens": f"http://user:secret@127.0.0.1:{unused_port()}",
        "no such scheme": "carrier-pigeon://loft",
        "no such folder": "sqlite:////proc/nowhere/mlflow.db",
    }[kind]
    values = tracked_values(training_values, tensorboard=None, mlflow_uri=uri)

    with pytest.raises(TrainingError, match=r"tracking\.mlflow_uri: cannot use") as refusal:
        create_trainer_agent(values).train(make_env(btc))

    assert "secret" not in str(refusal.value)
    assert not BundleStore(values["store"]).root.exists()


def test_train_with_a_tracker_that_breaks_later_warns_and_publishes(
    training_values: MakeValues,
    btc: Bars,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = tmp_path / "mlflow.db"
    values = tracked_values(training_values, tensorboard=None, mlflow_uri=f"sqlite:///{database}")

    def break_the_database(_progress: Any) -> None:
        if database.exists():
            database.write_bytes(b"this is no database any more" * 10_000)

    with caplog.at_level(logging.WARNING, logger="trainer_service.tracking"):
        bundle = create_trainer_agent(values).train(make_env(btc), break_the_database)

    assert bundle.path.exists()
    assert "MLflow failed, the training goes on without it" in caplog.text


def test_train_with_a_tensorboard_folder_that_is_a_file_fails_before_it_starts(
    training_values: MakeValues, btc: Bars, tmp_path: Path
) -> None:
    (tmp_path / "tb").write_text("a file")
    values = tracked_values(training_values, tensorboard=str(tmp_path / "tb"))

    with pytest.raises(StorageError, match=r"tracking\.tensorboard: cannot write"):
        create_trainer_agent(values).train(make_env(btc))


def test_open_trackers_with_a_tracker_that_fails_goes_on_without_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = TrackingConfig(tensorboard=tmp_path)

    with open_trackers(config, "tiny", {}) as trackers:
        trackers.write({"a": 1.0}, {"a": ()}, step=1)
        (tracker,) = trackers._trackers
        tracker.close("FINISHED")
        # TensorBoard makes a new file after a close, unless its folder has become something else.
        (run,) = (tmp_path / "tiny").iterdir()
        for file in run.iterdir():
            file.unlink()
        run.rmdir()
        run.write_text("a file")
        trackers.write({"a": 2.0}, {"a": ()}, step=2)
        trackers.write({"a": 3.0}, {"a": ()}, step=3)

    assert caplog.text.count("TensorBoardTracker failed") == 1


def test_config_with_an_unknown_tracking_key_is_refused(training_values: MakeValues) -> None:
    with pytest.raises(SettingsError, match=r"tracking\.wandb"):
        create_trainer_agent(training_values(tracking={"wandb": "x"}))
