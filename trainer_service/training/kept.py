"""The model of a training, kept until its bundle is published: whatever fails, it is not lost."""

import contextlib
import io
import json
import logging
import pickle
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import cloudpickle  # type: ignore[import-untyped]
import gymnasium
import numpy as np
from gymnasium import spaces
from pydantic import BaseModel

from tradewind.bundle import PublishedBundle, SigningKey, publish_bundle
from tradewind.errors import NotFoundError, StorageError
from tradewind.market import FeatureSpec
from tradewind.shipped import shipped_or_own
from trainer_service.algorithms import find_algorithm
from trainer_service.checkpoints.run_folder import check_own
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv
from trainer_service.progress import ProgressListener, ProgressReporter
from trainer_service.training.config import JobConfig, TrainingConfig
from trainer_service.training.draft import Trained, make_draft
from trainer_service.training.workspace import Workspace

__all__ = ["KeptModel", "export_draft", "keep_model"]

_LOG = logging.getLogger(__name__)

_MODEL, _STATE, _ABOUT, _RISK = "model.zip", "state.pickle", "draft.json", "risk_policy.yaml"
_NORMALIZATION: Final = ("obs_rms", "ret_rms")
_TRIAL_OBSERVATIONS: Final = 256
_MOVED: Final = {
    "trainer_service.config": "trainer_service.training.config",
    "trainer_service.multipliers": "trainer_service.callbacks.multipliers",
    "trainer_service.resources": "trainer_service.training.resources",
}
"""Where the classes are now that drafts of release 0.1 name."""


