"""The configuration of a training: what `create_trainer_agent` and a job take."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, cast

import torch
from pydantic import Field, PositiveFloat, PositiveInt, field_serializer, model_validator

from tradewind.bundle.names import POLICY_NAME_PATTERN
from tradewind.errors import FieldViolation, MarketDataError, SettingsError
from tradewind.files import check_file
from tradewind.market import SAMPLE_SYMBOLS, FeatureGroup, FeatureSpec
from tradewind.market.bar_files import bar_files
from tradewind.market.feature_group import FEATURES
from tradewind.parts import Named
from tradewind.risk import RiskPolicy
from tradewind.settings import Settings, parse_settings
from trainer_service.algorithms import find_algorithm
from trainer_service.callbacks.multipliers import LagrangianConfig
from trainer_service.environment.config import EnvironmentSettings, unfed_metrics
from trainer_service.evaluation import EvaluationConfig
from trainer_service.export.copies import CopySettings
from trainer_service.redaction import redact_settings
from trainer_service.tracking import TrackingConfig
from trainer_service.training.data_source import DATA_SOURCES, DataSource
from trainer_service.training.resources import JobResources

__all__ = [
    "DataConfig",
    "JobConfig",
    "RiskConfig",
    "TrainingConfig",
    "TrainingParams",
    "parse_training_config",
]

_SOURCE = "training configuration"


class TrainingParams(Settings):
    """How long and in what a model learns, whatever its algorithm."""

    total_timesteps: PositiveInt
    """Environment steps in all, over every environment; rounded up to whole rollouts."""

    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seeds weights, exploration and episodes."""

    n_envs: int | None = Field(default=None, ge=1, le=1024)
    """Environments stepped together. By default as many as suit the algorithm, and its parameters
    are then by default those that go with so many; a short run is trained in one."""

    stagger_episodes: bool = True
    """Cut the first episodes of the environments short, each at another length, so that they do
    not all end together for ever after; the first environment's is whole."""

    normalize_observations: bool = False
    """Subtract the running mean and divide by the running deviation, in the bundle too."""

    normalize_rewards: bool = False
    """Divide rewards by the running deviation of the discounted return."""

    clip_observations: PositiveFloat = 10.0
    """Largest magnitude of a normalised observation."""

    clip_rewards: PositiveFloat = 10.0
    """Largest magnitude of a normalised reward."""

    held_out_fraction: float | None = Field(default=0.2, gt=0.0, lt=1.0)
    """Share of the bars, the latest ones, that training never sees and evaluation uses. None
    holds nothing out and evaluates nothing: all that an environment without bars allows."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network learns; auto takes a GPU when there is one."""

    torch_threads: int = Field(default=1, ge=1, le=256)
    """Threads of one torch operation; small networks are fastest with one."""


class RiskConfig(Settings):
    """How the risk policy shapes the reward and ends a training."""

    enabled: bool = False
    """Whether it does; the held-out evaluation measures risk in any case."""

    policy_yaml: Path = Path("config/risk_limits.yaml")
    """The risk policy, as the risk service loads it."""

    penalty_weight: float = Field(default=0.1, ge=0.0)
    """Subtracted from each reward: this times the penalty, which is 1 at the limits."""

    early_stop_threshold: float | None = Field(default=0.8, gt=0.0, le=1.0)
    """Training stops when the mean risk score stays above this; None never stops it."""

    early_stop_patience: PositiveInt = 10_000
    """Consecutive environment steps that the mean is taken over. Uniformly random actions on the
    embedded BTC bars give means from 0.70 to 0.77 over 10,000 steps, up to 0.92 over 1,000."""

    lagrangian: LagrangianConfig | None = None
    """Limits that the policy is to learn to keep, beside or instead of the penalty."""

    @model_validator(mode="after")
    def _check_enabled(self) -> Self:
        if self.lagrangian is not None and not self.enabled:
            raise ValueError("lagrangian needs enabled: true")
        return self


class TrainingConfig(Settings):
    """What `create_trainer_agent` takes."""

    algorithm: str
    """Name of the algorithm, e.g. DQN."""

    algo_params: dict[str, Any] = Field(default_factory=dict)
    """Parameters of the algorithm's Stable-Baselines3 class; those left out have its defaults."""

    training_params: TrainingParams
    """How long and in what it learns."""

    risk_config: RiskConfig = RiskConfig()
    """How risk takes part."""

    evaluation: EvaluationConfig = EvaluationConfig()
    """How the figures on held-out bars are judged."""

    tracking: TrackingConfig = TrackingConfig()
    """Where the training can be followed."""

    copies: CopySettings = CopySettings()
    """Copies of the network for others, in the bundle beside policy.pt."""

    policy: str = Field(default="policy", pattern=POLICY_NAME_PATTERN)
    """Name of the policy to publish."""

    store: Path = Path("bundles")
    """The bundle store to publish to."""

    drafts: Path = Path("runs/drafts")
    """Where the trained model is kept until its bundle is published. One that could not be
    published stays there: `tradewind bundle export` tries again."""

    signing_key: Path | None = None
    """File with the Ed25519 key that signs the bundle; without, it bears no signature."""

    def record(self) -> dict[str, Any]:
        """What shaped the training, as JSON: not where it went and was followed."""
        return self.model_dump(
            mode="json", exclude={"store", "drafts", "signing_key", "tracking", "copies"}
        )

    def files(self) -> dict[str, Path]:
        """The files that the configuration names, by key."""
        return {"risk_config.policy_yaml": self.risk_config.policy_yaml}

    def check_environment(self) -> Iterator[FieldViolation]:
        """Finds what the algorithm cannot do in the environment, if that is known already."""
        yield from ()

    def check_risk(self, policy: RiskPolicy) -> Iterator[FieldViolation]:  # noqa: ARG002
        """Finds what of a risk policy the environment cannot feed, if that is known already."""
        yield from ()

    @field_serializer("algo_params", when_used="json")
    def _record(self, values: dict[str, Any]) -> dict[str, Any]:
        """A class that was given in Python is recorded by its name."""
        return cast("dict[str, Any]", _with_names(values))


