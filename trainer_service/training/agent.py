"""TrainerAgent: from an environment to a published bundle."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger

from tradewind.bundle import PublishedBundle, SigningKey, publish_bundle
from tradewind.errors import StoppedByRiskError
from tradewind.jobs import TrainingPhase
from tradewind.risk import ProductionRiskAdvisor
from trainer_service.algorithms import find_algorithm
from trainer_service.callbacks import (
    LagrangianCallback,
    LatestMetrics,
    MetricHistory,
    ProgressCallback,
    RiskAwareCallback,
)
from trainer_service.checkpoints import CheckpointCallback, Checkpointing
from trainer_service.export import check_exportable
from trainer_service.progress import ProgressListener, ProgressReporter, shown
from trainer_service.tracking import open_trackers
from trainer_service.training.config import TrainingConfig, parse_training_config
from trainer_service.training.draft import Trained, make_draft
from trainer_service.training.kept import keep_model
from trainer_service.training.workspace import Workspace

__all__ = ["TrainerAgent", "create_trainer_agent"]

_LOG = logging.getLogger(__name__)

# Beside the checkpoints: in which TensorBoard and MLflow run the training goes on.
_RUN_FILE = "run.json"


def create_trainer_agent(config: TrainingConfig | Mapping[str, Any]) -> "TrainerAgent":
    """Makes a trainer from a configuration.

    Args:
        config: `algorithm`, `algo_params`, `training_params`, `risk_config`, `policy`, `store`;
            TrainingConfig says what each may be.

    Raises:
        SettingsError: A key is unknown, missing, of the wrong type or out of range, or the risk
            policy is refused; every violation names its key and what is allowed.
    """
    if isinstance(config, TrainingConfig):
        return TrainerAgent(parse_training_config(config.model_dump(), type(config)))
    return TrainerAgent(parse_training_config(config, TrainingConfig))


class TrainerAgent:
    """Trains one policy and publishes it as a bundle.

    Args:
        config: A configuration that `parse_training_config` gave.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config

    def run(
        self, env: gymnasium.Env[Any, Any], on_progress: ProgressListener | bool = True
    ) -> Path:
        """Trains in an environment, and shows how far it is; see `train`.

        Args:
            env: The environment.
            on_progress: True draws on standard error, unless TRADEWIND_QUIET=1: a bar on a
                terminal, a line in a notebook, a line every few seconds elsewhere. False shows
                nothing; a function is called as `train` calls it.

        Returns:
            Folder of the published bundle.
        """
        with shown(on_progress) as listener:
            return self.train(env, listener).path

    def train(
        self,
        env: gymnasium.Env[Any, Any],
        on_progress: ProgressListener = lambda _: None,
        checkpointing: Checkpointing | None = None,
        *,
        elapsed_s: float = 0.0,
    ) -> PublishedBundle:
        """Trains in an environment, evaluates on its held-out bars, and publishes the bundle.

        An IntradayTradingEnv says what to trade and how: it is copied onto the bars before the
        held-out ones, and is itself never stepped. Any other environment with Box observations of
        float32 is trained in as it is; it has no bars, so nothing can be held out.

        Args:
            env: The environment.
            on_progress: Called at every phase and at most five times a second while training.
            checkpointing: Saves the training as it goes on, and begins with the latest checkpoint
                there is; the bundle is the one that the unbroken training would have made.
            elapsed_s: Seconds that earlier attempts at this training took.

        Raises:
            SettingsError: The signing key cannot be read.
            TrainingError: The environment does not fit the configuration, or the training
                diverged, or the checkpoint is one of another configuration, or MLflow cannot be
                used under its URI.
            ExportError: The model cannot become a bundle; found before it is trained, unless the
                trained network differs from the model.
            StoppedByRiskError: The risk score stayed over the early-stop threshold.
            StorageError: The store, a checkpoint, or the folder of the event files cannot be
                written.

        Once the model has learnt, whatever is raised has a note that says in which draft folder the
        model is kept; `trainer_service.training.kept.export_draft` makes a bundle of it.
        """
        config = self.config
        reporter = ProgressReporter(
            on_progress, config.training_params.total_timesteps, elapsed_s=elapsed_s
        )
        reporter.enter(TrainingPhase.PREPARING)
        # Read before the training: a key that is none costs nothing yet.
        key = None if config.signing_key is None else SigningKey.load(config.signing_key)
        note = _LOG.warning if checkpointing is None else checkpointing.on_note
        with _torch_threads(config.training_params.torch_threads):
            workspace = Workspace.prepare(env, config)
            for remark in workspace.remarks:
                note(remark)
            history = MetricHistory()
            parameters = config.record()
            record = None if checkpointing is None else checkpointing.settings.folder / _RUN_FILE
            with open_trackers(config.tracking, config.policy, parameters, record) as trackers:
                fitted = self._fit(workspace, reporter, [history, trackers], checkpointing, note)
                trained = replace(fitted, history=history.series)
                for remark in [] if trained.constraints is None else trained.constraints.remarks():
                    note(remark)
                kept = keep_model(trained, workspace, config)
                with nullcontext() if kept is None else kept.unless_published():
                    draft = make_draft(trained, workspace, config, reporter)
                    reporter.enter(TrainingPhase.PUBLISHING)
                    bundle = publish_bundle(config.store, draft, key)
                trackers.log_bundle(bundle)
        return bundle

    def fit(self, env: gymnasium.Env[Any, Any], reporter: ProgressReporter) -> Trained:
        """Trains in an environment as `train` does, and publishes nothing.

        Args:
            env: The environment.
            reporter: Told of every phase and step.

        Raises:
            TrainingError, ExportError, StoppedByRiskError: As `train` says.
        """
        with _torch_threads(self.config.training_params.torch_threads):
            return self._fit(Workspace.prepare(env, self.config), reporter)

    def _fit(
        self,
        workspace: Workspace,
        reporter: ProgressReporter,
        writers: Sequence[KVWriter] = (),
        checkpointing: Checkpointing | None = None,
        note: Callable[[str], None] = lambda _: None,
    ) -> Trained:
        model = self._build_model(workspace)
        check_exportable(find_algorithm(self.config.algorithm), model)
        settings = self.config.risk_config.lagrangian
        constraints = None if settings is None else LagrangianCallback(settings, note)
        self._learn(model, reporter, writers, checkpointing, constraints)
        if constraints is None or constraints.multipliers is None:
            return Trained(model)
        return Trained(model, constraints=constraints.multipliers.outcome())

    def _build_model(self, workspace: Workspace) -> BaseAlgorithm:
        training = self.config.training_params
        return find_algorithm(self.config.algorithm).build(
            self.config.algo_params,
            workspace.training_env,
            seed=training.seed,
            device=training.device,
            total_timesteps=training.total_timesteps,
        )

    def _learn(
        self,
        model: BaseAlgorithm,
        reporter: ProgressReporter,
        writers: Sequence[KVWriter],
        checkpointing: Checkpointing | None,
        constraints: LagrangianCallback | None,
    ) -> None:
        metrics = LatestMetrics()
        model.set_logger(Logger(folder=None, output_formats=[metrics, *writers]))
        risk = self._risk_callback()
        callbacks: list[BaseCallback] = [] if risk is None else [risk]
        if constraints is not None:
            callbacks.append(constraints)
        callbacks.append(ProgressCallback(reporter, metrics))
        if checkpointing is not None:
            callbacks.append(CheckpointCallback(checkpointing, tuple(callbacks)))
        reporter.enter(TrainingPhase.TRAINING)
        model.learn(self.config.training_params.total_timesteps, callback=callbacks)
        if risk is not None and risk.stop_reason:
            raise StoppedByRiskError(risk.stop_reason)

    def _risk_callback(self) -> RiskAwareCallback | None:
        risk = self.config.risk_config
        if not risk.enabled:
            return None
        advisor = ProductionRiskAdvisor(risk.policy_yaml)
        advisor.warm_up()  # compiles the kernels, which is no part of training's speed
        return RiskAwareCallback(
            advisor,
            penalty_weight=risk.penalty_weight,
            early_stop_threshold=risk.early_stop_threshold,
            early_stop_patience=risk.early_stop_patience,
        )


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    """Limits torch to some threads inside the block; the setting is one of the whole process."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
