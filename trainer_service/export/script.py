"""Scripting, serialising and proving a policy network."""

import copy
import io
import itertools
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from torch import nn
from torch.jit import ScriptModule

from tradewind.bundle import Distribution
from tradewind.errors import BundleRuntimeError, ExportError
from tradewind.part_options import told
from tradewind.policy import TorchScriptNetwork
from trainer_service.export.declared import declare_export
from trainer_service.export.network import Exporter, build_network

__all__ = ["check_exportable", "script_policy", "serialize", "verify_policy"]

CONTINUOUS_ACTION_TOLERANCE = 1e-5
SCORE_TOLERANCE = 1e-4
_TRIAL_OBSERVATIONS = 64
_CONSTANT = re.compile(rb"  \w+ : Final\[")


def check_exportable(exporter: Exporter, model: BaseAlgorithm) -> None:
    """Exports an untrained model and compares it, so that no training ends without a bundle.

    Raises:
        ExportError: The model cannot become a bundle; the message says why.
    """
    network, distribution = build_network(exporter, model)
    script = script_policy(network)
    try:
        loaded = TorchScriptNetwork(serialize(script))
    except BundleRuntimeError as problem:
        raise ExportError(f"no service would load the network: {problem}") from None
    space = model.observation_space
    assert isinstance(space, spaces.Box)
    declare_export(loaded, space.shape)  # which warns where it cannot
    draws = np.random.default_rng(0).normal(size=(_TRIAL_OBSERVATIONS, *space.shape))
    observations = np.clip(draws, space.low, space.high).astype(np.float32)
    verify_policy(script, distribution, exporter, model, observations)


def script_policy(network: nn.Module) -> ScriptModule:
    """Scripts a copy of a network on the CPU, its weights detached from training.

    Raises:
        ExportError: A weight is NaN or infinite, or TorchScript cannot express the network:
            a custom feature extractor that cannot be scripted.
    """
    detached = copy.deepcopy(network).cpu().eval().requires_grad_(False)
    for name, parameter in detached.named_parameters():
        if not torch.isfinite(parameter).all():
            raise ExportError(f"{name} holds NaN or infinite values: the training diverged")
    try:
        with _torchscript_deprecation_ignored():
            return torch.jit.script(detached)
    except Exception as problem:  # the compiler raises whatever it trips over in a user's module
        raise ExportError(f"the network cannot be scripted: {problem}") from problem


def serialize(script: ScriptModule) -> bytes:
    """The bytes of policy.pt: equal for equal networks, whichever process made them.

    Left out are the paths of the sources that it was scripted from and an id made from them; the
    constants of a module, which TorchScript takes from a set, are put in order.

    Raises:
        ExportError: The script calls Python, as a function marked torch.jit.ignore does.
    """
    buffer = io.BytesIO()
    try:
        with _torchscript_deprecation_ignored():
            torch.jit.save(script, buffer)
    except (RuntimeError, torch.jit.Error) as problem:
        raise ExportError(f"the network cannot be saved: {problem}") from problem
    stripped = io.BytesIO()
    with zipfile.ZipFile(buffer) as archive, zipfile.ZipFile(stripped, "w") as portable:
        for entry in archive.infolist():
            if entry.filename.endswith((".debug_pkl", ".data/serialization_id")):
                continue
            data = archive.read(entry)
            portable.writestr(entry, _ordered(data) if entry.filename.endswith(".py") else data)
    return stripped.getvalue()


def _ordered(source: bytes) -> bytes:
    """Sorts each run of constants in the code of an archive."""
    lines = source.splitlines(keepends=True)
    runs = itertools.groupby(lines, lambda line: _CONSTANT.match(line) is not None)
    return b"".join(
        itertools.chain.from_iterable(sorted(run) if constant else run for constant, run in runs)
    )


