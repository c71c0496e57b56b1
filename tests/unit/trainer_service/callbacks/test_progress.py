"""Progress of a model that learns."""

import math

import numpy as np
import pytest
from stable_baselines3 import DQN
from stable_baselines3.common.logger import Logger

from tradewind.errors import TrainingError
from tradewind.jobs import TrainingPhase, TrainingProgress
from trainer_service.callbacks import LatestMetrics, ProgressCallback
from trainer_service.progress import ProgressReporter


def test_progress_callback_reports_the_last_step_with_the_latest_figures() -> None:
    reports: list[TrainingProgress] = []
    metrics = LatestMetrics()
    model = DQN("MlpPolicy", "CartPole-v1", learning_starts=10, buffer_size=300, device="cpu")
    model.set_logger(Logger(folder=None, output_formats=[metrics]))
    reporter = ProgressReporter(reports.append, timesteps_total=300)
    reporter.enter(TrainingPhase.TRAINING)

    model.learn(300, callback=ProgressCallback(reporter, metrics))

    last = reports[-1]
    assert (last.phase, last.timesteps_done, last.timesteps_total) == ("training", 300, 300)
    assert last.steps_per_second > 0.0
    assert last.metrics["rollout/exploration_rate"] == pytest.approx(0.05)
    done = [report.timesteps_done for report in reports]
    assert done == sorted(done)


def test_progress_reporter_with_many_quick_steps_reports_few() -> None:
    reports: list[TrainingProgress] = []
    reporter = ProgressReporter(reports.append, timesteps_total=10)
    reporter.enter(TrainingPhase.TRAINING)

    for step in range(10):
        reporter.train_step(step, dict)
    reporter.end_training(10, {})

    assert [report.timesteps_done for report in reports] in ([0, 10], [0, 0, 10])


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_latest_metrics_with_loss_that_is_no_number_fails_the_training(loss: float) -> None:
    with pytest.raises(TrainingError, match=r"train/policy_gradient_loss is (nan|inf) after 40"):
        LatestMetrics().write({"train/policy_gradient_loss": loss}, {}, step=40)


def test_latest_metrics_keeps_numbers_and_leaves_out_what_has_no_value() -> None:
    metrics = LatestMetrics()

    metrics.write({"train/loss": np.float32(0.5), "train/explained_variance": math.nan}, {})
    metrics.write({"rollout/ep_len_mean": 3, "note": "text"}, {})

    assert metrics.values == {"train/loss": 0.5, "rollout/ep_len_mean": 3.0}