@dataclass(frozen=True)
class KeptModel:
    """A draft folder, which `tradewind bundle export` makes a bundle of.

    Attributes:
        folder: The folder.
    """

    folder: Path

    def remove(self) -> None:
        """Removes it: the bundle is published."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def unless_published(self) -> Iterator[None]:
        """Removes the draft when the block ends well; else says in the exception where it is."""
        try:
            yield
        except BaseException as problem:
            said = f"the trained model is kept: `tradewind bundle export {self.folder}` tries again"
            problem.add_note(said)
            _LOG.warning("no bundle was published (%s); %s", type(problem).__name__, said)
            raise
        self.remove()


def keep_model(trained: Trained, workspace: Workspace, config: TrainingConfig) -> KeptModel | None:
    """Writes a trained model to a draft folder, with all that its bundle is to be made from.

    Where `config.drafts` cannot be written, a folder for temporary files is tried.

    Args:
        trained: The model, and what was noted while it learnt.
        workspace: Where it was trained.
        config: How it was trained.

    Returns:
        None when it can be kept nowhere, which the log says.
    """
    name = f"{config.policy}-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
    for root in (config.drafts, Path(tempfile.gettempdir()) / "tradewind-drafts"):
        try:
            return _write(root.absolute() / name, trained, workspace, config)
        except Exception as problem:  # so does what pickles a user's classes
            _LOG.warning("the trained model cannot be kept in %s: %s", root, problem)
    return None


def export_draft(
    folder: Path,
    *,
    store: Path | None = None,
    signing_key: Path | None = None,
    report: bool = True,
    on_progress: ProgressListener = lambda _: None,
) -> PublishedBundle:
    """Evaluates, exports and publishes a model that was kept, and removes its draft folder.

    The folder holds pickles: reading one is running code of whoever wrote it, so one that belongs
    to another user is refused.

    Args:
        folder: The draft folder.
        store: The bundle store to publish to; by default that of the training.
        signing_key: File of the key that signs the bundle; by default that of the training.
        report: Whether the bundle is to hold a report, if the training was to write one.
        on_progress: Called at every phase.

    Raises:
        NotFoundError: There is no draft.
        ConflictError: It belongs to another user, or others may write to it.
        StorageError: It cannot be read, or the bundle cannot be written.
        ExportError: The exported network differs from the model, or is not finite.
    """
    state = _read(folder)
    config = _config(state, folder)
    changes: dict[str, Any] = {
        "store": config.store if store is None else store,
        "signing_key": config.signing_key if signing_key is None else signing_key,
    }
    if not report:
        changes["evaluation"] = config.evaluation.model_copy(update={"report": False})
    config = config.model_copy(update=changes)
    key = None if config.signing_key is None else SigningKey.load(config.signing_key)
    workspace = _workspace(state, config)
    model_class = find_algorithm(config.algorithm).model_class
    model = model_class.load(folder / _MODEL, env=workspace.training_env, device="cpu")
    statistics = model.get_vec_normalize_env()
    if statistics is not None:
        vars(statistics).update(state["normalization"])
    reporter = ProgressReporter(on_progress, config.training_params.total_timesteps)
    trained = Trained(model, state["history"], state["constraints"], state["device"])
    draft = make_draft(trained, workspace, config, reporter, risk_policy=folder / _RISK)
    bundle = publish_bundle(config.store, draft, key)
    KeptModel(folder).remove()
    return bundle


def _write(
    folder: Path, trained: Trained, workspace: Workspace, config: TrainingConfig
) -> KeptModel:
    model, trading_env = trained.model, workspace.trading_env
    statistics = model.get_vec_normalize_env()
    state = {
        # Values, not objects: those of a later release have other settings.
        "config": config.model_dump(),
        "bars": workspace.bars,
        "environment": None if trading_env is None else trading_env.config.model_dump(),
        "features": None if trading_env is None else trading_env.feature_spec.model_dump(),
        "record": workspace.record,
        "spaces": (model.observation_space, model.action_space),
        "normalization": {}
        if statistics is None
        else {name: vars(statistics)[name] for name in _NORMALIZATION if name in vars(statistics)},
        "history": dict(trained.history),
        "constraints": trained.constraints,
        "device": trained.device,
    }
    about = {
        "policy": config.policy,
        "algorithm": config.algorithm,
        "timesteps": model.num_timesteps,
        "created_at": datetime.now(UTC).isoformat(),
        "store": str(config.store),
        "note": "a trained model without a bundle; tradewind bundle export makes one of it",
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        model.save(temporary / _MODEL)
        (temporary / _STATE).write_bytes(cloudpickle.dumps(state))
        shutil.copyfile(shipped_or_own(config.risk_config.policy_yaml), temporary / _RISK)
        (temporary / _ABOUT).write_text(json.dumps(about, indent=1))
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return KeptModel(folder)


def _read(folder: Path) -> dict[str, Any]:
    try:
        check_own(folder / _STATE, "a draft")
        content = (folder / _STATE).read_bytes()
    except OSError as problem:
        raise NotFoundError(f"{folder} is no draft of a trained model: {problem}") from None
    try:
        state: dict[str, Any] = _Unpickler(io.BytesIO(content)).load()
    except Exception as problem:  # pickle raises whatever it likes
        raise StorageError(
            f"{folder} cannot be read: {problem}. If another release kept it, export it with that"
        ) from problem
    return state


class _Unpickler(pickle.Unpickler):
    """Reads what cloudpickle wrote, of release 0.1 too."""

    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(_MOVED.get(module, module), name)


def _values(settings: Any) -> Any:
    """Settings as they were kept: as values, or by release 0.1 as objects without later fields."""
    if isinstance(settings, BaseModel):
        return {name: _values(value) for name, value in vars(settings).items()}
    return settings


def _config(state: Mapping[str, Any], folder: Path) -> TrainingConfig:
    values = _values(state["config"])
    try:
        return (JobConfig if "data" in values else TrainingConfig).model_validate(values)
    except ValueError as problem:
        raise StorageError(
            f"{folder} was kept by another release, whose settings this one does not take: "
            f"{problem}. Export it with that release"
        ) from problem


class _Spaces(gymnasium.Env[Any, Any]):
    """Stands for an environment that is no more: its spaces are all that an export needs."""

    def __init__(self, observations: spaces.Space[Any], actions: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observations, actions


def _workspace(state: Mapping[str, Any], config: TrainingConfig) -> Workspace:
    training = config.training_params.model_copy(update={"n_envs": 1})
    risk = config.risk_config.model_copy(update={"enabled": False})
    alone = config.model_copy(update={"training_params": training, "risk_config": risk})
    if state["bars"] is not None:
        settings = EnvironmentConfig.model_validate(_values(state["environment"]))
        spec = FeatureSpec.model_validate(_values(state["features"]))
        env = IntradayTradingEnv(state["bars"], settings, spec)
        return replace(Workspace.prepare(env, alone), record=state["record"])
    observations, actions = state["spaces"]
    workspace = Workspace.prepare(_Spaces(observations, actions), alone)
    draws = np.random.default_rng(0).normal(size=(_TRIAL_OBSERVATIONS, *observations.shape))
    drawn = np.clip(draws, observations.low, observations.high).astype(np.float32)
    return replace(workspace, observations=drawn)
