"""Hyper-parameter search with Optuna: trials see neither the held-out bars nor too much risk."""

import copy
import hashlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import optuna
from optuna.pruners import ThresholdPruner
from optuna.trial import FrozenTrial, Trial, TrialState
from pydantic import Field, PositiveInt, model_validator

from tradewind.errors import FieldViolation, SettingsError, StoppedByRiskError, TrainingError
from tradewind.jobs import TrainingProgress
from tradewind.market import split_bars
from tradewind.settings import Settings
from tradewind.urls import sqlite_url
from trainer_service.evaluation import HeldOutEvaluation
from trainer_service.progress import ProgressListener, ProgressReporter
from trainer_service.research.judging import train_and_judge
from trainer_service.research.trial_claims import TrialClaims, interrupted_trials, search_lock
from trainer_service.training.config import JobConfig, parse_training_config
from trainer_service.training.workspace import make_environment

__all__ = ["SearchRange", "TuningConfig", "TuningResult", "tune"]

TrialListener = Callable[[FrozenTrial], None]
TrialProgressListener = Callable[[int, TrainingProgress], None]
_RISK = "risk/judged_score"
_PROBLEM = "problem"
_SHARPE = "sharpe"
_SEARCH = "search"


class SearchRange(Settings):
    """What a key may be: a range of numbers, or a choice."""

    low: float | int | None = None
    """Lowest value; with a whole `high`, whole numbers are drawn."""

    high: float | int | None = None
    """Highest value."""

    log: bool = False
    """Draw the logarithm evenly, as for learning rates."""

    choices: tuple[Any, ...] | None = Field(default=None, min_length=1)
    """The values to choose from, instead of a range."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        ranged = self.low is not None or self.high is not None
        if ranged == (self.choices is not None):
            raise ValueError("give either low and high, or choices")
        if not ranged:
            if self.log:
                raise ValueError("log is for low and high")
            return self
        if self.low is None or self.high is None or self.low >= self.high:
            raise ValueError(f"low must be below high: {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be above 0 with log: {self.low}")
        return self

    def draw(self, trial: Trial, key: str) -> Any:
        """A value for this trial."""
        if self.choices is not None:
            # By place: Optuna's storage keeps plain values only, and a choice may be a list.
            place = trial.suggest_categorical(key, range(len(self.choices)))
            return self.choices[place]
        assert self.low is not None
        assert self.high is not None
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(key, self.low, self.high, log=self.log)
        return trial.suggest_float(key, float(self.low), float(self.high), log=self.log)


class TuningConfig(Settings):
    """How to search."""

    search: dict[str, SearchRange] = Field(min_length=1)
    """What to vary: dotted keys of the training configuration."""

    objective: str = "sharpe"
    """The figure to maximise: one that the evaluation of a bundle has."""

    trials: PositiveInt = 20
    """Trainings in all, of every process on the search, those before an interruption included. One
    that was itself interrupted is not counted; another makes up for it."""

    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seeds the search: with the number of a trial it decides what is drawn. Each training keeps
    the seed of its configuration."""

    validation_fraction: float = Field(default=0.25, gt=0.0, lt=1.0)
    """Share of the training bars, the latest ones, that trials are judged on."""

    max_risk_score: float | None = Field(default=0.95, gt=0.0, le=1.0)
    """A trial whose judged risk score exceeds this is pruned; None never prunes."""

    warm_up_timesteps: int = Field(default=5_000, ge=0)
    """Environment steps before a trial may be pruned: an untrained policy is risky."""


@dataclass(frozen=True, slots=True)
class TuningResult:
    """What a search found.

    Attributes:
        config: The best configuration; its held-out bars are still unseen, and its evaluation
            knows how many trials it is the best of.
        objective: What its policy reached on the validation bars.
        values: The values that were varied, by key.
        completed_count: Trials that were judged.
        pruned_count: Trials that were stopped for their risk.
        failed_count: Trials whose configuration was refused or whose training failed.
    """

    config: JobConfig
    objective: float
    values: Mapping[str, Any]
    completed_count: int
    pruned_count: int
    failed_count: int