class DataConfig(Settings):
    """The bars of a job: an embedded sample, a file or a source, of one symbol or of several."""

    symbol: str | None = None
    """An embedded sample; or, beside `path`, what the file's bars are of."""

    path: Path | None = None
    """A file of bars: separated text, also in gzip or zip, or Parquet; or a folder of such files
    (docs/guides/data.md). Beside `symbols`, the one that has the bars of all of them."""

    symbols: tuple[str, ...] = ()
    """Several symbols, traded from one account; embedded samples, or those in `path` or `paths`.
    Bars that one of them lacks are left out."""

    paths: dict[str, Path] = Field(default_factory=dict)
    """A file for each of `symbols`."""

    market: str | None = None
    """The market the files' bars are of: always-open, fx-week, a code such as XNYS, or a weekly
    pattern; by default it is recognised from the bars."""

    source: Annotated[DataSource, Named(DataSource, DATA_SOURCES)] | None = None
    """`{kind: NAME, options: {...}}`, a source of one's own; all else here is left out."""

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if self.source is not None:
            others = [name for name in type(self).model_fields if name != "source"]
            if given := [name for name in others if getattr(self, name)]:
                raise ValueError(f"source takes the place of {', '.join(given)}")
            return self
        if self.symbols or self.paths:
            return self._check_symbols()
        if self.path is None and self.symbol not in SAMPLE_SYMBOLS:
            raise ValueError(
                f"without a path, symbol must be one of {', '.join(SAMPLE_SYMBOLS)}, "
                f"not {self.symbol!r}"
            )
        return self

    def _check_symbols(self) -> Self:
        if self.symbol is not None or (self.path is not None and self.paths):
            raise ValueError("symbols take the place of symbol, and paths of path")
        if len(self.symbols) < 2 or len(set(self.symbols)) < len(self.symbols):
            raise ValueError(f"symbols must be two or more, and different: {list(self.symbols)}")
        if self.paths and set(self.paths) != set(self.symbols):
            raise ValueError(
                f"paths must name a file for each of {list(self.symbols)}, not {list(self.paths)}"
            )
        unknown = [name for name in self.symbols if name not in SAMPLE_SYMBOLS]
        if unknown and not self.paths and self.path is None:
            raise ValueError(
                f"without path or paths, symbols must be of {', '.join(SAMPLE_SYMBOLS)}, "
                f"not {unknown}"
            )
        return self


class FeatureSettings(FeatureSpec):
    """FeatureSpec as a configuration says it: groups by their names, with their options."""

    groups: tuple[Annotated[FeatureGroup, Named(FeatureGroup, FEATURES)], ...] = ()
    """More features of the bars, each `{kind: NAME, options: {...}}`, of Tradewind or of
    one's own: they stand after those above and before the position."""

    def made(self) -> FeatureSpec:
        """The same, which a bundle records: groups by name and version."""
        return FeatureSpec(**dict(self))


class JobConfig(TrainingConfig):
    """What a training job takes: a training, its bars and its environment."""

    data: DataConfig = DataConfig(symbol="BTC")
    """The bars."""

    environment: EnvironmentSettings = EnvironmentSettings()
    """How an episode trades, ends and rewards."""

    features: FeatureSettings | None = None
    """What an observation is made of; by default for bars of this length."""

    resources: JobResources = JobResources()
    """How long the job may run and how much memory it may take."""

    def files(self) -> dict[str, Path]:
        """The files that the configuration names, by key."""
        named = super().files()
        named |= {f"data.paths.{symbol}": path for symbol, path in self.data.paths.items()}
        return named if self.data.path is None else {**named, "data.path": self.data.path}

    def check_environment(self) -> Iterator[FieldViolation]:
        """Finds what the algorithm cannot do in the environment."""
        if self.data.symbols and self.environment.actions != "continuous":
            yield FieldViolation(
                "environment.actions", "several symbols take continuous actions, not discrete ones"
            )
        yield from find_algorithm(self.algorithm).check_environment(
            self.algo_params, self.environment.actions, self.features or FeatureSpec()
        )

    def check_risk(self, policy: RiskPolicy) -> Iterator[FieldViolation]:
        """Finds limits and constraints on metrics that bars do not feed.

        A reward that is to follow them would never know them.
        """
        risk = self.risk_config
        if not risk.enabled:
            return
        unfed = unfed_metrics(policy)
        for metric in policy.limits:
            if metric in unfed:
                yield FieldViolation(
                    "risk_config.policy_yaml",
                    f"{risk.policy_yaml} limits {metric}, which needs {unfed[metric]}: "
                    "no environment of bars has them",
                )
        constraints = risk.lagrangian.constraints if risk.lagrangian is not None else {}
        for metric in constraints:
            if metric in unfed:
                yield FieldViolation(
                    f"risk_config.lagrangian.constraints.{metric}",
                    f"needs {unfed[metric]}: no environment of bars has them",
                )


