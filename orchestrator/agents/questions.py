"""Asks the services, and believes only what can be verified."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from orchestrator.agents.contract_guard import ContractGuard
from orchestrator.agents.reasons import Reason
from orchestrator.settings import RoutingKey
from tradewind.bundle import DiscreteSpace
from tradewind.errors import RpcError, TradewindError
from tradewind.risk import RiskInputs
from tradewind.rpc.clients import AsyncInferenceClient, AsyncRiskClient, BatchPrediction, Evaluation

_logger = logging.getLogger(__name__)

__all__ = [
    "PolicyAnswer",
    "PolicyQuestion",
    "RiskReply",
    "ask_policy",
    "ask_risk",
    "route_questions",
]


@dataclass(frozen=True, slots=True, eq=False)
class PolicyQuestion:
    """What one policy is asked at a tick: an observation for each allocation. Shape [n, size].

    `symbols` says what each observation is of. Where the inference service routes the policy,
    `routing_key` says which variant answers. A question with a `doubt` is not sent.
    """

    policy: str
    symbols: tuple[tuple[str, ...], ...]
    observations: NDArray[np.float32]
    request_id: str
    routing_key: str = ""
    doubt: Reason | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PolicyAnswer:
    """The answer, if there is one; `reason` says why it must not be traded on, else it is None."""

    question: PolicyQuestion
    prediction: BatchPrediction | None
    reason: Reason | None
    took_ns: int


@dataclass(frozen=True, slots=True)
class RiskReply:
    """The answer to Evaluate, if there is one; `reason` as in PolicyAnswer."""

    request_id: str
    evaluation: Evaluation | None
    reason: Reason | None
    took_ns: int


def route_questions(
    questions: Sequence[PolicyQuestion], by: RoutingKey, account: str
) -> list[PolicyQuestion]:
    """Gives each question its routing key; by symbol, each allocation is a question of its own."""
    if by != "symbol":
        return [
            replace(question, routing_key=account if by == "account" else question.policy)
            for question in questions
        ]
    return [
        replace(
            question,
            symbols=(symbols,),
            observations=question.observations[row : row + 1],
            routing_key=",".join(symbols),
        )
        for question in questions
        for row, symbols in enumerate(question.symbols)
    ]


async def ask_policy(
    client: AsyncInferenceClient, guard: ContractGuard, question: PolicyQuestion, timeout_s: float
) -> PolicyAnswer:
    """Asks a policy and verifies its answer."""
    if question.doubt is not None:
        return PolicyAnswer(question, None, question.doubt, 0)
    started = time.perf_counter_ns()
    try:
        prediction = await client.predict_batch(
            question.observations,
            policy=question.policy,
            request_id=question.request_id,
            routing_key=question.routing_key,
            timeout_s=timeout_s,
        )
    except TradewindError as problem:
        reason = _why(problem, Reason.INFERENCE_UNAVAILABLE)
        return PolicyAnswer(question, None, reason, time.perf_counter_ns() - started)
    reason_or_none = _doubt(guard, question, prediction)
    return PolicyAnswer(question, prediction, reason_or_none, time.perf_counter_ns() - started)


async def ask_risk(
    client: AsyncRiskClient,
    guard: ContractGuard,
    inputs: RiskInputs,
    *,
    account: str,
    request_id: str,
    required_metrics: Sequence[str],
    timeout_s: float,
) -> RiskReply:
    """Asks what the account must do and verifies the answer."""
    started = time.perf_counter_ns()
    try:
        evaluation = await client.evaluate(
            inputs, account=account, request_id=request_id, timeout_s=timeout_s
        )
    except TradewindError as problem:
        reason = _why(problem, Reason.RISK_UNAVAILABLE)
        return RiskReply(request_id, None, reason, time.perf_counter_ns() - started)
    doubt = None
    if evaluation.request_id != request_id:
        doubt = Reason.ANSWER_UNVERIFIED
    elif not _is_known(guard, evaluation) and not await _learns(guard, evaluation, timeout_s):
        doubt = Reason.RISK_POLICY_CHANGED
    elif any(metric not in evaluation.report.metric_values for metric in required_metrics):
        doubt = Reason.METRIC_UNAVAILABLE
    return RiskReply(request_id, evaluation, doubt, time.perf_counter_ns() - started)


def _is_known(guard: ContractGuard, evaluation: Evaluation) -> bool:
    """Whether the answer was given under the risk policy and the overlay that were compared."""
    return (evaluation.report.policy_digest, evaluation.overlay_digest) == (
        guard.risk_digest,
        guard.overlay_digest,
    )


async def _learns(guard: ContractGuard, evaluation: Evaluation, timeout_s: float) -> bool:
    """Takes over an overlay that was put on or off since the last answer.

    It leaves the risk policy that the policies were trained under in force, so trading goes on
    with this very answer. Another risk policy is compared once the tick is done.
    """
    if evaluation.report.policy_digest != guard.risk_digest:
        return False
    try:
        async with asyncio.timeout(timeout_s):
            await guard.verify_risk_policy()
    except (TradewindError, TimeoutError) as problem:
        _logger.warning("%s: %s", Reason.RISK_POLICY_CHANGED, problem or "no answer in time")
        return False
    _logger.warning("overlay %s of the risk policy is on", guard.overlay_digest or "(none)")
    return _is_known(guard, evaluation)


def _why(problem: TradewindError, otherwise: Reason) -> Reason:
    _logger.warning("%s: %s", otherwise, problem)
    code = problem.metadata.get("code") if isinstance(problem, RpcError) else None
    return Reason.DEADLINE if code == "DEADLINE_EXCEEDED" else otherwise


def _doubt(
    guard: ContractGuard, question: PolicyQuestion, prediction: BatchPrediction
) -> Reason | None:
    if prediction.request_id != question.request_id or prediction.policy != question.policy:
        return Reason.ANSWER_UNVERIFIED
    served = (prediction.policy, prediction.version, prediction.bundle_sha256)
    if not guard.is_accepted(*served):
        return Reason.CONTRACT_MISMATCH if guard.refusal(*served) else Reason.VERSION_CHANGED
    space = guard.policy(question.policy).action_space
    size = () if isinstance(space, DiscreteSpace) else (space.size,)
    if prediction.actions.shape != (len(question.symbols), *size):
        return Reason.ANSWER_UNVERIFIED
    return None
