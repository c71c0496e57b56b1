"""What is served is compared with what is run: by contracts, not by how a release wrote them."""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.account.portfolio import Allocation
from orchestrator.agents.contract_guard import ContractGuard
from orchestrator.agents.questions import ask_risk
from orchestrator.agents.reasons import Reason
from tradewind.bundle import BundleMetadata, RiskRecord
from tradewind.errors import BundleFormatError, ConflictError, UnavailableError
from tradewind.identity import Identity
from tradewind.market import features as features_module
from tradewind.risk import RiskInputs, RiskOverlay, RiskPolicy, RiskReport
from tradewind.risk.rules import Action
from tradewind.rpc.clients import (
    AsyncInferenceClient,
    AsyncRiskClient,
    Evaluation,
    PolicyDescription,
    RiskPolicyStatus,
)

RELEASE = Path("tests/contract/releases/0.1")
(METADATA,) = RELEASE.glob("store/*/*/metadata.json")
FORMER = BundleMetadata.from_json(METADATA.read_bytes())
POLICY = RiskPolicy.from_yaml(RELEASE / "risk_policy.yaml")
OTHER = POLICY.model_copy(
    update={
        "limits": {
            **POLICY.limits,
            "max_drawdown": POLICY.limits["max_drawdown"].model_copy(update={"limit": 0.4}),
        }
    }
)
assert FORMER.risk is not None
TRAINED_UNDER = FORMER.risk.policy_digest
HALF_HOUR_NS = 1_800 * 10**9


def status(policy: RiskPolicy = POLICY, overlay: RiskOverlay | None = None, **changes: Any) -> Any:
    overlay = overlay or RiskOverlay()
    values: dict[str, Any] = {
        "policy_digest": policy.digest(),
        "limits": {},
        "calculators": (),
        "rules": (),
        "canonical_json": policy.canonical_json(),
        "refusal": "",
        "parts_json": json.dumps(policy.parts),
        "overlay_digest": overlay.digest(),
        "overlay_json": overlay.model_dump_json(by_alias=True) if overlay.digest() else "",
    }
    return RiskPolicyStatus(**{**values, **changes})


class Inference(AsyncInferenceClient):
    """Serves one bundle."""

    def __init__(self, bundle: BundleMetadata) -> None:
        self._bundle = bundle

    async def get_policy(self, *_: Any, **__: Any) -> PolicyDescription:
        said = self._bundle
        served: Any = SimpleNamespace(
            version=said.version,
            bundle_sha256=said.sha256,
            feature_spec_digest=said.features.digest if said.features else "",
            risk_policy_digest=said.risk.policy_digest if said.risk else "",
            action_space=said.action_space,
            observation_space=said.obs_space,
        )
        return PolicyDescription(served, said.to_json().decode())


class Risk(AsyncRiskClient):
    """Runs what `status` says."""

    def __init__(self, status: RiskPolicyStatus) -> None:
        self.status: RiskPolicyStatus | None = status
        self.answered: Any = {}

    async def get_policy(self, *_: Any, **__: Any) -> RiskPolicyStatus:
        if self.status is None:
            raise UnavailableError("gone")
        return self.status

    async def evaluate(self, inputs: RiskInputs, **request: Any) -> Evaluation:
        assert self.status is not None
        report = RiskReport({}, {}, None, None, (), {}, self.status.policy_digest)
        overlay = self.answered.get("overlay", self.status.overlay_digest)
        return Evaluation(Action.ALLOW, (), None, report, None, "d", request["request_id"], overlay)


def guard_of(risk: Risk, metadata: BundleMetadata = FORMER, **options: Any) -> ContractGuard:
    allocations = [Allocation(("BTC",), "tiny-ppo", 1.0)]
    return ContractGuard(Inference(metadata), risk, allocations, HALF_HOUR_NS, **options)


def verify(risk: Risk, metadata: BundleMetadata = FORMER, **options: Any) -> ContractGuard:
    guard = guard_of(risk, metadata, **options)
    asyncio.run(guard.verify())
    return guard


def present() -> BundleMetadata:
    """The bundle as this release would have published it."""
    assert FORMER.features is not None
    spec = features_module.FeatureSpec(**FORMER.features.spec)
    features = FORMER.features.model_copy(update={"digest": spec.digest, "parts": spec.parts})
    risk = RiskRecord(
        policy_digest=POLICY.digest(), parts=dict(POLICY.parts), limits={}, penalty_weight=0.1
    )
    return FORMER.model_copy(update={"features": features, "risk": risk})


def test_bundle_of_release_0_1_under_the_same_policy_trades_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    guard = guard_of(Risk(status()))
    for _ in range(3):
        asyncio.run(guard.verify())
    assert guard.risk_digest == POLICY.digest() != TRAINED_UNDER
    said = [record.getMessage() for record in caplog.records]
    assert sum("in the form of release 0.1" in text and TRAINED_UNDER in text for text in said) == 1
    assert sum("says its features in the form of release 0.1" in text for text in said) == 1


def test_bundle_of_this_release_trades_and_nothing_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    verify(Risk(status()), present())
    assert caplog.records == []