ConfigT = TypeVar("ConfigT", bound=TrainingConfig)


def parse_training_config(
    values: Mapping[str, Any],
    model: type[ConfigT],
    *,
    folder: Path | None = None,
    own: frozenset[Path] = frozenset(),
    quote_files: bool = True,
) -> ConfigT:
    """Checks a configuration as far as that is possible before training, and fills in defaults.

    Args:
        values: The configuration as given.
        model: TrainingConfig or JobConfig.
        folder: Folder that the files it names must lie in; None allows any.
        own: Files that may lie elsewhere.
        quote_files: False says of a file that is refused the place and the kind alone: whoever
            named it may not be the one who may read it.

    Raises:
        SettingsError: A key is unknown, missing, of the wrong type or out of range, values
            contradict each other, the algorithm cannot take the environment's actions, a file is
            outside the folder, the risk policy is refused, or there is no such device; every
            violation names its key.
    """
    config = parse_settings(values, model, source=_SOURCE)
    violations = [
        FieldViolation(key, problem)
        for key, path in config.files().items()
        if (problem := _why_unreadable(key, path, folder, own))
    ]
    if violations:
        raise SettingsError(f"{_SOURCE} is refused", violations)
    config = _complete(config)
    training = config.training_params
    violations = list(config.check_environment())
    if training.device == "cuda" and not torch.cuda.is_available():
        violations.append(
            FieldViolation("training_params.device", "no CUDA device on this machine")
        )
    if violations:
        raise SettingsError(f"{_SOURCE} is refused", violations)
    policy = _read_policy(config.risk_config.policy_yaml, quote=quote_files)
    _check_constraints(config.risk_config, policy)
    violations = list(config.check_risk(policy))
    if violations:
        raise SettingsError(f"{_SOURCE} is refused", violations)
    return config


def _read_policy(path: Path, *, quote: bool) -> RiskPolicy:
    try:
        return RiskPolicy.from_yaml(path)
    except SettingsError as problem:
        if quote:
            raise
        raise redact_settings(problem, "risk_config.policy_yaml", path) from None


def _why_unreadable(key: str, path: Path, folder: Path | None, own: frozenset[Path]) -> str:
    """Why a file must not be opened; empty where nothing speaks against it."""
    if path.resolve() in {each.resolve() for each in own}:
        folder = None
    if folder is not None and not path.resolve().is_relative_to(folder.resolve()):
        return f"{path} is outside the folder that files are read from"
    try:
        is_data = key.startswith("data.") and path.is_dir()
        for each in bar_files(path)[0] if is_data else (path,):
            check_file(each, within=folder)
    except MarketDataError as problem:
        return str(problem)
    except FileNotFoundError:
        return ""  # its reader says so
    except OSError as problem:
        return f"cannot read {path}: it {problem.strerror}"
    return ""


def _check_constraints(risk: RiskConfig, policy: RiskPolicy) -> None:
    metrics = policy.calculators.metrics()
    constraints = risk.lagrangian.constraints if risk.lagrangian is not None else {}
    violations = [
        FieldViolation(
            f"risk_config.lagrangian.constraints.{name}",
            f"not calculated by {risk.policy_yaml}, which has {', '.join(metrics)}",
        )
        for name in constraints
        if name not in metrics
    ]
    if violations:
        raise SettingsError(f"{_SOURCE} is refused", violations)


def _complete(config: ConfigT) -> ConfigT:
    """Fills in the number of environments and the parameters of the algorithm."""
    algorithm, training = find_algorithm(config.algorithm), config.training_params
    n_envs, steps = training.n_envs, training.total_timesteps
    if n_envs is None:
        n_envs, parameters = algorithm.vectorize(config.algo_params, steps)
    else:
        parameters = algorithm.complete(config.algo_params, n_envs, steps)
    training = training.model_copy(update={"n_envs": n_envs})
    return config.model_copy(update={"training_params": training, "algo_params": parameters})


def _with_names(value: Any) -> Any:
    """What has no form in JSON, by its name."""
    if isinstance(value, Mapping):
        return {name: _with_names(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_names(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
