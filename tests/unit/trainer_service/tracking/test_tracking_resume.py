"""A training that was interrupted is followed in one run, each step once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)
from tensorboard.summary.writer import event_file_writer  # type: ignore[import-untyped]

from tradewind.market import Bars
from trainer_service.checkpoints import Checkpointing, CheckpointSettings
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv
from trainer_service.tracking import TrackingConfig, open_trackers
from trainer_service.training.agent import create_trainer_agent

MakeValues = Callable[..., dict[str, Any]]

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload``")

INTERVAL = 256
KILLED_AT = 448


class KilledError(Exception):
    """Stands for a kill: nothing after it runs."""


def kill(progress: Any) -> None:
    if progress.timesteps_done >= KILLED_AT:
        raise KilledError


def read_scalars(run: Path, name: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    return [(point.step, point.value) for point in events.Scalars(name)]


@pytest.fixture
def mlflow_uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def train(
    training_values: MakeValues,
    btc: Bars,
    tmp_path: Path,
    mlflow_uri: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Any]:
    # Every step is reported, so that the kill comes at the same one on every machine.
    monkeypatch.setattr("trainer_service.progress._REPORT_INTERVAL_S", 0.0)

    def run(folder: str, on_progress: Any = lambda _: None) -> Any:
        values = training_values(
            "PPO",
            training_params={"total_timesteps": 640, "n_envs": 1},
            tracking={"tensorboard": str(tmp_path / folder / "tb"), "mlflow_uri": mlflow_uri},
            evaluation={"resamples": 100, "report": False},
        )
        settings = CheckpointSettings(
            folder=tmp_path / folder / "checkpoints", interval_s=None, interval_timesteps=INTERVAL
        )
        env = IntradayTradingEnv(btc.slice(0, 1_000), EnvironmentConfig(episode_bars=50))
        return create_trainer_agent(values).train(env, on_progress, Checkpointing(settings))

    return run


def test_interrupted_training_is_followed_in_the_run_it_began_with_each_step_once(
    train: Callable[..., Any], tmp_path: Path, mlflow_uri: str
) -> None:
    with pytest.raises(KilledError):
        train("killed", kill)
    before = read_scalars(next((tmp_path / "killed" / "tb" / "tiny").iterdir()), "train/loss")
    train("killed")
    train("unbroken")

    (run,) = (tmp_path / "killed" / "tb" / "tiny").iterdir()
    (unbroken,) = (tmp_path / "unbroken" / "tb" / "tiny").iterdir()
    losses = read_scalars(run, "train/loss")
    assert losses == read_scalars(unbroken, "train/loss")
    # Some of what the killed attempt had logged came after its checkpoint.
    assert before[-1][0] > INTERVAL
    assert before == losses[: len(before)]

    client = MlflowClient(tracking_uri=mlflow_uri)
    experiment = client.get_experiment_by_name("tradewind")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert [one.info.status for one in runs] == ["FINISHED", "FINISHED"]
    for one in runs:
        history = client.get_metric_history(one.info.run_id, "train/loss")
        steps = [point.step for point in sorted(history, key=lambda point: point.step)]
        assert steps == [step for step, _ in losses]
        assert one.data.tags["tradewind.version"]


def test_training_interrupted_before_its_first_checkpoint_starts_its_curves_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The names of event files end in a count, which passes from 9 to 10 here.
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(9))
    config = TrackingConfig(tensorboard=tmp_path / "tb")
    record = tmp_path / "checkpoints" / "run.json"
    for attempt in (1.0, 2.0):
        with open_trackers(config, "tiny", {}, record) as trackers:
            for step in (10, 20):
                trackers.write({"a": attempt * step}, {"a": ()}, step=step)

    (run,) = (tmp_path / "tb" / "tiny").iterdir()
    assert read_scalars(run, "a") == [(10, 20.0), (20, 40.0)]


def test_training_whose_mlflow_run_was_deleted_begins_another(
    tmp_path: Path, mlflow_uri: str
) -> None:
    config = TrackingConfig(tensorboard=None, mlflow_uri=mlflow_uri)
    record = tmp_path / "run.json"
    client = MlflowClient(tracking_uri=mlflow_uri)
    with open_trackers(config, "tiny", {}, record):
        pass
    experiment = client.get_experiment_by_name("tradewind")
    assert experiment is not None
    (first,) = client.search_runs([experiment.experiment_id])
    client.delete_run(first.info.run_id)

    with open_trackers(config, "tiny", {}, record) as trackers:
        trackers.write({"a": 1.0}, {"a": ()}, step=1)

    (second,) = client.search_runs([experiment.experiment_id])
    assert second.info.run_id != first.info.run_id
    assert second.data.metrics == {"a": 1.0}


def test_record_that_is_not_whole_begins_a_new_run(tmp_path: Path) -> None:
    record = tmp_path / "run.json"
    record.write_text('{"name": "2026')
    with open_trackers(TrackingConfig(tensorboard=tmp_path / "tb"), "tiny", {}, record) as trackers:
        trackers.write({"a": 1.0}, {"a": ()}, step=1)
    (run,) = (tmp_path / "tb" / "tiny").iterdir()
    assert run.name != "2026"
