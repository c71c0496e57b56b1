"""From a trained model to the draft of its bundle."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm

from tradewind.bundle import (
    ActionSpace,
    BoxSpace,
    BundleDraft,
    DiscreteSpace,
    FeatureRecord,
    GoldenSet,
    RiskRecord,
    TermsRecord,
    TrainingRecord,
)
from tradewind.errors import ExportError
from tradewind.jobs import TrainingPhase
from tradewind.logs import current_request_id
from tradewind.policy import (
    TorchScriptNetwork,
    measure_latency,
)
from tradewind.risk import RiskPolicy
from trainer_service.algorithms import find_algorithm
from trainer_service.callbacks import MetricSeries
from trainer_service.callbacks.multipliers import ConstraintOutcome
from trainer_service.checkpoints.provenance import git_revision, library_versions
from trainer_service.evaluation import evaluate, judge_constraints, record_observations
from trainer_service.export import (
    build_network,
    decided_rows,
    declare_export,
    script_policy,
    serialize,
    verify_policy,
    write_copies,
)
from trainer_service.progress import ProgressReporter
from trainer_service.report import REPORT_FILE, render_report
from trainer_service.training.config import RiskConfig, TrainingConfig
from trainer_service.training.workspace import Workspace

__all__ = ["Trained", "make_draft"]

_OBSERVATIONS_WITHOUT_BARS = 1_000
_GOLDEN_OBSERVATIONS = 256


@dataclass(frozen=True, eq=False)
class Trained:
    """A model that has learnt.

    Attributes:
        model: The model.
        history: What was logged while it learnt.
        constraints: How its constraints ended; None when it had none.
        device: What it learnt on; None for the one that it is on.
    """

    model: BaseAlgorithm
    history: Mapping[str, MetricSeries] = field(default_factory=dict)
    constraints: ConstraintOutcome | None = None
    device: str | None = None


def make_draft(
    trained: Trained,
    workspace: Workspace,
    config: TrainingConfig,
    reporter: ProgressReporter,
    *,
    risk_policy: Path | None = None,
) -> BundleDraft:
    """Evaluates and exports a trained model.

    Args:
        trained: The model, and what was noted while it learnt.
        workspace: Where it was trained.
        config: How it was trained.
        reporter: Told of every phase.
        risk_policy: The risk policy as it was then; by default the file that `config` names.

    Raises:
        ExportError: The exported network differs from the model, or is not finite.
    """
    model, algorithm = trained.model, find_algorithm(config.algorithm)
    layers, distribution = build_network(algorithm, model)
    script = script_policy(layers)
    policy_pt = serialize(script)
    network = TorchScriptNetwork(policy_pt)
    obs_space = _box_space(model.observation_space)
    declared = declare_export(network, obs_space.shape)
    serving = network if declared is None else declared.network

    reporter.enter(TrainingPhase.EVALUATING)
    seed = config.training_params.seed
    rules = RiskPolicy.from_yaml(risk_policy or config.risk_config.policy_yaml)
    held_out_env, constraints = workspace.held_out_env, config.risk_config.lagrangian
    evaluation = None
    figures = {} if trained.constraints is None else trained.constraints.figures()
    observations = workspace.observations
    if held_out_env is not None:
        evaluation = evaluate(held_out_env, serving, rules, config.evaluation, seed)
        observations = evaluation.policy.observations
        figures |= evaluation.figures
        if constraints is not None and workspace.trading_env is not None:
            figures |= judge_constraints(
                held_out_env, workspace.trading_env.config, serving, rules, constraints.constraints
            )
    elif observations is None:
        observations = record_observations(workspace.env, serving, _OBSERVATIONS_WITHOUT_BARS, seed)

    reporter.enter(TrainingPhase.EXPORTING)
    verify_policy(script, distribution, algorithm, model, observations)
    golden = _golden_set(network, observations, discrete=distribution.discrete)
    if declared is not None and not declared.is_proved(network, obs_space, golden, observations):
        declared = None
    draft = BundleDraft(
        name=config.policy,
        algo=f"SB3-{algorithm.name}",
        policy_pt=policy_pt,
        golden=golden,
        obs_space=obs_space,
        action_space=_action_space(model.action_space),
        distribution=distribution,
        features=_feature_record(workspace),
        risk=_risk_record(config.risk_config, rules),
        terms=_terms_record(workspace),
        training=_training_record(trained, workspace, config),
        evaluation=figures,
        slo=measure_latency(network if declared is None else declared.network, golden.observations),
        graph=None if declared is None else declared.graph,
        weights={} if declared is None else declared.weights,
        extra_files=write_copies(layers, config.copies, observations),
    )
    if not config.evaluation.report:
        return draft
    report = render_report(
        draft,
        evaluation=evaluation,
        held_out=None if held_out_env is None else held_out_env.bars,
        history=trained.history,
        risk_policy=rules,
    )
    return replace(draft, extra_files={**draft.extra_files, REPORT_FILE: report})


def _golden_set(
    network: TorchScriptNetwork, observations: NDArray[np.float32], *, discrete: bool
) -> GoldenSet:
    """Observations spread evenly over those given, and what the network says to them.

    A discrete action that rounding could turn is left out.
    """
    distribution, _ = network.distribution(observations)
    decided = np.ones(len(observations), dtype=bool)
    if discrete:
        decided = decided_rows(distribution)
    candidates = np.flatnonzero(decided)
    if not len(candidates):
        raise ExportError(
            "the policy prefers no action to another on any held-out observation; "
            "it has learnt nothing that a bundle could be checked by"
        )
    places = np.linspace(0, len(candidates) - 1, min(_GOLDEN_OBSERVATIONS, len(candidates)))
    chosen = np.ascontiguousarray(observations[candidates[places.astype(np.int64)]])
    return GoldenSet(chosen, network.act(chosen)[0], network.distribution(chosen)[0])


def _box_space(space: spaces.Space[Any]) -> BoxSpace:
    assert isinstance(space, spaces.Box)
    return BoxSpace.from_bounds(space.shape, space.low, space.high)


def _action_space(space: spaces.Space[Any]) -> ActionSpace:
    if isinstance(space, spaces.Discrete):
        return DiscreteSpace(n=int(space.n))
    return _box_space(space)


def _feature_record(workspace: Workspace) -> FeatureRecord | None:
    if workspace.trading_env is None:
        return None
    env = workspace.trading_env
    spec = env.feature_spec
    return FeatureRecord(
        spec=spec.model_dump(mode="json"),
        digest=spec.digest,
        parts=dict(spec.parts),
        symbols=env.symbols if len(env.symbols) > 1 else (),
        market=env.bars.market.name,
    )


def _risk_record(risk: RiskConfig, policy: RiskPolicy) -> RiskRecord | None:
    if not risk.enabled:
        return None
    return RiskRecord(
        policy_digest=policy.digest(),
        parts=dict(policy.parts),
        versions=policy.versions,
        limits={metric: limit.limit for metric, limit in policy.limits.items()},
        penalty_weight=risk.penalty_weight,
        early_stop_threshold=risk.early_stop_threshold,
    )


def _terms_record(workspace: Workspace) -> TermsRecord | None:
    if workspace.trading_env is None:
        return None
    identity = workspace.trading_env.config.identity
    return TermsRecord(digest=identity.digest, parts=dict(identity.parts))


def _training_record(
    trained: Trained, workspace: Workspace, config: TrainingConfig
) -> TrainingRecord:
    model, recorded = trained.model, config.record()
    if workspace.trading_env is not None:
        # What the actions mean, and what trading costs: whoever trades the policy needs it.
        recorded["environment"] = workspace.trading_env.config.model_dump(mode="json")
    if workspace.record is not None:
        recorded["environment_class"] = workspace.record
    return TrainingRecord(
        timesteps=model.num_timesteps,
        seed=config.training_params.seed,
        data_digest=None if workspace.bars is None else workspace.bars.digest,
        libraries=library_versions(),
        git_revision=git_revision(),
        device=trained.device or str(model.device),
        config=recorded,
        request_id=current_request_id() or None,
    )
