"""`tradewind train`: a training in this process, from a configuration to a published bundle."""

import contextlib
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tradewind.errors import TradewindError
from tradewind.jobs import TrainingPhase, TrainingProgress
from tradewind.reporting.progress import TrainingBar, progress_console
from tradewind_cli.configuration import ConfigArgument, SetOption, read_configuration
from tradewind_cli.evaluate import print_figures
from tradewind_cli.output import JsonOption, print_json
from tradewind_cli.progress import said_when_interrupted

if TYPE_CHECKING:
    from tradewind.bundle import PublishedBundle
    from trainer_service.environment import IntradayTradingEnv
    from trainer_service.training.config import JobConfig

__all__ = ["train"]

_RUNS: Final = Path("runs/trainings")
_STOPPING: Final = "is saved after this rollout; Ctrl-C again ends it at once"
_LEARNT: Final = (TrainingPhase.EVALUATING, TrainingPhase.EXPORTING, TrainingPhase.PUBLISHING)


def train(
    config: ConfigArgument,
    assignments: SetOption = None,
    store: Annotated[Path | None, typer.Option(help="Bundle store to publish to.")] = None,
    policy: Annotated[str | None, typer.Option(help="Name of the policy to publish.")] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Go on with a training that was interrupted: its folder."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Trains here, evaluates on the held-out bars and publishes a bundle.

    Ctrl-C keeps a checkpoint and prints the command that goes on with it. One is kept every minute
    too, in a folder of runs/trainings, until the bundle is published.
    """
    values = read_configuration(config, assignments)
    if store is not None:
        values["store"] = store
    if policy is not None:
        values["policy"] = policy
    words = ["train", str(config)]
    words += [word for each in assignments or () for word in ("--set", each)]
    given = {"--store": store, "--policy": policy}
    words += [word for name, value in given.items() if value for word in (name, str(value))]
    training = _Training(words, resume)
    with said_when_interrupted(training.said, training.go_on, as_json=as_json):
        bundle = training.run(values)
    metadata = bundle.metadata
    if as_json:
        print_json(
            {
                "bundle": str(bundle.path),
                "policy": metadata.name,
                "version": metadata.version,
                "bundle_sha256": metadata.sha256,
                "evaluation": dict(metadata.evaluation),
            }
        )
        return
    print_figures(metadata.evaluation)
    typer.echo(f"published {bundle.path}")


class _Training:
    """One training, which Ctrl-C ends where it can be taken up again.

    Args:
        command: The words of the command, without `--resume`.
        resume: The folder of the training to go on with; None for a new one.
    """

    def __init__(self, command: list[str], resume: Path | None) -> None:
        self._command = command
        self._folder = self._resume = resume
        self._kept_at: int | None = None
        self._progress = TrainingProgress()
        self._stops = False
        self._console = progress_console()
        self._bar = TrainingBar(self._console)

    def run(self, values: dict[str, Any]) -> "PublishedBundle":
        """Trains; what is interrupted or fails leaves its folder, if there is a checkpoint.

        Raises:
            TradewindError: As `TrainerAgent.train` says, or there is nothing to go on with.
        """
        # torch and Stable-Baselines3 take seconds to import: no other command should wait for them
        from tradewind_cli.compiling import compile_missing
        from trainer_service.training.config import JobConfig, parse_training_config
        from trainer_service.training.workspace import make_environment

        job = parse_training_config(values, JobConfig)
        compile_missing(self._console, ("risk", "market", "networks"))
        with self._bar:
            env = make_environment(job)
            record = {**job.record(), "data_digest": env.bars.digest}
            with self._open_folder(job.policy, record) as folder:
                return self._train(job, env, folder)

    def said(self) -> str:
        """What became of it, once it was interrupted."""
        if self._progress.phase in _LEARNT:
            return "the model has learnt, and its bundle is not published"
        total = self._progress.timesteps_total
        if self._kept_at is not None:
            return f"the training is kept at {self._kept_at:,} of {total:,} steps, and goes on by"
        done = self._progress.timesteps_done
        if self._resume is not None and not done:
            return "the training is kept as it was, and goes on by"
        lost = f"{done:,} steps were learnt, which are lost" if done else "nothing was learnt yet"
        return f"{lost}; it begins anew by"

    def go_on(self) -> list[list[str]]:
        """The command that goes on."""
        if self._progress.phase in _LEARNT and self._kept_at is None:
            return []  # a note says what exports the model
        return [self._going_on()]

    def _going_on(self) -> list[str]:
        folder = self._resume if self._kept_at is None else self._folder
        return [*self._command, *([] if folder is None else ["--resume", str(folder)])]

    @contextlib.contextmanager
    def _open_folder(self, policy: str, record: dict[str, Any]) -> Iterator[Path | None]:
        from trainer_service.checkpoints.run_folder import new_run_folder, resumed_run_folder

        with contextlib.ExitStack() as stack:
            if self._folder is not None:
                stack.enter_context(resumed_run_folder(self._folder, record))
            else:
                try:
                    self._folder = stack.enter_context(new_run_folder(_RUNS, policy, record))
                except OSError as problem:
                    self._note(f"no checkpoint of it can be kept: {problem}")
            yield self._folder

    def _train(
        self, job: "JobConfig", env: "IntradayTradingEnv", folder: Path | None
    ) -> "PublishedBundle":
        from trainer_service.checkpoints import Checkpointing, CheckpointSettings, CheckpointStore
        from trainer_service.training.agent import TrainerAgent

        if folder is None:
            return TrainerAgent(job).train(env, self._follow)
        saving = Checkpointing(
            CheckpointSettings(folder=folder), on_note=self._note, stops=lambda: self._stops
        )
        store = CheckpointStore(folder)
        try:
            before = signal.signal(signal.SIGINT, self._ask_to_stop)
            try:
                bundle = TrainerAgent(job).train(env, self._follow, saving)
            finally:
                signal.signal(signal.SIGINT, before)
        except BaseException as problem:
            is_exportable = bool(getattr(problem, "__notes__", ()))
            self._kept_at = None if is_exportable else store.latest_timesteps()
            if self._kept_at is None:
                store.remove()
                self._resume = None
            elif isinstance(problem, TradewindError):
                command = shlex.join(["tradewind", *self._going_on()])
                problem.add_note(f"kept at {self._kept_at:,} steps; it goes on by: {command}")
            raise
        store.remove()
        return bundle

    def _follow(self, progress: TrainingProgress) -> None:
        self._progress = progress
        self._bar.update(progress, note=_STOPPING if self._stops else "")
        if self._stops and progress.phase in _LEARNT:
            raise KeyboardInterrupt

    def _ask_to_stop(self, *_: object) -> None:
        """Takes a signal: once a model learns, it stops between two rollouts."""
        if self._progress.phase is TrainingPhase.PUBLISHING:
            return  # which is done in a moment, and then there is a bundle
        if self._progress.phase is not TrainingPhase.TRAINING or self._stops:
            raise KeyboardInterrupt
        self._stops = True
        self._bar.show(figures=_STOPPING)

    def _note(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)
