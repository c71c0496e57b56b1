"""One training judged on bars of its own, and nothing published; or a bundle judged again."""

from dataclasses import replace
from pathlib import Path

from tradewind.bundle import read_bundle
from tradewind.errors import BundleFormatError, MarketDataError
from tradewind.jobs import TrainingPhase
from tradewind.market import BarSeries, FeatureSpec, series_of
from tradewind.market.feature_group import KnownGroups
from tradewind.policy import SealedNetwork, TorchScriptNetwork, open_declared
from tradewind.risk import RiskPolicy
from tradewind.settings import parse_settings
from trainer_service.algorithms import find_algorithm
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv
from trainer_service.evaluation import (
    EvaluationConfig,
    HeldOutEvaluation,
    evaluate,
    judge_constraints,
)
from trainer_service.export import build_network, declare_export, script_policy, serialize
from trainer_service.progress import ProgressReporter
from trainer_service.training.agent import TrainerAgent
from trainer_service.training.config import TrainingConfig
from trainer_service.training.workspace import (
    Env,
    environment_on,
    held_out_episode,
    hold_against_bars,
    trading_env_of,
)

__all__ = ["evaluate_bundle", "train_and_judge"]


def train_and_judge(
    config: TrainingConfig,
    env: Env,
    past: BarSeries,
    future: BarSeries,
    reporter: ProgressReporter,
) -> HeldOutEvaluation:
    """Trains on bars and evaluates on those that came after.

    Args:
        config: As `parse_training_config` gave it; its held_out_fraction does not matter.
        env: Costs, features, and what a subclass or wrapper of the user's changes; it is copied
            and never stepped.
        past: What is learnt from.
        future: What the policy is judged on, those before its first decision included.
        reporter: Told of every phase and step.

    Raises:
        MarketDataError: There are too few bars.
        TrainingError: As `TrainerAgent.fit` says.
    """
    training = config.training_params.model_copy(update={"held_out_fraction": None})
    trainer = TrainerAgent(config.model_copy(update={"training_params": training}))
    held_out = held_out_episode(trading_env_of(env), future)
    reporter.enter(TrainingPhase.PREPARING)
    trained = trainer.fit(environment_on(env, past), reporter)
    layers, _ = build_network(find_algorithm(config.algorithm), trained.model)
    script = TorchScriptNetwork(serialize(script_policy(layers)))
    declared = declare_export(script, env.observation_space.shape or ())
    network = script if declared is None else declared.network  # what would serve
    reporter.enter(TrainingPhase.EVALUATING)
    risk_policy = RiskPolicy.from_yaml(config.risk_config.policy_yaml)
    found = evaluate(held_out, network, risk_policy, config.evaluation, training.seed)
    constraints = config.risk_config.lagrangian
    if constraints is None or trained.constraints is None:
        return found
    judged = judge_constraints(
        held_out, trading_env_of(env).config, network, risk_policy, constraints.constraints
    )
    return replace(found, figures=found.figures | trained.constraints.figures() | judged)


def evaluate_bundle(
    folder: Path,
    bars: BarSeries,
    risk_policy: RiskPolicy,
    config: EvaluationConfig | None = None,
    seed: int = 0,
    known: KnownGroups | None = None,
) -> HeldOutEvaluation:
    """Runs the policy of a bundle over bars, on the terms it was trained under.

    Args:
        folder: `<store>/<policy>/<version>`.
        bars: What to trade; the first ones fill the features' windows.
        risk_policy: Settings of the risk calculators.
        config: How sure a figure is to be.
        seed: Seeds the random baseline and the bootstrap.
        known: The feature groups that the bundle may need; by default Tradewind's own.

    Raises:
        BundleError: The bundle must not be used, or does not say how its policy trades.
        VersionNotFoundError: There is no such folder.
        MarketDataError: The bars are too few, not those its features are for, or of other symbols
            than a policy for several trades.
        RiskPolicyError: It states another number of bars in a year.
    """
    bundle = read_bundle(folder)
    environment = bundle.metadata.training.config.get("environment")
    if bundle.metadata.features is None or not isinstance(environment, dict):
        raise BundleFormatError(f"{folder} does not say how its policy trades bars")
    symbols = tuple(each.symbol for each in series_of(bars))
    trained_on = bundle.metadata.features.symbols
    # A policy for one symbol may be tried on any other one.
    if (len(symbols) > 1 or trained_on) and symbols != trained_on:
        wanted = ", ".join(trained_on) or "one symbol"
        raise MarketDataError(f"{folder} trades {wanted}, not {', '.join(symbols)}")
    spec = FeatureSpec.read(bundle.metadata.features.spec, known)
    # How it was rewarded is no part of how it trades, and may need what is not here.
    environment = {**environment, "reward": "log_return"}
    settings = parse_settings(environment, EnvironmentConfig, source="environment")
    whole = settings.model_copy(update={"episode_bars": None})
    hold_against_bars(risk_policy, bars)
    env = held_out_episode(IntradayTradingEnv(bars, whole, spec), bars)
    config = config or EvaluationConfig()
    if bundle.metadata.graph is not None:
        return evaluate(env, open_declared(bundle), risk_policy, config, seed)
    with SealedNetwork(bundle) as network:
        return evaluate(env, network, risk_policy, config, seed)
