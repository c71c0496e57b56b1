"""What a training consists of between two rollouts, and how to put it back."""

import io
import random
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.save_util import load_from_zip_file, recursive_setattr

from tradewind.errors import TrainingError
from trainer_service.checkpoints.provenance import library_versions
from trainer_service.checkpoints.store import Checkpoint, CheckpointReader

__all__ = ["Stateful", "capture", "capture_environment", "restore"]

# The run's own: when and where it began, and spaces that its environment and networks share.
_NOT_RESTORED: Final = frozenset(
    {"observation_space", "action_space", "start_time", "_num_timesteps_at_start"}
)
_NORMALIZATION: Final = ("obs_rms", "ret_rms", "returns", "old_obs", "old_reward")


@runtime_checkable
class Stateful(Protocol):
    """What a resumed training must find as it was: environment, callback, log writer."""

    def get_state(self) -> Any:
        """Everything that changes; can be pickled, and shares nothing that changes later."""
        ...

    def set_state(self, state: Any) -> None:
        """Goes back to what `get_state` gave."""
        ...


def capture(model: BaseAlgorithm, callbacks: Iterable[BaseCallback]) -> Checkpoint:
    """Takes the state of a training before a rollout.

    Between rollouts a rollout buffer is empty, which is why it is not part of it.

    Args:
        model: The model that learns.
        callbacks: Its callbacks; those that are Stateful are part of it, as are its log writers.

    Raises:
        TrainingError: The environment cannot give its state.
    """
    saved = io.BytesIO()
    model.save(saved)
    replay = getattr(model, "replay_buffer", None)
    return Checkpoint(
        timesteps=model.num_timesteps,
        model=saved.getvalue(),
        state={
            "libraries": library_versions(),
            "environment": capture_environment(model),
            "normalization": _normalization(model),
            "observers": {
                name: one.get_state() for name, one in _observers(model, callbacks).items()
            },
            "log": {name: dict(values) for name, values in _log(model).items()},
            "replay_position": None if replay is None else (replay.pos, replay.full),
            "generators": _generators(model),
        },
        replay={} if replay is None else _filled(replay),
    )


def restore(
    checkpoint: CheckpointReader, model: BaseAlgorithm, callbacks: Iterable[BaseCallback]
) -> None:
    """Puts a training back to where `capture` found it.

    Args:
        checkpoint: What it gave.
        model: A new model of the same configuration, set up to learn.
        callbacks: New callbacks of the same configuration.

    Raises:
        TrainingError: The checkpoint is of a training of another configuration.
    """
    state = checkpoint.state
    try:
        _restore_model(checkpoint, model)
        _environment(model).set_state(state["environment"])
        normalize = model.get_vec_normalize_env()
        if normalize is not None:
            vars(normalize).update(state["normalization"])
        for name, one in _observers(model, callbacks).items():
            one.set_state(state["observers"][name])
        for name, values in _log(model).items():
            values.update(state["log"][name])
        # The last, for whatever came before may have drawn from them.
        _restore_generators(model, state["generators"])
    except (KeyError, ValueError, RuntimeError) as problem:
        raise TrainingError(
            f"the checkpoint at timestep {checkpoint.timesteps} does not fit the training: "
            f"{type(problem).__name__}: {problem}"
        ) from problem


def capture_environment(model: BaseAlgorithm) -> Any:
    """Takes the state of the environment.

    Raises:
        TrainingError: It cannot give its state.
    """
    return _environment(model).get_state()


def _environment(model: BaseAlgorithm) -> Stateful:
    assert model.env is not None
    env = model.env.unwrapped
    if not isinstance(env, Stateful):
        raise TrainingError(
            f"a training in {env} cannot be saved: it has no get_state() and set_state(); "
            "train without checkpoints, or in an IntradayTradingEnv"
        )
    return env


def _normalization(model: BaseAlgorithm) -> dict[str, Any]:
    normalize = model.get_vec_normalize_env()
    if normalize is None:
        return {}
    return {name: vars(normalize)[name] for name in _NORMALIZATION if name in vars(normalize)}


def _observers(model: BaseAlgorithm, callbacks: Iterable[BaseCallback]) -> dict[str, Stateful]:
    """The callbacks and log writers that remember something, by name."""
    found = [one for one in (*callbacks, *model.logger.output_formats) if isinstance(one, Stateful)]
    return {type(one).__name__: one for one in found}


def _log(model: BaseAlgorithm) -> Mapping[str, dict[str, Any]]:
    """What was recorded since the last dump."""
    return {"values": model.logger.name_to_value, "counts": model.logger.name_to_count}


def _filled(buffer: ReplayBuffer) -> dict[str, NDArray[Any]]:
    rows = buffer.buffer_size if buffer.full else buffer.pos
    return {name: array[:rows] for name, array in _rings(buffer).items()}


def _rings(buffer: ReplayBuffer) -> dict[str, NDArray[Any]]:
    """The arrays of a replay buffer that have a row for each transition."""
    return {
        name: value
        for name, value in vars(buffer).items()
        if isinstance(value, np.ndarray) and value.shape[:1] == (buffer.buffer_size,)
    }


def _restore_model(checkpoint: CheckpointReader, model: BaseAlgorithm) -> None:
    """As `BaseAlgorithm.load` does it, but in place and with the replay buffer."""
    data, parameters, variables = load_from_zip_file(
        io.BytesIO(checkpoint.model), device=model.device
    )
    assert data is not None
    vars(model).update({name: data[name] for name in data if name not in _NOT_RESTORED})
    model.set_parameters(parameters, exact_match=True, device=model.device)
    for name, value in (variables or {}).items():
        if value is not None:  # SAC without a learned entropy coefficient
            recursive_setattr(model, f"{name}.data", value.data)
    model._num_timesteps_at_start = model.num_timesteps
    buffer = getattr(model, "replay_buffer", None)
    if buffer is not None:
        buffer.pos, buffer.full = checkpoint.state["replay_position"]
        rings = _rings(buffer)
        for name, rows in checkpoint.replay():
            rings[name][: len(rows)] = rows


def _generators(model: BaseAlgorithm) -> dict[str, Any]:
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "action_space": model.action_space.np_random.bit_generator.state,
    }


def _restore_generators(model: BaseAlgorithm, states: Mapping[str, Any]) -> None:
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])
    model.action_space.np_random.bit_generator.state = states["action_space"]