def tune(
    base: Mapping[str, Any],
    tuning: TuningConfig,
    folder: Path,
    on_trial: TrialListener = lambda _: None,
    on_progress: TrialProgressListener = lambda _number, _progress: None,
) -> TuningResult:
    """Searches for the configuration whose policy does best on validation bars.

    The held-out bars of the configuration are cut off before the first trial. Every trial trains
    on the older part of the rest and is judged on the newer part. The search lies in
    `<folder>/study.sqlite`: an interrupted one goes on, and several processes on one machine may
    share it. Together they run as many trials as asked for; the last ones wait for each other.

    Args:
        base: A job's configuration; the search varies some of its keys.
        tuning: How to search.
        folder: Where the search keeps its state.
        on_trial: Called after every trial.
        on_progress: Called with the number of a trial and how far its training is.

    Raises:
        SettingsError: The configuration is refused, a key to vary is unknown, or the folder holds
            another search.
        TrainingError: No trial could be judged; the message has the last problem.
    """
    complete = parse_training_config(base, JobConfig)
    _check_search(complete, tuning)
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # on_trial tells, tracebacks do not
    with search_lock(folder):
        study = optuna.create_study(
            study_name="tune",
            storage=sqlite_url(folder / "study.sqlite"),
            pruner=_pruner(tuning),
            direction="maximize",
            load_if_exists=True,
        )
        _check_same_search(study, complete, tuning, folder)
    claims = TrialClaims(study, folder, tuning.trials, tuning.seed)
    while True:
        with claims.claim() as trial:
            if trial is None:
                return _result(study, base, tuning)
            ended = _run(study, trial, base, tuning, partial(on_progress, trial.number))
        on_trial(ended)


def _run(
    study: optuna.Study,
    trial: Trial,
    base: Mapping[str, Any],
    tuning: TuningConfig,
    on_progress: ProgressListener,
) -> FrozenTrial:
    """Trains one trial and tells the study how it ended."""
    try:
        value = _judge(trial, base, tuning, on_progress)
    except optuna.TrialPruned:
        return study.tell(trial, state=TrialState.PRUNED)
    except TrainingError:
        return study.tell(trial, state=TrialState.FAIL)
    return study.tell(trial, value)


def _check_same_search(
    study: optuna.Study, complete: JobConfig, tuning: TuningConfig, folder: Path
) -> None:
    """Refuses to go on with a search whose trials cannot be compared with the next ones."""
    compared = [complete.model_dump_json(), tuning.model_dump_json(exclude={"trials", "seed"})]
    digest = hashlib.sha256("\n".join(compared).encode()).hexdigest()
    if study.user_attrs.get(_SEARCH, digest) != digest:
        raise SettingsError(
            f"{folder} holds a search with another configuration: choose another folder"
        )
    study.set_user_attr(_SEARCH, digest)


def _check_search(complete: JobConfig, tuning: TuningConfig) -> None:
    """Refuses keys that the completed configuration does not have."""
    violations = []
    for key in tuning.search:
        level: Any = complete.model_dump()
        for name in key.split("."):
            if not isinstance(level, dict) or name not in level:
                violations.append(FieldViolation(f"search.{key}", "no key of the configuration"))
                break
            level = level[name]
    if complete.training_params.held_out_fraction is None:
        violations.append(
            FieldViolation("training_params.held_out_fraction", "must be set: the search holds out")
        )
    if violations:
        raise SettingsError("the search is refused", violations)


def _pruner(tuning: TuningConfig) -> optuna.pruners.BasePruner:
    if tuning.max_risk_score is None:
        return optuna.pruners.NopPruner()
    return ThresholdPruner(upper=tuning.max_risk_score, n_warmup_steps=tuning.warm_up_timesteps)