def test_risk_service_of_release_0_1_is_understood() -> None:
    former = status(policy_digest=POLICY.identity.former, parts_json="")
    for metadata in (FORMER, present()):
        assert verify(Risk(former), metadata).risk_digest == TRAINED_UNDER


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        (FORMER, f"its digest is {TRAINED_UNDER}, here it is"),
        (present(), "limits.max_drawdown.limit is 0.5 there and 0.4 here"),
    ],
    ids=["of release 0.1", "of this one"],
)
def test_bundle_that_was_trained_under_another_policy_is_refused_unless_it_is_accepted(
    metadata: BundleMetadata, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert metadata.risk is not None
    digest = metadata.risk.policy_digest
    with pytest.raises(ConflictError, match=f"{digest}.*{why}.*accept_risk_digests"):
        verify(Risk(status(OTHER)), metadata)
    verify(Risk(status(OTHER)), metadata, accepted_risk_digests=[digest])
    assert "accept_risk_digests lets it trade" in caplog.text


def raised(parts: Any, name: str) -> dict[str, Any]:
    """Parts as a release has them whose formula of one of them is another."""
    return {
        key.replace("@1", "@2") if key == f"{name}@1" else key: value
        for key, value in parts.items()
    }


def test_bundle_and_service_of_another_formula_are_refused_with_that_reason() -> None:
    parts = raised(POLICY.parts, "var")
    digest = Identity("risk policy", parts).digest
    record = RiskRecord(policy_digest=digest, parts=parts, limits={}, penalty_weight=0.1)
    said = "var has version 2 there and 1 here: another formula"
    with pytest.raises(ConflictError, match=said):
        verify(Risk(status()), present().model_copy(update={"risk": record}))
    with pytest.raises(ConflictError, match=f"is not the digest of the policy .*{said}"):
        verify(Risk(status(policy_digest=digest, parts_json=json.dumps(parts))))


@pytest.mark.parametrize("make", [lambda: FORMER, present], ids=["of release 0.1", "of this one"])
def test_bundle_of_another_formula_of_features_is_refused_with_that_reason(
    make: Callable[[], BundleMetadata], monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = make()
    groups = tuple(
        group._replace(version=3) if group.name == "ema_ratio" else group
        for group in features_module.BUILT_IN_GROUPS
    )
    monkeypatch.setattr(features_module, "BUILT_IN_GROUPS", groups)
    with pytest.raises(BundleFormatError, match="ema_ratio has version 1 there and 3 here"):
        verify(Risk(status()), metadata)


TIGHT = RiskOverlay(base=POLICY.digest(), limits={"max_drawdown": 0.1})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"overlay_digest": "0" * 64}, "is not the digest of the one that it describes"),
        ({"overlay_json": ""}, "is not the digest of the one that it describes"),
        ({"overlay_json": '{"limitz": {}}'}, "describes no risk policy"),
        ({"parts_json": '{"x": 1}', "policy_digest": "0" * 64}, "describes no risk policy"),
        ({"parts_json": "{}", "policy_digest": "0" * 64}, "is not the digest of the policy"),
        ({"canonical_json": '{"calculators": {"later": {}}}'}, "describes no risk policy"),
    ],
)
def test_risk_service_that_contradicts_itself_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ConflictError, match=why):
        verify(Risk(status(overlay=TIGHT, **changes)))


def test_overlay_that_is_looser_than_the_policy_is_refused() -> None:
    loose = RiskOverlay(base=POLICY.digest(), limits={"max_drawdown": 0.9})
    with pytest.raises(ConflictError, match="limits.max_drawdown: 0.9 is looser"):
        verify(Risk(status(overlay=loose)))


async def asked(guard: ContractGuard, risk: Risk) -> Reason | None:
    reply = await ask_risk(
        risk, guard, RiskInputs(), account="a", request_id="r", required_metrics=(), timeout_s=5.0
    )
    return reply.reason


def test_answer_under_an_overlay_that_is_new_is_traded_on_once_it_is_known() -> None:
    risk = Risk(status())
    guard = verify(risk)
    risk.status = status(overlay=TIGHT)
    assert asyncio.run(asked(guard, risk)) is None
    assert guard.overlay_digest == TIGHT.digest()
    assert guard.enforced.tightened.limits["max_drawdown"].limit == 0.1
    risk.status = status()
    assert asyncio.run(asked(guard, risk)) is None
    assert guard.overlay_digest == ""


def test_answer_under_an_overlay_that_cannot_be_learnt_is_not_traded_on() -> None:
    risk = Risk(status())
    guard = verify(risk)
    risk.answered = {"overlay": "1" * 64}  # it was on for a moment
    assert asyncio.run(asked(guard, risk)) is Reason.RISK_POLICY_CHANGED
    risk.status, risk.answered = status(overlay=TIGHT, overlay_json='{"later": 1}'), {}
    assert asyncio.run(asked(guard, risk)) is Reason.RISK_POLICY_CHANGED
    assert guard.overlay_digest == ""


def test_answer_under_another_policy_is_compared_once_the_tick_is_done() -> None:
    risk = Risk(status())
    guard = verify(risk, accepted_risk_digests=[TRAINED_UNDER])
    risk.status = status(OTHER)
    assert asyncio.run(asked(guard, risk)) is Reason.RISK_POLICY_CHANGED
    assert guard.risk_digest == POLICY.digest()
