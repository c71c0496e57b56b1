"""What the live view asks the risk service itself, beside the trading."""

import json
from collections.abc import Mapping
from typing import Any, Final, Self

from orchestrator.agents.services import open_risk
from orchestrator.settings import ServiceAddresses
from tradewind.risk import EnforcedPolicy, RiskOverlay, RiskPolicy
from tradewind.risk.decision import Halt
from tradewind.rpc.clients import RiskPolicyStatus
from tradewind.tracing import Tracer

__all__ = ["RiskDesk", "limits_at_start"]

_TIMEOUT_S: Final = 3.0


class RiskDesk:
    """The halt of an account: why and since when, and its end.

    Args:
        services: Where the risk service listens.
        account: The account.
        tracer: Gives every call a span; none by default.
    """

    def __init__(
        self, services: ServiceAddresses, account: str, tracer: Tracer | None = None
    ) -> None:
        self._services = services
        self._account = account
        self._tracer = tracer

    async def __aenter__(self) -> Self:
        self._risk = open_risk(self._services, timeout_s=_TIMEOUT_S, tracer=self._tracer)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._risk.close()

    async def halt(self) -> Halt | None:
        """The halt in force, by the audit trail; None when the account is not halted.

        Raises:
            TradewindError: The risk service cannot say.
        """
        async for decision in self._risk.list_decisions(account=self._account, page_size=1):
            return decision.halt
        return None

    async def risk_policy(self) -> RiskPolicyStatus:
        """The risk policy in force, and its overlay.

        Raises:
            TradewindError: The risk service cannot say.
        """
        return await self._risk.get_policy()

    async def resume(self, name: str, role: str, reason: str) -> str:
        """Clears the halt; gives the id of that decision in the audit trail.

        Raises:
            InvalidInputError: Something is missing, or the role may not resume.
            ConflictError: The account is not halted.
            TradewindError: It is not known whether it was resumed.
        """
        return await self._risk.resume(self._account, name=name, role=role, reason=reason)


def limits_at_start(facts: Mapping[str, Any]) -> tuple[Mapping[str, float], str, str]:
    """The limits that the facts of a run name, with the digests of the policy and its overlay."""
    policy = RiskPolicy.parse(json.loads(facts["risk_policy"]))
    overlay = RiskOverlay.model_validate(facts["risk_overlay"] or {})
    limits = EnforcedPolicy(policy, overlay).tightened.rule_limits()
    return limits, facts["risk_policy_digest"], overlay.digest()
