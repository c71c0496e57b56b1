"""Environments that say, after every step, what risk each of their accounts carries."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from tradewind.risk import RiskReport, StepRisk
from trainer_service.environment.task import TradingTask

__all__ = ["RiskMeasuringEnv", "step_risk_of"]


class RiskMeasuringEnv(VecEnv):
    """Copies of a trading environment whose risk is measured within their step.

    Attributes:
        task: What the copies share.
        step_risk: Risk of every copy after the last step and before the resets that followed it.
            None before the first step, and where nothing measures risk.
        first_lengths: Steps after which the first episode of each copy is cut short at the latest.
            Shape [n].
    """

    task: TradingTask
    step_risk: StepRisk | None
    first_lengths: NDArray[np.int64]

    @property
    @abstractmethod
    def risk_policy_digest(self) -> str | None:
        """Digest of the risk policy that `step_risk` is under; None without one."""

    @abstractmethod
    def risk_report(self, row: int) -> RiskReport:
        """Risk of one copy after the last step, with reasons in words.

        Raises:
            ConflictError: Nothing measures risk, or no step has been taken.
        """


def step_risk_of(reports: Sequence[RiskReport]) -> StepRisk:
    """The reports of all accounts, one each, as the arrays of a step."""
    names = tuple({**reports[0].metric_values, **reports[0].unavailable})
    rows = [[report.metric_values.get(name, np.nan) for name in names] for report in reports]
    scores = [np.nan if report.risk_score is None else report.risk_score for report in reports]
    penalties = [np.nan if report.penalty is None else report.penalty for report in reports]
    checked = np.array([not report.unchecked_limits for report in reports])
    score = np.array(scores)
    return StepRisk(names, np.array(rows), score, np.array(penalties), checked & ~np.isnan(score))
