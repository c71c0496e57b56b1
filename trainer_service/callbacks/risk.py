"""Risk in the reward: the production calculators on every step of every environment."""

import collections
from collections.abc import Sequence
from math import isfinite
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from tradewind.errors import TrainingError
from tradewind.kernels.compiled import compiled
from tradewind.risk import FloatArray, ProductionRiskAdvisor, RiskInputs, StepRisk
from trainer_service.callbacks.rewards import subtract_from_rewards
from trainer_service.environment import RiskMeasuringEnv
from trainer_service.environment.measuring import step_risk_of

__all__ = ["RiskAwareCallback"]

_FILLING_STEPS: Final = 1_001
"""No metric needs a longer history: 99.9 % quantiles take 1,000 returns."""

_HOW_TO_GO_ON: Final = (
    "No bundle is published. To train on, raise risk_config.early_stop_threshold (null never "
    "stops) or the limits of risk_config.policy_yaml, or have it trade less"
)


class RiskAwareCallback(BaseCallback):
    """Subtracts a risk penalty from every reward and stops a training that stays too risky.

    After each step the production calculators say what risk the account of every environment
    carries, and `penalty_weight` × penalty is subtracted from its reward before Stable-Baselines3
    stores it, so that the penalised reward is what is learnt from. With a VecNormalize the penalty
    is in units of the raw reward; the normalisation keeps the scale of the rewards without penalty.
    Episode returns in the log are without penalty.

    A RiskMeasuringEnv, as VectorizedTradingEnv is, measures its risk itself, within its step. Of
    any other environment, one account after the other (its `risk_inputs()`) goes through the
    calculators: the same bits.

    A step is judged when every limit of the policy can be checked; at the start of an episode some
    cannot, because their windows still fill. The training stops when the mean risk score over
    `early_stop_patience` consecutive judged steps is above `early_stop_threshold`. It is a mean so
    that the fresh account of the next episode does not clear a policy that breaks its limits in
    every episode. When as many steps in a row cannot be judged, nor any of the 1,001 steps of one
    environment in which every window fills, the limits cannot be checked in this environment at
    all, and the training fails. A step whose penalty is unknown keeps its reward and counts in
    `risk/unknown_penalties`.

    Logged: `risk/score` and `risk/penalty` (means over the environments, and over the steps since
    the last dump), `risk/judged_score` (the mean that the threshold is compared with) and
    `risk/unknown_penalties`.

    Args:
        risk_advisor: The production calculators under a risk policy.
        penalty_weight: Factor on the penalty, which is 1 when the limits are just reached.
        early_stop_threshold: Risk score from 0 to 1; None never stops.
        early_stop_patience: Environment steps, counted over all environments as
            Stable-Baselines3 counts them.

    Attributes:
        stop_reason: Why the training was stopped; empty while it was not.

    Raises:
        TrainingError: While learning, when the rewards or the accounts cannot be reached, the
            environment measures risk under another policy, or the limits can never be checked.
    """

    def __init__(
        self,
        risk_advisor: ProductionRiskAdvisor,
        penalty_weight: float = 0.1,
        early_stop_threshold: float | None = 0.8,
        early_stop_patience: int = 10_000,
    ) -> None:
        super().__init__()
        self._advisor = risk_advisor
        self._penalty_weight = penalty_weight
        self._threshold = early_stop_threshold
        self._patience = early_stop_patience
        # Of each latest step of all environments: the judged scores, added up and counted.
        self._recent: collections.deque[tuple[float, int]] = collections.deque()
        self._recent_sum = 0.0
        self._recent_count = 0
        self._unjudged_steps = 0
        self._unknown_penalties = 0
        self._measured: RiskMeasuringEnv | None = None
        self.stop_reason = ""

    def _init_callback(self) -> None:
        env = self.training_env.unwrapped
        self._measured = env if isinstance(env, RiskMeasuringEnv) else None
        if self._measured is None:
            return
        measures, expected = self._measured.risk_policy_digest, self._advisor.policy_digest
        if measures != expected:
            under = f"under risk policy {measures[:12]}…" if measures else "no risk"
            raise TrainingError(
                f"the environment measures {under}, the callback advises under {expected[:12]}…: "
                "give both the same policy"
            )

    def get_state(self) -> dict[str, Any]:
        """The scores that the early stop goes by, and the counts."""
        return {
            "_recent": self._recent.copy(),
            "_recent_sum": self._recent_sum,
            "_recent_count": self._recent_count,
            "_unjudged_steps": self._unjudged_steps,
            "_unknown_penalties": self._unknown_penalties,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes back to what `get_state` gave."""
        vars(self).update(state)

    def _on_step(self) -> bool:
        risk = self._step_risk()
        deductions = np.empty(risk.penalty.size)
        known, penalties, judged, scores = _add_up(
            risk.penalty, risk.risk_score, risk.judged, self._penalty_weight, deductions
        )
        self._unknown_penalties += deductions.size - known
        subtract_from_rewards(self, deductions)
        logger = self.logger
        logger.record("risk/unknown_penalties", self._unknown_penalties)
        if known:
            logger.record_mean("risk/penalty", penalties / known)
        self._judge(logger, deductions.size, judged, scores)
        if self.stop_reason:
            self.stop_reason += f". {self._worst(risk)}{_HOW_TO_GO_ON}"
        return not self.stop_reason

    def _worst(self, risk: StepRisk) -> str:
        """The limit that is used most, in the mean over the environments."""
        used = {
            metric: float(np.nanmean(values)) / limit.limit
            for metric, limit in self._advisor.policy.limits.items()
            if limit.limit and np.isfinite(values := risk.metric(metric)).any()
        }
        if not used:
            return ""
        metric = max(used, key=lambda name: used[name])
        limit = self._advisor.policy.limits[metric].limit
        return f"Of its limits the most used is {metric}: {used[metric] * limit:.4g} of {limit:g}. "

    def _step_risk(self) -> StepRisk:
        """Risk of each environment after the step, before a reset that followed it."""
        if self._measured is None:
            return step_risk_of([self._advisor.report(inputs) for inputs in self._risk_inputs()])
        risk = self._measured.step_risk
        assert risk is not None, "the environment has just been stepped"
        return risk

    def _risk_inputs(self) -> Sequence[RiskInputs]:
        """The account of each environment after the step, before a reset that followed it."""
        accounts: list[RiskInputs] = []
        infos: Sequence[dict[str, Any]] = self.locals["infos"]
        try:
            present = self.training_env.env_method("risk_inputs")
        except AttributeError as problem:
            raise TrainingError(
                f"risk-aware training needs environments with risk_inputs(): {problem}"
            ) from problem
        for inputs, info, done in zip(present, infos, self.locals["dones"], strict=True):
            # A vectorised environment has already reset the one that is done.
            if done and "final_risk_inputs" not in info:
                raise TrainingError(
                    "risk-aware training needs environments that put their last risk_inputs() "
                    "into info['final_risk_inputs'] when an episode ends"
                )
            accounts.append(info["final_risk_inputs"] if done else inputs)
        return accounts

    def _judge(self, logger: Logger, size: int, count: int, total: float) -> None:
        """Takes the judged ones of `size` environments, and the sum of their scores."""
        if not count:
            self._unjudged_steps += 1
            unjudged = self._unjudged_steps * size
            has_filled = self._unjudged_steps >= min(self._patience, _FILLING_STEPS)
            if has_filled and unjudged >= self._patience:
                raise TrainingError(
                    f"for {unjudged} steps in a row limits could not be checked: "
                    f"{self._describe_unchecked()}"
                )
            return
        self._unjudged_steps = 0
        logger.record_mean("risk/score", total / count)
        mean = self._recent_mean(total, count)
        logger.record("risk/judged_score", mean)
        if (
            self._threshold is not None
            and mean > self._threshold
            and self._recent_count >= self._patience
        ):
            self.stop_reason = (
                f"the mean risk score over {self._recent_count} environment steps was {mean:.3f}, "
                f"above {self._threshold}, after {self.num_timesteps} steps of training"
            )

    def _recent_mean(self, total: float, count: int) -> float:
        """Mean score of the latest judged steps, at least `early_stop_patience` of them."""
        self._recent.append((total, count))
        self._recent_sum += total
        self._recent_count += count
        while self._recent_count - self._recent[0][1] >= self._patience:
            total, count = self._recent.popleft()
            self._recent_sum -= total
            self._recent_count -= count
        return self._recent_sum / self._recent_count

    def _describe_unchecked(self) -> str:
        """Why the limits of the first environment cannot be checked."""
        if self._measured is None:
            report = self._advisor.report(self._risk_inputs()[0])
        else:
            report = self._measured.risk_report(0)
        reasons = [f"{metric}: {report.unavailable[metric]}" for metric in report.unchecked_limits]
        return "; ".join(reasons) or "the risk policy has no limits"


@compiled
def _add_up(
    penalties: FloatArray,
    scores: FloatArray,
    judged: NDArray[np.bool_],
    weight: float,
    deductions: FloatArray,
) -> tuple[int, float, int, float]:
    """Fills in what each reward loses, 0 where the penalty is unknown. All of shape [n].

    Returns:
        Known penalties and their sum, judged steps and the sum of their scores.
    """
    known, judged_count = 0, 0
    penalty_sum, score_sum = 0.0, 0.0
    for row in range(penalties.size):
        deductions[row] = 0.0
        if isfinite(penalties[row]):
            deductions[row] = weight * penalties[row]
            penalty_sum += penalties[row]
            known += 1
        if judged[row]:
            score_sum += scores[row]
            judged_count += 1
    return known, penalty_sum, judged_count, score_sum
