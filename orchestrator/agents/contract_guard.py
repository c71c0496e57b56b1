"""Compares what is served with what is run, before trading and whenever it changes."""

import json
import logging
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter, ValidationError

from orchestrator.account.portfolio import Allocation
from orchestrator.agents.contract import TradingContract, read_contract
from tradewind.bundle import BoxSpace, BundleMetadata, DiscreteSpace
from tradewind.errors import BundleFormatError, ConflictError, RiskPolicyError
from tradewind.identity import Identity, RecordedParts
from tradewind.market.feature_group import KnownGroups
from tradewind.market.group_runner import check_groups
from tradewind.risk import EnforcedPolicy, RiskOverlay, RiskPolicy
from tradewind.rpc.clients import (
    AsyncInferenceClient,
    AsyncRiskClient,
    PolicyDescription,
    RiskPolicyStatus,
)

__all__ = ["ContractGuard", "VerifiedPolicy"]

_logger = logging.getLogger(__name__)
_PARTS: Final = TypeAdapter(RecordedParts)


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
        accepted_risk_digests: Risk policies that a policy may have been trained under although
            another one is in force.
    """

    def __init__(
        self,
        inference: AsyncInferenceClient,
        risk: AsyncRiskClient,
        allocations: Iterable[Allocation],
        interval_ns: int,
        known: KnownGroups | None = None,
        accepted_risk_digests: Collection[str] = (),
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
        self._accepted_risk_digests = frozenset(accepted_risk_digests)
        self._said: set[str] = set()
        self._enforced: EnforcedPolicy | None = None
        self._risk_identity: Identity | None = None
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
    def enforced(self) -> EnforcedPolicy:
        """The risk policy that was compared last, and its overlay."""
        assert self._enforced is not None, "verify comes first"
        return self._enforced

    @property
    def risk_policy(self) -> RiskPolicy:
        """The risk policy that was compared last."""
        return self.enforced.policy

    @property
    def risk_digest(self) -> str:
        """Its digest, as the risk service says it."""
        return self._risk_digest

    @property
    def overlay_digest(self) -> str:
        """Digest of its overlay; empty for none."""
        return self.enforced.overlay_digest

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
        enforced = _read_enforced(status)
        identity = enforced.policy.identity
        for verified in self._verified.values():
            self._check_risk_policy(verified.policy, verified.contract, identity)
        self._enforced, self._risk_identity = enforced, identity
        self._risk_digest = status.policy_digest

    def facts(self) -> dict[str, object]:
        """What a decision log says of the contracts: what is traded, and by which formulas."""
        policy = self.risk_policy
        contracts = {name: verified.contract for name, verified in self._verified.items()}
        return {
            "risk_policy": policy.canonical_json(),
            "risk_policy_digest": self._risk_digest,
            "risk_parts": policy.parts,
            "risk_versions": policy.versions,
            "risk_overlay": json.loads(self.enforced.overlay.model_dump_json(by_alias=True))
            if self.overlay_digest
            else None,
            "accept_risk_digests": sorted(self._accepted_risk_digests),
            "features": {
                name: contract.features.model_dump(mode="json")
                for name, contract in contracts.items()
            },
            "feature_parts": {name: item.features.parts for name, item in contracts.items()},
            "trading_parts": {name: item.terms.identity.parts for name, item in contracts.items()},
        }

    async def _verify_policy(self, policy: str, version: str) -> None:
        description = await self._inference.get_policy(policy, version)
        verified = _verify(policy, description, self._known)
        assert self._risk_identity is not None, "the risk policy comes first"
        self._check_risk_policy(policy, verified.contract, self._risk_identity)
        if verified.contract.former:
            self._say_once(
                logging.INFO,
                f"{policy} {verified.version} says its features in the form of release 0.1: they "
                "are those of this release",
            )
        if verified.contract.features.interval_ns != self._interval_ns:
            raise ConflictError(
                f"{policy} {verified.version} was trained on bars of "
                f"{verified.contract.features.bar_seconds:g} s, here they take "
                f"{self._interval_ns / 1e9:g} s"
            )
        for symbols in self._traded[policy]:
            _check_symbols(f"{policy} {verified.version}", verified.contract, symbols)
        running = self._verified.get(policy)
        differences = [] if running is None else [*_differences(verified, running)]
        if running is not None and differences:
            raise ConflictError(
                f"{policy} {verified.version} has another contract than {running.version}, which "
                f"is being traded here: {'; '.join(differences)}"
            )
        if running is None:
            check_groups(verified.contract.features.groups)
        self._verified[policy] = verified
        self._accepted.add((policy, verified.version, verified.bundle_sha256))

    def _check_risk_policy(
        self, policy: str, contract: TradingContract, in_force: Identity
    ) -> None:
        trained_under = contract.risk_policy_digest
        if trained_under is None:
            return
        match = in_force.match(trained_under, contract.risk_parts)
        if match.same:
            if match.former:
                self._say_once(
                    logging.INFO,
                    f"{policy} was trained under {trained_under}: that is the risk policy in "
                    f"force, {in_force.digest}, in the form of release 0.1",
                )
        elif trained_under in self._accepted_risk_digests:
            self._say_once(
                logging.WARNING,
                f"{policy} was trained under risk policy {trained_under}, in force is "
                f"{in_force.digest}: accept_risk_digests lets it trade ({match.reason})",
            )
        else:
            raise ConflictError(
                f"{policy} was trained under risk policy {trained_under}, the risk service runs "
                f"{in_force.digest}: {match.reason}. Train it again under that one, or name the "
                "digest that it was trained under in accept_risk_digests",
                metadata={"trained_under": trained_under, "in_force": in_force.digest},
            )

    def _say_once(self, level: int, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            _logger.log(level, text)


def _read_enforced(status: RiskPolicyStatus) -> EnforcedPolicy:
    """The policy that the risk service describes, if it has the digests that it says.

    Raises:
        ConflictError: It has not, or is none.
    """
    try:
        policy = RiskPolicy.parse(json.loads(status.canonical_json))
        parts = _PARTS.validate_json(status.parts_json) if status.parts_json else None
        overlay = RiskOverlay.model_validate_json(status.overlay_json or "{}")
        match = policy.identity.match(status.policy_digest, parts)
        if not match.same:
            raise ConflictError(
                f"the risk service runs {status.policy_digest}, which is not the digest of the "
                f"policy that it describes: {match.reason}"
            )
        if overlay.digest() != status.overlay_digest:
            raise ConflictError(
                f"the risk service has the overlay {status.overlay_digest or '(none)'} on, which "
                f"is not the digest of the one that it describes ({overlay.digest() or 'none'})"
            )
        return EnforcedPolicy(policy, overlay)
    except (RiskPolicyError, ValidationError) as problem:
        raise ConflictError(f"the risk service describes no risk policy: {problem}") from None


def _verify(
    policy: str, description: PolicyDescription, known: KnownGroups | None
) -> VerifiedPolicy:
    served = description.policy_version
    contract = read_contract(description.metadata_json, known)
    metadata = BundleMetadata.from_json(description.metadata_json.encode())
    features = metadata.features.digest if metadata.features else ""
    name = f"{policy} {served.version}"
    for what, here, there in (
        ("feature specification", features, served.feature_spec_digest),
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


def _differences(there: VerifiedPolicy, here: VerifiedPolicy) -> Iterator[str]:
    """What keeps a version from being traded in the place of another one."""
    one, other = there.contract, here.contract
    for mine, theirs in (
        (other.features.identity, one.features.identity),
        (other.terms.identity, one.terms.identity),
    ):
        if mine.digest != theirs.digest:
            yield f"{mine.kind}: {mine.match(theirs.digest, theirs.parts).reason}"
    for what, found, expected in (
        ("symbols", one.symbols, other.symbols),
        ("action space", there.action_space, here.action_space),
        ("market", one.market or other.market, other.market or one.market),
    ):
        if found != expected:
            yield f"{what}: {found} there and {expected} here"


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
