"""A served policy as the strategy of a replay: features, Predict and the risk metrics."""

import time
from dataclasses import dataclass
from typing import Self

from orchestrator.agents.contract import read_contract
from orchestrator.ledger import Ledger
from tradewind.errors import BundleFormatError, ConflictError
from tradewind.market import Account, Bar, FeaturePipeline, FeatureSpec, TradingTerms
from tradewind.risk import RiskReport
from tradewind.rpc.clients import InferenceClient, Prediction, RiskClient

__all__ = ["Decision", "ServedPolicy"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided at the close of a bar.

    Attributes:
        target: Position to go to at the next open, as a signed fraction of equity; None keeps it.
        prediction: The policy's answer.
        risk: The risk service's answer for the account as it is.
        predict_ns: Round trip of Predict.
        risk_ns: Round trip of CalculateOnly.
    """

    target: float | None
    prediction: Prediction
    risk: RiskReport
    predict_ns: int
    risk_ns: int


class ServedPolicy:
    """A Strategy that asks both services at the close of every bar.

    The observation is built from the specification that the bundle carries, by the code that built
    it in training.

    Args:
        inference: Client of the inference service.
        risk: Client of the risk service.
        policy: Name of the policy.
        version: Version of the policy.
        features: The bundle's feature specification.
        terms: The terms the policy was trained on.

    Attributes:
        decisions: Every decision so far, oldest first.
    """

    def __init__(
        self,
        inference: InferenceClient,
        risk: RiskClient,
        *,
        policy: str,
        version: str,
        features: FeatureSpec,
        terms: TradingTerms,
    ) -> None:
        self._inference = inference
        self._risk = risk
        self._policy = policy
        self._version = version
        self._pipeline = FeaturePipeline(features)
        self.terms = terms
        self.decisions: list[Decision] = []

    @classmethod
    def for_policy(
        cls, inference: InferenceClient, risk: RiskClient, policy: str, version: str = ""
    ) -> Self:
        """Takes specification and terms from the served bundle.

        Raises:
            NotFoundError: Unknown policy or version.
            BundleFormatError: The bundle does not say how to trade the policy, says it in a way
                that is not understood here, or trades several symbols.
            ConflictError: The policy was trained under another risk policy than the one in force.
        """
        served = inference.get_policy(policy, version)
        contract = read_contract(served.metadata_json)
        if contract.symbols:
            raise BundleFormatError(
                f"{policy} trades {', '.join(contract.symbols)} from one account; "
                "a replay trades one symbol of any name"
            )
        trained_under, in_force = contract.risk_policy_digest, risk.get_policy().policy_digest
        if trained_under is not None and trained_under != in_force:
            raise ConflictError(
                f"{policy} was trained under risk policy {trained_under[:12]}…, "
                f"the risk service runs {in_force[:12]}…",
                metadata={"trained_under": trained_under, "in_force": in_force},
            )
        return cls(
            inference,
            risk,
            policy=policy,
            version=served.policy_version.version,
            features=contract.features,
            terms=contract.terms,
        )

    @property
    def warm_up_bars(self) -> int:
        """Bars to be seen before the first decision."""
        return self._pipeline.spec.lookback

    def update(self, bar: Bar) -> None:
        """Takes in the next closed bar.

        Raises:
            MarketDataError: The bar is impossible or out of order; nothing has changed.
        """
        self._pipeline.update(bar)

    def decide(self, account: Account, ledger: Ledger) -> float | None:
        """Asks for the action after the last bar, and for the risk of the account as it is.

        Returns:
            The position to go to at the next open, as a signed fraction of equity; None keeps it.

        Raises:
            TradewindError: A service refused or could not answer.
        """
        observation = self._pipeline.observation(account.position)
        inputs = ledger.risk_inputs(account)
        started = time.perf_counter_ns()
        prediction = self._inference.predict(
            observation, policy=self._policy, version=self._version
        )
        predicted = time.perf_counter_ns()
        risk = self._risk.calculate_only(inputs)
        assessed = time.perf_counter_ns()
        target = self.terms.target(prediction.action)
        self.decisions.append(
            Decision(target, prediction, risk, predicted - started, assessed - predicted)
        )
        return target