def _judge(
    trial: Trial, base: Mapping[str, Any], tuning: TuningConfig, on_progress: ProgressListener
) -> float:
    """Trains and evaluates one trial."""
    values = {key: search.draw(trial, key) for key, search in tuning.search.items()}
    try:
        config = parse_training_config(_with_values(base, values), JobConfig)
        reporter = ProgressReporter(
            _risk_watch(trial, on_progress), config.training_params.total_timesteps
        )
        figures = _train(config, tuning, reporter).figures
    except StoppedByRiskError as problem:
        raise optuna.TrialPruned(str(problem)) from problem
    except (TrainingError, SettingsError) as problem:  # these values do not work; others may
        trial.set_user_attr(_PROBLEM, str(problem))
        raise TrainingError(str(problem)) from problem
    if tuning.objective not in figures:
        if f"random_{tuning.objective.removeprefix('excess_')}" in figures:
            # As the Sharpe ratio of a policy that never trades: there is none.
            trial.set_user_attr(_PROBLEM, f"its policy has no {tuning.objective}")
            raise TrainingError(f"the policy has no {tuning.objective}")
        known = ", ".join(sorted(figures))
        violation = FieldViolation("objective", f"no figure of the evaluation, which has {known}")
        raise SettingsError("the search is refused", [violation])
    if "sharpe" in figures:
        trial.set_user_attr(_SHARPE, figures["sharpe"])
    return figures[tuning.objective]


def _train(
    config: JobConfig, tuning: TuningConfig, reporter: ProgressReporter
) -> HeldOutEvaluation:
    """Trains on the bars before the held-out ones but for the newest, and judges on those."""
    env = make_environment(config)
    fraction = config.training_params.held_out_fraction
    assert fraction is not None
    seen, _ = split_bars(env.bars, fraction)
    past, future = split_bars(seen, tuning.validation_fraction)
    return train_and_judge(config, env, past, future, reporter)


def _risk_watch(trial: Trial, on_progress: ProgressListener) -> ProgressListener:
    """Lets the pruner see the risk score of a training."""
    reported = 0

    def watch(progress: TrainingProgress) -> None:
        nonlocal reported
        on_progress(progress)
        if _RISK not in progress.metrics or progress.timesteps_done == reported:
            return
        reported = progress.timesteps_done
        trial.report(progress.metrics[_RISK], reported)
        if trial.should_prune():
            problem = f"its risk score reached {progress.metrics[_RISK]:.3f} at step {reported}"
            trial.set_user_attr(_PROBLEM, problem)
            raise optuna.TrialPruned(problem)

    return watch


def _with_values(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(dict(base))
    for key, value in values.items():
        *parents, last = key.split(".")
        level = merged
        for name in parents:
            level = level.setdefault(name, {})
        level[last] = value
    return merged


def _result(study: optuna.Study, base: Mapping[str, Any], tuning: TuningConfig) -> TuningResult:
    interrupted = interrupted_trials(study)
    trials = [trial for trial in study.get_trials() if trial.number not in interrupted]
    by_state = {state: [one for one in trials if one.state == state] for state in TrialState}
    if not by_state[TrialState.COMPLETE]:
        problems = [
            trial.user_attrs[_PROBLEM]
            for trial in by_state[TrialState.FAIL]
            if _PROBLEM in trial.user_attrs
        ]
        last = problems[-1] if problems else "every trial was pruned for its risk"
        raise TrainingError(f"none of {len(trials)} trials could be judged: {last}")
    best = study.best_trial
    values = {
        key: search.choices[best.params[key]] if search.choices is not None else best.params[key]
        for key, search in tuning.search.items()
    }
    return TuningResult(
        config=_with_luck(parse_training_config(_with_values(base, values), JobConfig), by_state),
        objective=study.best_value,
        values=values,
        completed_count=len(by_state[TrialState.COMPLETE]),
        pruned_count=len(by_state[TrialState.PRUNED]),
        failed_count=len(by_state[TrialState.FAIL]),
    )


def _with_luck(
    config: JobConfig, by_state: Mapping[TrialState, Sequence[FrozenTrial]]
) -> JobConfig:
    """Tells the evaluation of the best how many were tried, for the deflated Sharpe ratio."""
    completed = by_state[TrialState.COMPLETE]
    sharpes = [trial.user_attrs[_SHARPE] for trial in completed if _SHARPE in trial.user_attrs]
    luck: dict[str, Any] = {"trials": len(completed)}
    if len(sharpes) > 1:
        luck["trial_sharpe_variance"] = statistics.variance(sharpes)
    evaluation = config.evaluation.model_copy(update=luck)
    return config.model_copy(update={"evaluation": evaluation})
