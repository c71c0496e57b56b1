"""Compares what is served with what is run, before trading and whenever it changes."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.account.portfolio import Allocation
from orchestrator.agents.contract import TradingContract, read_contract
from tradewind.bundle import BoxSpace, BundleMetadata, DiscreteSpace
from tradewind.errors import BundleFormatError, ConflictError
from tradewind.market.feature_group import KnownGroups
from tradewind.market.group_runner import check_groups
from tradewind.risk.policy import RiskPolicy
from tradewind.rpc.clients import AsyncInferenceClient, AsyncRiskClient, PolicyDescription

__all__ = ["ContractGuard", "VerifiedPolicy"]


@dataclass(frozen=True, slots=True)
class VerifiedPolicy:
    """A version whose contract is the one that is run.

    Attributes:
        policy: Its policy.
        version: Its version.
        bundle_sha256: Digest of its network.
        contract: How it is traded.
        action_space: What it answers.
    """

    policy: str
    version: str
    bundle_sha256: str
    contract: TradingContract
    action_space: BoxSpace | DiscreteSpace


class ContractGuard:
    """Lets only such versions and risk policies be traded on as were compared.

    The first version of a policy decides how it is traded; a later one must have the same feature
    specification, symbols, trading terms, action space and market, as far as both name one, or it
    is refused until the next start.

    Args:
        inference: Serves the policies.
        risk: Enforces the risk policy.
        allocations: Which policies are traded, and in what.
        interval_ns: Length of a bar here.
        known: The feature groups that may be built here; by default Tradewind's own.
    """

    def __init__(
        self,
        inference: AsyncInferenceClient,
        risk: AsyncRiskClient,
        allocations: Iterable[Allocation],
        interval_ns: int,
        known: KnownGroups | None = None,
    ) -> None:
        self._inference = inference
        self._risk = risk
        self._traded: dict[str, list[tuple[str, ...]]] = {}
        for allocation in allocations:
            self._traded.setdefault(allocation.policy, []).append(allocation.symbols)
        self._interval_ns = interval_ns
        self._known = known
        self._verified: dict[str, VerifiedPolicy] = {}
        self._accepted: set[tuple[str, str, str]] = set()
        self._refused: dict[tuple[str, str, str], str] = {}
        self._risk_policy: RiskPolicy | None = None
        self._risk_digest = ""

    async def verify(self) -> None:
        """Compares every policy and the risk policy.

        Raises:
            ConflictError: Something is not what is run here; the message says what.
            BundleFormatError: A bundle does not say how to trade its policy.
            ComponentError: A feature group that a policy needs fails, or is too slow.
            NotFoundError: A policy is not served.
            UnavailableError: A service cannot be reached.
        """
        await self.verify_risk_policy()
        for policy in self._traded:
            await self._verify_policy(policy, "")

    def policy(self, name: str) -> VerifiedPolicy:
        """The version of a policy that was compared last."""
        return self._verified[name]

    @property
    def risk_policy(self) -> RiskPolicy:
        """The risk policy that was compared last."""
        assert self._risk_policy is not None, "verify comes first"
        return self._risk_policy

    @property
    def risk_digest(self) -> str:
        """Its digest."""
        return self._risk_digest

    def is_accepted(self, policy: str, version: str, bundle_sha256: str) -> bool:
        """Whether an answer of this version may be traded on."""
        return (policy, version, bundle_sha256) in self._accepted

    def refusal(self, policy: str, version: str, bundle_sha256: str) -> str:
        """Why this version was compared and refused; empty when it was not."""
        return self._refused.get((policy, version, bundle_sha256), "")

    async def verify_version(self, policy: str, version: str, bundle_sha256: str) -> str:
        """Compares a version that answered for the first time.

        Returns:
            Why it is refused; empty when it may be traded from now on.

        Raises:
            TradewindError: The inference service cannot say; ask again later.
        """
        known = self.refusal(policy, version, bundle_sha256)
        if known:
            return known
        try:
            await self._verify_policy(policy, version)
        except (ConflictError, BundleFormatError) as problem:
            self._refused[policy, version, bundle_sha256] = str(problem)
            return str(problem)
        return ""

    async def verify_risk_policy(self) -> None:
        """Takes over the risk policy in force, if every policy was trained under it.

        Raises:
            ConflictError: A policy was trained under another one.
            UnavailableError: The risk service cannot be reached.
        """
        status = await self._risk.get_policy()
        risk_policy = RiskPolicy.parse(json.loads(status.canonical_json))
        if risk_policy.digest() != status.policy_digest:
            raise ConflictError(
                f"the risk service runs {status.policy_digest[:12]}…, which is not the digest of "
                f"the policy that it describes ({risk_policy.digest()[:12]}…)"
            )
        for verified in self._verified.values():
            _check_risk_policy(verified.policy, verified.contract, status.policy_digest)
        self._risk_policy, self._risk_digest = risk_policy, status.policy_digest

    async def _verify_policy(self, policy: str, version: str) -> None:
        description = await self._inference.get_policy(policy, version)
        verified = _verify(policy, description, self._known)
        _check_risk_policy(policy, verified.contract, self._risk_digest)
        if verified.contract.features.interval_ns != self._interval_ns:
            raise ConflictError(
                f"{policy} {verified.version} was trained on bars of "
                f"{verified.contract.features.bar_seconds:g} s, here they take "
                f"{self._interval_ns / 1e9:g} s"
            )
        for symbols in self._traded[policy]:
            _check_symbols(f"{policy} {verified.version}", verified.contract, symbols)
        running = self._verified.get(policy)
        if running is not None and (
            running.contract.features != verified.contract.features
            or running.contract.symbols != verified.contract.symbols
            or running.contract.terms != verified.contract.terms
            or running.action_space != verified.action_space
            or _are_other_markets(running.contract.market, verified.contract.market)
        ):
            raise ConflictError(
                f"{policy} {verified.version} has another contract than {running.version}, which "
                "is being traded: features, symbols, trading terms, action space or market differ"
            )
        if running is None:
            check_groups(verified.contract.features.groups)
        self._verified[policy] = verified
        self._accepted.add((policy, verified.version, verified.bundle_sha256))


def _verify(
    policy: str, description: PolicyDescription, known: KnownGroups | None
) -> VerifiedPolicy:
    served = description.policy_version
    contract = read_contract(description.metadata_json, known)
    metadata = BundleMetadata.from_json(description.metadata_json.encode())
    name = f"{policy} {served.version}"
    for what, here, there in (
        ("feature specification", contract.features.digest, served.feature_spec_digest),
        ("risk policy", contract.risk_policy_digest or "", served.risk_policy_digest),
        ("action space", _bounds(metadata.action_space), _bounds(served.action_space)),
        ("observation space", _bounds(metadata.obs_space), _bounds(served.observation_space)),
        ("network", metadata.sha256, served.bundle_sha256),
    ):
        if here != there:
            raise ConflictError(f"{name}: its {what} is {here} in the bundle, served is {there}")
    return VerifiedPolicy(
        policy, served.version, served.bundle_sha256, contract, served.action_space
    )


def _are_other_markets(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other


def _check_symbols(name: str, contract: TradingContract, symbols: tuple[str, ...]) -> None:
    if contract.symbols and contract.symbols != symbols:
        raise ConflictError(
            f"{name} was trained on {', '.join(contract.symbols)}, in this order; "
            f"here it is to trade {', '.join(symbols)}"
        )
    if not contract.symbols and len(symbols) > 1:
        raise ConflictError(
            f"{name} was trained on one symbol; here it is to trade {', '.join(symbols)} "
            "from one account: give each an allocation of its own"
        )


def _bounds(space: BoxSpace | DiscreteSpace) -> object:
    """A space so that equal ones compare equal, however their bounds are written."""
    if isinstance(space, DiscreteSpace):
        return space.n
    return space.shape, space.low_array().tolist(), space.high_array().tolist()


def _check_risk_policy(policy: str, contract: TradingContract, in_force: str) -> None:
    trained_under = contract.risk_policy_digest
    if trained_under is not None and trained_under != in_force:
        raise ConflictError(
            f"{policy} was trained under risk policy {trained_under[:12]}…, "
            f"the risk service runs {in_force[:12]}…",
            metadata={"trained_under": trained_under, "in_force": in_force},
        )
