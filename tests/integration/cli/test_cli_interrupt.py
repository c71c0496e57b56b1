"""What Ctrl-C leaves of a long command, and the command that it prints to go on."""

import os
import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.integration.cli.conftest import Outcome, Run
from tests.tiny import save_short_bars
from tradewind.bundle import read_bundle
from tradewind.jobs import TrainingPhase, TrainingProgress
from tradewind.reporting.progress import TrainingBar
from tradewind_cli import jobs

SHORT = ("--set", "training_params.total_timesteps=512", "--set", "evaluation.report=false")
Interrupt = Callable[..., None]

pytestmark = pytest.mark.timeout(600)  # trainings, one after the other


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("trainer_service.progress._REPORT_INTERVAL_S", 0.0)
    return tmp_path


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Interrupt:
    """Sends signals to this process at certain reports, once each."""

    def at(*moments: tuple[Callable[[TrainingProgress], bool], signal.Signals]) -> None:
        left = list(moments)
        update = TrainingBar.update

        def updated(bar: TrainingBar, progress: TrainingProgress, *args: Any, **kw: Any) -> None:
            update(bar, progress, *args, **kw)
            if left and left[0][0](progress):
                os.kill(os.getpid(), left.pop(0)[1])

        monkeypatch.setattr(TrainingBar, "update", updated)

    return at


def learns(progress: TrainingProgress) -> bool:
    return progress.phase is TrainingPhase.TRAINING and progress.timesteps_done > 128


def printed_command(outcome: Outcome) -> list[str]:
    program, *words = shlex.split(outcome.err.splitlines()[-1])
    assert program == "tradewind"
    return words


def digests(store: Path) -> set[str]:
    return {read_bundle(each).metadata.sha256 for each in (store / "tiny").iterdir()}


def test_train_that_is_interrupted_twice_goes_on_to_the_bundle_of_the_unbroken_one(
    run: Run, tiny_config: Path, folder: Path, interrupt: Interrupt
) -> None:
    command = ["train", str(tiny_config), *SHORT, "--store", "st", "--policy", "tiny"]
    assert run(*command).code == 0
    interrupt((learns, signal.SIGINT), (lambda it: it.timesteps_done > 300, signal.SIGTERM))
    for kept_at in (256, 384):
        outcome = run(*command)
        assert outcome.code == 130
        assert f"kept at {kept_at} of 512 steps" in outcome.err
        command = printed_command(outcome)
    assert run(*command).code == 0
    assert len(digests(folder / "st")) == 1
    assert list((folder / "runs" / "trainings").iterdir()) == []


def test_train_with_a_second_interrupt_ends_at_once_and_says_what_is_lost(
    run: Run, tiny_config: Path, folder: Path, interrupt: Interrupt
) -> None:
    interrupt((lambda it: it.timesteps_done > 10, signal.SIGINT), (lambda _: True, signal.SIGINT))
    outcome = run("train", tiny_config, *SHORT, "--json")
    assert outcome.code == 130
    assert outcome.document["interrupted"].startswith("14 steps were learnt, which are lost")
    assert list((folder / "runs" / "trainings").iterdir()) == []


def test_train_interrupted_once_it_has_learnt_says_what_exports_the_model(
    run: Run, tiny_config: Path, interrupt: Interrupt
) -> None:
    interrupt((lambda it: it.phase is TrainingPhase.EVALUATING, signal.SIGINT))
    outcome = run("train", tiny_config, *SHORT, "--store", "st", "--policy", "tiny")
    assert outcome.code == 130
    words = outcome.err.partition("`")[2].partition("`")[0].split()
    assert run(*words[1:]).code == 0


def test_train_with_a_folder_to_resume_that_does_not_fit_is_refused(
    run: Run, tiny_config: Path, folder: Path, interrupt: Interrupt
) -> None:
    interrupt((learns, signal.SIGINT))
    command = printed_command(run("train", tiny_config, *SHORT))
    changed = run(*command, "--set", "algo_params.gamma=0.5")
    assert changed.code == 2
    assert "algo_params.gamma: is 0.5, but" in changed.err
    assert run("train", tiny_config, "--resume", folder / "nothing").code == 3
    kept = Path(command[-1])
    kept.chmod(0o777)
    assert "belongs to another user, or others may write" in run(*command).err
    kept.chmod(0o700)
    assert run(*command).code == 0  # a refusal has removed nothing


def test_tune_and_walk_forward_when_interrupted_say_what_is_kept_and_lost(
    run: Run, tiny_config: Path, folder: Path, interrupt: Interrupt
) -> None:
    short = ("--set", f"data.path={save_short_bars(folder / 'bars.parquet')}")
    search = folder / "search.yaml"
    search.write_text("{search: {algo_params.gamma: {choices: [0.9, 0.99]}}, objective: return}")
    interrupt(*(2 * [(lambda it: it.phase is TrainingPhase.TRAINING, signal.SIGINT)]))
    tuned = run("tune", tiny_config, *short, "--search", search, "--trials", "1")
    assert tuned.code == 130
    assert "0 trials ended and are kept, the one that ran is lost" in tuned.err
    folds = run("walk-forward", tiny_config, *short, "--folds", "2")
    assert folds.code == 130
    assert "0 of 2 folds were done, which are lost" in folds.err
    assert printed_command(folds)[:3] == ["walk-forward", str(tiny_config), "--folds"]
    assert run(*printed_command(tuned)).code == 0


def test_watching_a_job_when_interrupted_says_its_id_and_how_to_watch_or_cancel(
    run: Run, tiny_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Client:
        def start_training(self, *_: Any, **__: Any) -> Any:
            return SimpleNamespace(job_id="job-7")

        def watch(self, _: str) -> Iterator[Any]:
            signal.raise_signal(signal.SIGINT)
            yield from ()

    @contextmanager
    def connected(*_: Any) -> Iterator[Client]:
        yield Client()

    monkeypatch.setattr(jobs, "trainer_client", connected)
    start = ("jobs", "start", tiny_config, "--policy", "x", "--watch", "--address", "host:1")
    outcome = run("--ca", "my ca.crt", *start)
    assert outcome.code == 130
    assert "job job-7 goes on" in outcome.err
    for verb in ("watch", "cancel"):
        assert f"tradewind --ca 'my ca.crt' jobs {verb} job-7 --address host:1" in outcome.err
