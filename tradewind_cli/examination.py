"""What `tradewind doctor` looks at, each part of it by a function that gives its findings."""

import contextlib
import ctypes
import errno
import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, Final, NamedTuple

from packaging.requirements import Requirement

from tradewind import __version__
from tradewind.address import UNIX, host_and_port
from tradewind.errors import StorageError, TradewindError
from tradewind.files import read_file
from tradewind.ports import EPHEMERAL_CURE, is_ephemeral, owner_of
from tradewind.settings import load_settings

__all__ = ["Finding", "State", "examine"]

_EXTRAS: Final = ("inference", "risk", "trainer", "orchestrator", "cli")
_LEAST_FREE: Final = 2**30
_UNSYNCHRONISED: Final = 5  # TIME_ERROR of adjtimex(2)


class State(StrEnum):
    """What a finding means."""

    GOOD = "ok"
    NOTE = "note"
    """Something is not there, which may be as it should be."""

    BAD = "BAD"
    """It would fail."""


class Finding(NamedTuple):
    """One thing that was looked at."""

    state: State
    what: str
    found: str


def examine(config: Path) -> Iterator[Finding]:
    """Looks at everything, one part after the other."""
    parts: tuple[Callable[[], Iterator[Finding]], ...] = (
        _versions,
        _extras,
        _torch,
        _kernels,
        _protections,
        _clock,
        lambda: _settings(config),
    )
    for part in parts:
        yield from part()


def _versions() -> Iterator[Finding]:
    python = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    state = State.GOOD if sys.version_info >= (3, 11) else State.BAD
    yield Finding(State.GOOD, "tradewind", __version__)
    yield Finding(state, "python", python)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding(State.GOOD, "cores", str(cores))


def _extras() -> Iterator[Finding]:
    wanted = [Requirement(text) for text in requires("tradewind") or ()]
    for extra in _EXTRAS:
        lacking = sorted(
            requirement.name
            for requirement in wanted
            if requirement.marker is not None
            and requirement.marker.evaluate({"extra": extra})
            and not _is_met(requirement)
        )
        found = f"lacks {', '.join(lacking)}: pip install 'tradewind[{extra}]'"
        state = State.NOTE if lacking else State.GOOD
        yield Finding(state, f"extra {extra}", found if lacking else "installed")