def verify_policy(
    script: ScriptModule,
    distribution: Distribution,
    exporter: Exporter,
    model: BaseAlgorithm,
    observations: NDArray[np.float32],
) -> None:
    """Proves that a scripted policy acts as the model it was made from.

    What is compared of discrete actions are the numbers that they are chosen by: Q values, or
    logarithms of probabilities. Two libraries may add up a layer in another order, so that of two
    actions that are as good as equal the one prefers this and the other that: such an action counts
    only where the best is ahead of the next by more than rounding explains.

    Args:
        script: The scripted policy.
        distribution: What its distribution means.
        exporter: Knows what the model chooses by.
        model: The model, with its VecNormalize, if it has one.
        observations: Observations as the environment gives them. Shape: [N, *shape].

    Raises:
        ExportError: A number that discrete actions are chosen by differs by more than 1e-4 of the
            largest of its observation (of 1 at least), or an action although it is ahead by more
            than twice that; or a continuous action differs by more than 1e-5 of its size (of 1 at
            least); or the two cannot be compared.
    """
    try:
        _compare(script, distribution, exporter, model, observations)
    except (ExportError, MemoryError):
        raise
    except Exception as problem:  # another shape, or what someone's own code raises
        raise ExportError(
            f"the exported policy cannot be compared with the {exporter.name} model: "
            f"{told(problem)}"
        ) from problem


def _compare(
    script: ScriptModule,
    distribution: Distribution,
    exporter: Exporter,
    model: BaseAlgorithm,
    observations: NDArray[np.float32],
) -> None:
    statistics = model.get_vec_normalize_env()
    inputs = observations if statistics is None else statistics.normalize_obs(observations)
    assert isinstance(inputs, np.ndarray)
    with _on_cpu(model.policy) as policy, torch.inference_mode():
        expected, _ = policy.predict(inputs, deterministic=True)
        given = torch.from_numpy(observations)
        actions = script(given).numpy()
        found = script.distribution(given)
        _check_shape("actions", actions, expected.shape)
        if distribution.discrete:
            wanted = exporter.action_scores(model, torch.from_numpy(inputs).float())
            _check_shape("distribution", found, wanted.shape)
            size = torch.clamp(found.abs().amax(dim=1), min=1.0)
            if distribution.kind == "categorical_logits":  # known up to a constant
                found = torch.log_softmax(found, dim=1)
            allowed = (SCORE_TOLERANCE * size).numpy()
            wrong = _differ(found.numpy(), wanted.numpy(), allowed, actions != expected)
        else:
            count, size = len(actions), actions[0].size
            pair = () if distribution.kind == "deterministic" else (2,)
            _check_shape("distribution", found, (count, *pair, size))
            allowed = CONTINUOUS_ACTION_TOLERANCE * np.maximum(1.0, np.abs(expected))
            wrong = ~(np.abs(actions - expected) <= allowed)
    if wrong.any():
        row = int(np.argmax(wrong.reshape(len(wrong), -1).any(axis=1)))
        raise ExportError(
            f"the exported policy differs from the model on {int(wrong.sum())} of {wrong.size} "
            f"action values; first at observation {row}: {actions[row]} instead of {expected[row]}"
        )


def _check_shape(what: str, found: Any, wanted: tuple[int, ...]) -> None:
    if tuple(found.shape) != tuple(wanted):
        raise ExportError(
            f"the exported policy gives its {what} in the shape {tuple(found.shape)}, which should "
            f"be {tuple(wanted)}"
        )


def _differ(
    found: NDArray[np.float32],
    wanted: NDArray[np.float32],
    allowed: NDArray[np.float32],
    turned: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Which actions differ beyond rounding, or are chosen by numbers that do. Shape [N]."""
    apart = ~(np.abs(found - wanted).max(axis=1) <= allowed)
    ranked = np.sort(wanted, axis=1)
    ahead = ranked[:, -1] - ranked[:, -2] > 2.0 * allowed if wanted.shape[1] > 1 else True
    differs: NDArray[np.bool_] = apart | (turned & ahead)
    return differs


@contextmanager
def _on_cpu(policy: BasePolicy) -> Iterator[BasePolicy]:
    """Where the script is too: another device rounds otherwise, and a close choice may turn."""
    device = policy.device
    policy.to("cpu")
    try:
        yield policy
    finally:
        policy.to(device)


@contextmanager
def _torchscript_deprecation_ignored() -> Iterator[None]:
    """Upstream deprecates TorchScript; the bundle format is TorchScript and torch is pinned."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=r"`torch\.jit\.\w+` is deprecated", category=DeprecationWarning
        )
        yield
