"""From a tick to order intents: features, Predict, Evaluate, and the safe thing when in doubt."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from orchestrator.account.portfolio import Portfolio
from orchestrator.account.risk_history import RiskHistory
from orchestrator.agents.contract_guard import ContractGuard
from orchestrator.agents.decision import TickDecision, policy_decision
from orchestrator.agents.enforcement import (
    Intent,
    PreTrade,
    apply_demand,
    round_intents,
    whole_reductions,
)
from orchestrator.agents.questions import (
    PolicyAnswer,
    PolicyQuestion,
    RiskReply,
    ask_policy,
    ask_risk,
    route_questions,
)
from orchestrator.agents.reasons import Reason
from orchestrator.decision_log.digest import inputs_digest
from orchestrator.feeds import BarFlag, Tick
from orchestrator.records import BarRecord, Outcome, RiskAnswer, Timings
from orchestrator.settings import RoutingKey, SafetySettings
from tradewind.market import PanelPipeline, PositionState
from tradewind.market.instruments import Instrument
from tradewind.risk import RiskInputs
from tradewind.risk.rules import Action
from tradewind.rpc.clients import AsyncInferenceClient, AsyncRiskClient

__all__ = ["ExecutionAgent"]

_logger = logging.getLogger(__name__)

_NS_PER_MS = 1_000_000
# Of the loop until grpc.aio has sent a request: one for the task that asks, one for the call's own.
_STEPS_TO_SEND = 2


class ExecutionAgent:
    """Decides ticks. One Evaluate a tick for the whole account, beside one Predict a policy.

    Args:
        inference: Serves the policies.
        risk: Enforces the risk policy.
        guard: Says which versions may be traded; it has verified them.
        portfolio: The account: who trades what.
        history: What the risk service is told.
        safety: What is done in doubt.
        account: The account's name at the risk service.
        routing_key: What stays with one variant of a routed policy.
        instruments: What symbols are traded as.
    """

    def __init__(
        self,
        inference: AsyncInferenceClient,
        risk: AsyncRiskClient,
        guard: ContractGuard,
        *,
        portfolio: Portfolio,
        history: RiskHistory,
        safety: SafetySettings,
        account: str,
        routing_key: RoutingKey = "account",
        instruments: Mapping[str, Instrument] = MappingProxyType({}),
    ) -> None:
        self._instruments = instruments
        self._told_small: set[str] = set()
        self._inference = inference
        self._risk = risk
        self._guard = guard
        self._portfolio = portfolio
        self._history = history
        self._safety = safety
        self._account = account
        self._routing_key: RoutingKey = routing_key
        self._policies: dict[str, list[tuple[str, ...]]] = {}
        for allocation in portfolio.allocations:
            self._policies.setdefault(allocation.policy, []).append(allocation.symbols)
        self._contracts = {name: guard.policy(name).contract for name in self._policies}
        self._pipelines: dict[str, PanelPipeline] = {}  # symbols of one allocation share one
        for allocation in portfolio.allocations:
            features = self._contracts[allocation.policy].features
            pipeline = PanelPipeline(allocation.symbols, features)
            self._pipelines |= dict.fromkeys(allocation.symbols, pipeline)
        self._pre_trade = (
            guard.enforced,
            PreTrade(guard.enforced, safety.throttle_fraction),
        )

    def learn(self, bars: Sequence[BarRecord]) -> None:
        """Takes in bars that the guard let through."""
        for bar in bars:
            if BarFlag.WARM_UP_AGAIN in bar.flags:
                self._pipelines[bar.symbol].start_over(bar.start_ns)
            self._pipelines[bar.symbol].update(bar.symbol, bar.bar)

    async def decide(
        self,
        tick: Tick,
        request_id: str,
        busy: frozenset[str],
        trouble: Reason | None = None,
    ) -> TickDecision:
        """Decides a tick whose bars were learned and whose fills were booked.

        Args:
            tick: The tick.
            request_id: Names the calls of this tick.
            busy: Symbols with an order that is not final.
            trouble: Why nothing that a policy wants may be traded.
        """
        decision = TickDecision()
        if trouble is not None:
            decision.add(trouble)
        ready = self._ready_symbols(tick, busy, decision)
        # An account that holds something is watched also when no policy can be asked.
        watched = self._can_ask(ready) or any(
            map(self._portfolio.quantity, self._portfolio.symbols)
        )
        inputs = self._history.inputs() if watched else None
        risk = None if inputs is None else await self._begin_evaluate(tick, inputs, request_id)
        started = time.perf_counter_ns()
        questions, positions = self._questions(ready, request_id)
        questions = route_questions(questions, self._routing_key, self._account)
        decision.inputs_digest = _digest(tick.bars, questions)
        asked = time.perf_counter_ns()
        answers = await self._ask_policies(tick, questions)
        doubts = [
            doubt for answer in answers for doubt in self._read_answer(answer, positions, decision)
        ]
        reply = None if risk is None else await risk
        decision.timings = Timings(
            features_ns=asked - started,
            predict_ns=max((answer.took_ns for answer in answers), default=0),
            evaluate_ns=0 if reply is None else reply.took_ns,
        )
        self._read_risk(reply, decision)
        for doubt in doubts:
            decision.add(doubt)
        if self._late(tick) and (questions or reply):
            decision.add(Reason.DEADLINE)
        self._conclude(reply, inputs, bool(answers), decision)
        return decision

    def _ready_symbols(
        self, tick: Tick, busy: frozenset[str], decision: TickDecision
    ) -> frozenset[str]:
        on_time: set[str] = set()
        late: set[str] = set()
        for bar in tick.bars:
            (late if BarFlag.LATE in bar.flags else on_time).add(bar.symbol)
        ready = set()
        for symbol in self._portfolio.symbols:
            if symbol not in on_time:
                decision.add(Reason.LATE_BAR if symbol in late else Reason.MISSING_BAR)
            elif not self._pipelines[symbol].ready:
                decision.add(Reason.WARM_UP)
            elif symbol in busy:
                decision.add(Reason.ORDER_OPEN)
            else:
                ready.add(symbol)
        return frozenset(ready)

    def _can_ask(self, ready: frozenset[str]) -> bool:
        """Whether there is a policy all of whose symbols are ready."""
        return any(
            ready.issuperset(symbols)
            for allocated in self._policies.values()
            for symbols in allocated
        )

    def _questions(
        self, ready: frozenset[str], request_id: str
    ) -> tuple[list[PolicyQuestion], dict[str, PositionState]]:
        """What can be asked: of several symbols, all have to be ready, or all of them hold."""
        positions = {symbol: self._portfolio.position(symbol) for symbol in ready}
        questions = []
        for policy, allocated in self._policies.items():
            asked, rows = [], []
            for symbols in allocated:
                if not ready.issuperset(symbols):
                    continue
                row, fault = self._pipelines[symbols[0]].observation_or_fault(
                    [positions[symbol] for symbol in symbols]
                )
                if fault:
                    doubt = Reason.FEATURES_FAILED
                    _logger.warning("%s: %s", doubt, fault)
                    alone = PolicyQuestion(policy, (symbols,), row[None], request_id, doubt=doubt)
                    questions.append(alone)
                else:
                    asked.append(symbols)
                    rows.append(row)
            if asked:
                questions.append(PolicyQuestion(policy, tuple(asked), np.stack(rows), request_id))
        return questions, positions

    async def _begin_evaluate(
        self, tick: Tick, inputs: RiskInputs, request_id: str
    ) -> asyncio.Task[RiskReply]:
        """Asks the risk service, and returns once the request is on its way.

        Its answer takes longest, for it is durable; everything else is done in the meantime.
        """
        reply = asyncio.create_task(
            ask_risk(
                self._risk,
                self._guard,
                inputs,
                account=self._account,
                request_id=request_id,
                required_metrics=self._safety.required_metrics,
                timeout_s=self._left_s(tick),
            )
        )
        for _ in range(_STEPS_TO_SEND):
            await asyncio.sleep(0)
        return reply

    async def _ask_policies(
        self, tick: Tick, questions: Sequence[PolicyQuestion]
    ) -> list[PolicyAnswer]:
        left_s = self._left_s(tick)
        policies = [
            asyncio.create_task(ask_policy(self._inference, self._guard, question, left_s))
            for question in questions
        ]
        return [await policy for policy in policies]

    def _left_s(self, tick: Tick) -> float:
        """Seconds that a call may take."""
        return max(self._left_ns(tick), _NS_PER_MS) * 1e-9

    def _left_ns(self, tick: Tick) -> int:
        budget_ns = round(self._safety.budget_ms * _NS_PER_MS)
        return tick.complete_ns + budget_ns - time.perf_counter_ns()

    def _late(self, tick: Tick) -> bool:
        return self._left_ns(tick) < 0

    def _read_risk(self, reply: RiskReply | None, decision: TickDecision) -> None:
        if reply is None:
            return
        if reply.reason is not None:
            decision.add(reply.reason)
            decision.risk_policy_changed = reply.reason is Reason.RISK_POLICY_CHANGED
        if reply.evaluation is not None:
            evaluation, report = reply.evaluation, reply.evaluation.report
            decision.evaluation = evaluation
            decision.risk = RiskAnswer(
                request_id=evaluation.request_id,
                decision_id=evaluation.decision_id,
                action=evaluation.action.name,
                policy_digest=report.policy_digest,
                halted=evaluation.halt is not None,
                breaches=tuple(
                    f"{breach.rule}: {breach.reason}"
                    for breach in evaluation.breaches
                    if not breach.shadow
                ),
                risk_score=report.risk_score,
                metrics=report.metric_values,
                unavailable=report.unavailable,
                overlay_digest=evaluation.overlay_digest,
            )

    def _read_answer(
        self, answer: PolicyAnswer, positions: Mapping[str, PositionState], decision: TickDecision
    ) -> list[Reason]:
        """Takes over what a policy wants; gives why any of it must not be traded on."""
        doubts: list[Reason] = []
        reason = answer.reason
        prediction = answer.prediction
        if reason is Reason.VERSION_CHANGED and prediction is not None:
            served = (prediction.policy, prediction.version, prediction.bundle_sha256)
            decision.unknown_versions.append(served)
        terms = self._contracts[answer.question.policy].terms
        for row, symbols in enumerate(answer.question.symbols):
            held = [positions[symbol] for symbol in symbols]
            record, targets, doubt = policy_decision(answer, row, held, terms)
            decision.decisions.append(record)
            if doubt is not None:
                doubts.append(doubt)
            elif targets is not None:
                decision.intents += [
                    Intent(trade.symbol, trade.quantity, trade.price, Reason.POLICY)
                    for trade in self._portfolio.wanted_trades(symbols, targets, terms)
                ]
        return doubts

    def _conclude(
        self,
        reply: RiskReply | None,
        inputs: RiskInputs | None,
        asked: bool,
        decision: TickDecision,
    ) -> None:
        """Lets the intents stand, or does the safe thing instead."""
        if reply is None or inputs is None:
            decision.outcome = (
                Outcome.WARM_UP if Reason.WARM_UP in decision.reasons else (Outcome.HELD)
            )
            return
        policy_trouble = [item for item in decision.decisions if item.reason]
        action = Action.BLOCK if reply.evaluation is None else reply.evaluation.action
        safe_things = self._safe_things(action, reply, decision)
        if safe_things:
            safe_thing = "flatten" if "flatten" in safe_things else "hold"
            self._do_safe_thing(safe_thing, self._portfolio.symbols, decision)
        else:
            self._enforce(action, reply, inputs, decision)
            if policy_trouble:
                troubled = [symbol for item in policy_trouble for symbol in item.symbols]
                untouched = decision.intents
                self._do_safe_thing(self._safety.on_trouble, troubled, decision)
                decision.intents = [*untouched, *decision.intents]
                if len(policy_trouble) < len(decision.decisions):
                    decision.outcome = Outcome.DECIDED
            elif not asked:
                decision.outcome = Outcome.HELD

    def _safe_things(self, action: Action, reply: RiskReply, decision: TickDecision) -> list[str]:
        """What trouble and the risk service each ask for in place of every order."""
        late = Reason.DEADLINE in decision.reasons
        safe_things: list[str] = []
        if late or reply.reason is not None or Reason.BROKER_TERMS in decision.reasons:
            safe_things.append(self._safety.on_trouble)
        # What an answer lacks, or the policy it goes by, is no reason to stay in the market.
        if action >= Action.HALT and not late and reply.reason is not Reason.ANSWER_UNVERIFIED:
            decision.add(Reason(f"RISK_{action.name}"))
            on_halt = self._safety.on_halt
            safe_things.append("flatten" if action is Action.LIQUIDATE else on_halt)
            decision.withdrawn.update(self._portfolio.symbols)
        return safe_things

    def _do_safe_thing(
        self, safe_thing: str, symbols: Sequence[str], decision: TickDecision
    ) -> None:
        """Holds, or closes the positions in some symbols."""
        decision.intents = []
        decision.outcome = Outcome.HELD
        if safe_thing == "flatten":
            decision.withdrawn.update(symbols)
            for symbol in symbols:
                account = self._portfolio.account(symbol)
                if account is not None and account.quantity:
                    decision.outcome = Outcome.FLATTENED
                    decision.intents.append(
                        Intent(symbol, -account.quantity, account.mark_price, Reason.FLATTEN)
                    )

    def _enforce(
        self, action: Action, reply: RiskReply, inputs: RiskInputs, decision: TickDecision
    ) -> None:
        held = {symbol: self._portfolio.quantity(symbol) for symbol in self._portfolio.symbols}
        wanted = round_intents(decision.intents, self._instruments, held)
        intents, reason = apply_demand(action, wanted, held, self._safety.throttle_fraction)
        if reason is not None:
            decision.add(reason)
            if action is Action.BLOCK:
                decision.outcome = Outcome.HELD
        if intents:
            assert reply.evaluation is not None
            enforced, pre_trade = self._pre_trade
            if enforced is not self._guard.enforced:
                enforced = self._guard.enforced
                pre_trade = PreTrade(enforced, self._safety.throttle_fraction)
                self._pre_trade = (enforced, pre_trade)
            metrics = reply.evaluation.report.metric_values
            checked = pre_trade.check(intents, inputs, metrics)
            if checked != intents:
                decision.add(Reason.PRE_TRADE_LIMIT)
            intents = checked
            if self._instruments:
                rounded = round_intents(intents, self._instruments, held)
                intents = whole_reductions(wanted, rounded, held)
                self._tell_small(intents, decision)
        decision.intents = intents

    def _tell_small(self, intents: Sequence[Intent], decision: TickDecision) -> None:
        """Counts orders that are too small, and says the first one of each symbol."""
        for intent in intents:
            if intent.refusal == Reason.BELOW_MINIMUM:
                decision.add(Reason.BELOW_MINIMUM)
                if intent.symbol not in self._told_small:
                    self._told_small.add(intent.symbol)
                    why = self._instruments[intent.symbol].why_refused(
                        intent.quantity, intent.price
                    )
                    _logger.warning(
                        "%s: an order of %s is not sent: %s; later ones are counted only",
                        Reason.BELOW_MINIMUM,
                        intent.symbol,
                        why,
                    )


def _digest(bars: Sequence[BarRecord], questions: Sequence[PolicyQuestion]) -> str:
    return inputs_digest(
        bars,
        (question.observations.astype("<f4", copy=False).tobytes() for question in questions),
    )
