"""Trials of a search that several processes share: exactly as many as asked for, whoever dies."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import optuna
from optuna.samplers import TPESampler
from optuna.trial import Trial, TrialState

__all__ = ["TrialClaims", "interrupted_trials", "search_lock"]

_INTERRUPTED: Final = "interrupted"
_POLL_S: Final = 0.5


def interrupted_trials(study: optuna.Study) -> frozenset[int]:
    """Numbers of the trials whose process ended before they did; others made up for them."""
    return frozenset(study.user_attrs.get(_INTERRUPTED, ()))


@contextmanager
def search_lock(folder: Path) -> Iterator[None]:
    """Keeps every other process on this machine out of a search's bookkeeping inside the block."""
    with _locked(folder / "study.lock"):
        yield


class TrialClaims:
    """Hands out the trials of a study, one after the other.

    A process holds a file lock for the trial that it runs, which the kernel releases however the
    process ends: a trial that is RUNNING while nobody holds its lock was interrupted, counts no
    more, and another one makes up for it.

    Args:
        study: The study; its sampler is replaced for every trial.
        folder: Where the lock files are; every process on the study uses the same one.
        limit: Trials of all processes together, but for the interrupted ones.
        seed: Trial n draws by this and n, whichever process runs it.
    """

    def __init__(self, study: optuna.Study, folder: Path, limit: int, seed: int) -> None:
        self._study = study
        self._folder = folder
        self._limit = limit
        self._seed = seed

    @contextmanager
    def claim(self) -> Iterator[Trial | None]:
        """Begins a trial that is this process's alone inside the block.

        Whoever leaves the block without having told the study how the trial ended, interrupts it.
        When there are as many trials as asked for, waits for those that other processes run.

        Yields:
            None when all are done.
        """
        with ExitStack() as held:
            while True:
                with search_lock(self._folder):
                    trial = self._begin()
                    if trial is not None:
                        held.enter_context(self._holding(trial))
                    done = trial is None and not self._running()
                if trial is not None or done:
                    break
                time.sleep(_POLL_S)
            yield trial

    def _begin(self) -> Trial | None:
        for number in self._running():
            if not self._is_held(number):
                self._interrupt(number)
        trials = self._study.get_trials(deepcopy=False)
        if len(trials) - len(interrupted_trials(self._study)) >= self._limit:
            return None
        trial = self._study.ask()
        seed = np.random.SeedSequence([self._seed, trial.number]).generate_state(1)
        self._study.sampler = TPESampler(seed=int(seed[0]))
        return trial

    def _running(self) -> list[int]:
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [trial.number for trial in running]

    @contextmanager
    def _holding(self, trial: Trial) -> Iterator[None]:
        path = self._lock_of(trial.number)
        with _locked(path):
            try:
                yield
            finally:
                with search_lock(self._folder):
                    if trial.number in self._running():
                        self._interrupt(trial.number)
                    path.unlink(missing_ok=True)

    def _interrupt(self, number: int) -> None:
        self._study.tell(number, state=TrialState.FAIL)
        numbers = sorted({*interrupted_trials(self._study), number})
        self._study.set_user_attr(_INTERRUPTED, numbers)
        self._lock_of(number).unlink(missing_ok=True)

    def _is_held(self, number: int) -> bool:
        try:
            handle = os.open(self._lock_of(number), os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def _lock_of(self, number: int) -> Path:
        return self._folder / f"trial-{number}.lock"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
