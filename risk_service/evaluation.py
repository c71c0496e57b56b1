"""From the state of an account to one durable decision."""

import math
import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from risk_service.accounts import Account, Accounts
from risk_service.audit.decision import JournaledDecision
from risk_service.audit.trail import AuditTrail
from risk_service.digest import inputs_digest
from risk_service.policy_source import LoadedPolicy, PolicySource
from risk_service.telemetry import Telemetry
from tradewind.errors import ConflictError, FieldViolation, InvalidInputError, RiskInputError
from tradewind.risk import RiskInputs, RiskReport
from tradewind.risk.decision import DecisionKind, Halt
from tradewind.risk.engine.reporting import Calculation
from tradewind.risk.pretrade import (
    PRE_TRADE_METRICS,
    IntendedOrder,
    PreTradeCheck,
    check_order,
    refuse_order,
)
from tradewind.risk.rules import LATCHING_ACTIONS, Action, Readings, RuleOutcome

__all__ = ["Evaluated", "Evaluator"]

_MAX_TEXT = 1024


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A decision, the calculation it rests on, and how long that took."""

    decision: JournaledDecision
    calculation: Calculation
    compute_ns: int


class Evaluator:
    """Makes decisions; each is durable when it is returned.

    Args:
        policies: The policy in force.
        trail: Where decisions are recorded.
        telemetry: What is counted.
        resume_roles: Roles that may resume an account.
        max_accounts: How many accounts are kept in memory.
        on_halt: Called with an account and its halt, once that is durable; None for nobody.
    """

    def __init__(
        self,
        policies: PolicySource,
        trail: AuditTrail,
        telemetry: Telemetry,
        *,
        resume_roles: Collection[str],
        max_accounts: int,
        on_halt: Callable[[str, Halt], None] | None = None,
    ) -> None:
        self._policies = policies
        self._trail = trail
        self._telemetry = telemetry
        self._resume_roles = frozenset(resume_roles)
        self._on_halt = on_halt
        self._accounts = Accounts(trail.restored, max_accounts, trail.decision_at)
        telemetry.watch(self._accounts.halted_count, trail.is_failing)

    def evaluate(
        self,
        account_name: str,
        inputs: RiskInputs,
        order: IntendedOrder | None = None,
        request_id: str = "",
    ) -> Evaluated:
        """Decides what an account must do.

        Args:
            account_name: The account; empty is the account "default".
            inputs: Its state.
            order: An order it intends to send.
            request_id: The caller's own name for the request.

        Raises:
            InvalidInputError: The account's name or the request's is refused.
            RiskInputError: The inputs contradict themselves. An impossible order is answered with
                BLOCK instead, so that it keeps no halt of the account from following.
            StorageError: The decision cannot be made durable, or the account's state cannot be
                read, so there is none.
        """
        _check_texts(request_id=request_id)
        self._trail.check()
        loaded = self._policies.current
        started = time.perf_counter_ns()
        calculation = loaded.agent.calculate(inputs)
        report = calculation.report()
        compute_ns = time.perf_counter_ns() - started
        self._telemetry.observe_calculation(compute_ns * 1e-9)
        check, least = None, Action.ALLOW
        if order is not None:
            try:
                check = check_order(order, inputs, loaded.enforced.tightened.pre_trade)
            except RiskInputError as problem:
                check, least = refuse_order(order, problem), Action.BLOCK
        digest = inputs_digest(inputs, order)
        with self._accounts.hold(account_name) as account:
            decision = self._decide(
                account, loaded, inputs, report, check, least, request_id=request_id, digest=digest
            )
            latched = decision.halt is not None and decision.halt != account.halt
            entry = self._trail.submit(decision)
            # In force at once, though not yet durable: a decision made meanwhile must see it.
            account.halt, account.windows = decision.halt, decision.windows
            account.entry = entry
        self._trail.wait(entry, in_database=latched)
        self._telemetry.decided(decision)
        if latched and decision.halt is not None and self._on_halt is not None:
            self._on_halt(decision.account, decision.halt)
        return Evaluated(decision, calculation, compute_ns)

    def resume(self, account_name: str, name: str, role: str, reason: str) -> JournaledDecision:
        """Clears the halt of an account, and what its rules with a window remember.

        Args:
            account_name: The account.
            name: Who resumes it.
            role: In which role.
            reason: Why.

        Raises:
            InvalidInputError: Something is missing, or the role may not resume.
            ConflictError: The account is not known or not halted.
            StorageError: It cannot be made durable, so the account stays halted.
        """
        self._check_resume(account_name, name, role, reason)
        self._trail.check()
        if not self._accounts.is_known(account_name):
            raise ConflictError(f"account {account_name} is not halted, or not known")
        with self._accounts.hold(account_name) as account:
            if account.halt is None:
                raise ConflictError(f"account {account_name} is not halted")
            loaded = self._policies.current
            decision = JournaledDecision(
                decision_id=_new_id(),
                decided_at=time.time(),
                account=account.name,
                kind=DecisionKind.RESUME,
                action=Action.ALLOW,
                policy_digest=loaded.digest,
                overlay_digest=loaded.overlay_digest,
                actor_name=name,
                actor_role=role,
                reason=reason,
            )
            # Not in force before it is durable: a crash must not undo what was said to be done.
            entry = self._trail.submit(decision)
            self._trail.wait(entry)
            account.halt, account.windows, account.entry = None, {}, entry
        self._telemetry.decided(decision)
        return decision

    def _decide(
        self,
        account: Account,
        loaded: LoadedPolicy,
        inputs: RiskInputs,
        report: RiskReport,
        check: PreTradeCheck | None,
        least: Action,
        *,
        request_id: str,
        digest: str,
    ) -> JournaledDecision:
        now = inputs.now if inputs.now is not None and math.isfinite(inputs.now) else None
        outcome = loaded.rules.evaluate(_readings(report, check), now, account.windows)
        decision_id, decided_at = _new_id(), time.time()
        halt = _latch(account.halt, outcome, decision_id, decided_at)
        return JournaledDecision(
            decision_id=decision_id,
            decided_at=decided_at,
            account=account.name,
            kind=DecisionKind.EVALUATE,
            action=max(outcome.action, least) if halt is None else halt.action,
            request_id=request_id,
            now=now,
            inputs_digest=digest,
            policy_digest=loaded.digest,
            overlay_digest=loaded.overlay_digest,
            metric_values=report.metric_values,
            unavailable=report.unavailable,
            breaches=outcome.breaches,
            pre_trade=check,
            halt=halt,
            windows=outcome.windows,
        )

    def _check_resume(self, account: str, name: str, role: str, reason: str) -> None:
        given = {"account": account, "name": name, "role": role, "reason": reason}
        violations = [
            FieldViolation(field, "required") for field, text in given.items() if not text.strip()
        ]
        if role.strip() and role not in self._resume_roles:
            allowed = ", ".join(sorted(self._resume_roles)) or "none is configured"
            violations.append(FieldViolation("role", f"may not resume; allowed: {allowed}"))
        if violations:
            raise InvalidInputError("the resume is refused", violations)
        _check_texts(name=name, reason=reason)


def _new_id() -> str:
    return os.urandom(16).hex()


def _readings(report: RiskReport, check: PreTradeCheck | None) -> Readings:
    if check is None:
        return Readings(report.metric_values, report.unavailable, PRE_TRADE_METRICS)
    return Readings(
        {**report.metric_values, **check.values},
        {**report.unavailable, **check.unavailable},
        check.not_applicable,
    )


def _latch(
    halt: Halt | None, outcome: RuleOutcome, decision_id: str, decided_at: float
) -> Halt | None:
    """The account's halt after an outcome: a halt gives way to a more severe one only."""
    if outcome.action not in LATCHING_ACTIONS:
        return halt
    if halt is not None and halt.action >= outcome.action:
        return halt
    cause = outcome.decisive[0]
    return Halt(outcome.action, decided_at, cause.rule, cause.reason, decision_id)


def _check_texts(**texts: str) -> None:
    violations = [
        FieldViolation(field, f"{len(text)} characters given, at most {_MAX_TEXT} allowed")
        for field, text in texts.items()
        if len(text) > _MAX_TEXT
    ]
    if violations:
        raise InvalidInputError("the request is refused", violations)
