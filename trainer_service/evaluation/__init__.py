"""What a policy is worth on bars it never saw, and how much of that may be luck."""

from trainer_service.evaluation.constraints import judge_constraints
from trainer_service.evaluation.episode import Episode, record_observations
from trainer_service.evaluation.held_out import BASELINES, HeldOutEvaluation, evaluate
from trainer_service.evaluation.luck import bootstrap_figures, deflated_sharpe
from trainer_service.evaluation.settings import EvaluationConfig
from trainer_service.evaluation.splits import Split, WalkForwardConfig, walk_forward_splits

__all__ = [
    "BASELINES",
    "Episode",
    "EvaluationConfig",
    "HeldOutEvaluation",
    "Split",
    "WalkForwardConfig",
    "bootstrap_figures",
    "deflated_sharpe",
    "evaluate",
    "judge_constraints",
    "record_observations",
    "walk_forward_splits",
]