def _is_met(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except ModuleNotFoundError:
        yield Finding(State.NOTE, "torch", "not installed")
        return
    gpus = [torch.cuda.get_device_name(each) for each in range(torch.cuda.device_count())]
    yield Finding(State.GOOD, "torch", f"{torch.__version__}; GPUs: {', '.join(gpus) or 'none'}")


def _kernels() -> Iterator[Finding]:
    """Whether compiled kernels are kept: else every process compiles them again, for minutes."""
    from tradewind.kernels.compiled import cache_folder
    from tradewind_cli.kernels import GROUPS, missing_groups

    folders = [cache_folder(each) for group in GROUPS.values() for each in group.kernels()]
    kept = [folder for folder in folders if folder is not None]
    if len(kept) < len(folders):
        cure = "set NUMBA_CACHE_DIR to a folder that this user may write"
        yield Finding(State.NOTE, "kernels", f"cannot be kept, each process compiles anew: {cure}")
        return
    place = f"kept below {os.path.commonpath(kept)}"
    if missing := missing_groups():
        cure = f"not compiled yet: {', '.join(missing)}: tradewind doctor --compile"
        yield Finding(State.NOTE, "kernels", f"{place}; {cure}")
    else:
        yield Finding(State.GOOD, "kernels", f"compiled, and {place}")


def _protections() -> Iterator[Finding]:
    from tradewind.sealing import missing_protections

    missing = missing_protections()
    found = "seccomp and Landlock are there"
    if missing:
        found = f"bundles cannot be sealed, so nothing is served: {', '.join(missing)}"
    yield Finding(State.BAD if missing else State.GOOD, "sealed loading", found)


def _clock() -> Iterator[Finding]:
    """Whether the kernel says that the clock is kept right by somebody."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        return
    if state == _UNSYNCHRONISED:
        found = "nothing keeps it right, as far as the kernel knows (in a container, the host may)"
        yield Finding(State.NOTE, "clock", found)
    elif state >= 0:
        yield Finding(State.GOOD, "clock", "is synchronised")


def _settings(folder: Path) -> Iterator[Finding]:
    if not folder.is_dir():
        found = f"there is no folder {folder}: `tradewind init DIR` writes a project"
        yield Finding(State.NOTE, "settings", found)
        return
    for name, read, look in (
        ("trainer", _trainer_settings, _trainer),
        ("inference", _inference_settings, _inference),
        ("risk", _risk_settings, _risk),
    ):
        path = folder / f"{name}.yaml"
        if not path.is_file():
            yield Finding(State.NOTE, name, f"there is no {path}")
            continue
        try:
            settings = load_settings(path, read())
        except ModuleNotFoundError as problem:
            yield Finding(State.NOTE, name, f"{problem.name} is not installed")
            continue
        except TradewindError as problem:
            yield Finding(State.BAD, name, str(problem))
            continue
        for listen in (*settings.server.listen, settings.server.metrics_listen):
            yield from _port(name, listen)
        yield from look(settings)


def _trainer_settings() -> type[Any]:
    from trainer_service.service.settings import TrainerServiceSettings

    return TrainerServiceSettings


def _inference_settings() -> type[Any]:
    from inference_service.settings import InferenceSettings

    return InferenceSettings


def _risk_settings() -> type[Any]:
    from risk_service.settings import RiskServiceSettings

    return RiskServiceSettings


def _trainer(settings: Any) -> Iterator[Finding]:
    yield from _store("trainer", settings.store)
    yield from _database("trainer", settings.jobs)


def _inference(settings: Any) -> Iterator[Finding]:
    from tradewind.bundle import BundleStore

    if not settings.store.is_dir():
        found = f"there is no {settings.store} yet: nothing is served until a policy is published"
        yield Finding(State.NOTE, "inference: store", found)
        return
    policies = BundleStore(settings.store).policies()
    yield Finding(State.GOOD, "inference: store", f"{settings.store}: {len(policies)} policies")


def _risk(settings: Any) -> Iterator[Finding]:
    from tradewind.risk import EnforcedPolicy, RiskOverlay, RiskPolicy

    where, overlay = settings.policy, RiskOverlay()
    try:  # as the service reads it: no other file stands in for one that is gone
        policy = RiskPolicy.from_text(read_file(settings.policy), str(settings.policy))
        if settings.overlay is not None:
            where = settings.overlay
            overlay = RiskOverlay.from_text(read_file(where), str(where))
        EnforcedPolicy(policy, overlay)
    except OSError as problem:
        yield Finding(State.BAD, "risk: policy", f"{where}: {problem.strerror}")
    except TradewindError as problem:
        yield Finding(State.BAD, "risk: policy", str(problem))
    else:
        rules = f"{settings.policy}: {len(policy.rules)} rules, digest {policy.digest()[:12]}"
        on = f", overlay {overlay.digest()[:12]}" if overlay.digest() else ""
        yield Finding(State.GOOD, "risk: policy", rules + on)
    yield from _database("risk", settings.database)


def _port(name: str, listen: str) -> Iterator[Finding]:
    """Whether an address can be listened on, or who does already."""
    if not listen or listen.startswith(UNIX):
        return
    host, port = host_and_port(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as problem:
            if problem.errno == errno.EADDRINUSE:
                found = (
                    f"{listen} is in use{owner_of(port) or ', by whom cannot be seen from here'}"
                )
                yield Finding(State.NOTE, f"{name}: port", found)
            else:
                yield Finding(State.BAD, f"{name}: port", f"{listen}: {problem.strerror}")
            return
    if is_ephemeral(port):
        found = f"{listen} is free, but lent to outgoing connections at times: {EPHEMERAL_CURE}"
        yield Finding(State.NOTE, f"{name}: port", found)
    else:
        yield Finding(State.GOOD, f"{name}: port", f"{listen} is free")


def _store(name: str, folder: Path) -> Iterator[Finding]:
    problem = _why_not_writable(folder)
    if problem:
        yield Finding(State.BAD, f"{name}: store", f"{folder}: {problem}")
        return
    free = shutil.disk_usage(_there(folder)).free
    state = State.GOOD if free >= _LEAST_FREE else State.BAD
    yield Finding(state, f"{name}: store", f"{folder} is writable, {free / 2**30:.1f} GiB are free")


def _database(name: str, url: str) -> Iterator[Finding]:
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    what = f"{name}: database"
    parsed = make_url(url)
    shown = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() == "sqlite":
        problem = _why_not_writable(Path(parsed.database or ".").parent)
        state = State.BAD if problem else State.GOOD
        yield Finding(state, what, f"{shown}: {problem}" if problem else shown)
        return
    try:
        engine = create_engine(url, connect_args={"connect_timeout": 3})
        engine.connect().close()
        engine.dispose()
    except (SQLAlchemyError, ModuleNotFoundError, StorageError) as problem:
        said = str(problem).splitlines()[0]
        yield Finding(State.BAD, what, f"{shown}: {said}")
    else:
        yield Finding(State.GOOD, what, f"{shown} answers")


def _there(folder: Path) -> Path:
    """The folder, or the first one above it that there is."""
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _why_not_writable(folder: Path) -> str:
    """Why no file can be made in a folder, or the folder itself; empty when one can."""
    there = _there(folder)
    if not there.is_dir():
        return f"{there} is no folder"
    try:
        with contextlib.closing(tempfile.TemporaryFile(dir=there)):
            return ""
    except OSError as problem:
        return f"{there} cannot be written ({problem.strerror})"
