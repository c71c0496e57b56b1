"""Finds the right answers: a policy trades real bars here, and its account is judged here."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from orchestrator.agents.contract import read_contract
from orchestrator.ledger import Ledger
from orchestrator.replay import replay
from tests.load.questions import AccountQuestion, Questions
from tradewind.market import Account, Bar, Bars, FeaturePipeline, FeatureSpec, TradingTerms
from tradewind.policy import BundlePolicy, TorchScriptPolicy
from tradewind.risk import RiskAgentV2, RiskInputs, RiskPolicy
from tradewind.risk.pretrade import PRE_TRADE_METRICS
from tradewind.risk.rules import LATCHING_ACTIONS, Readings, RuleEngine, WindowState

__all__ = ["find_answers"]

T = TypeVar("T")

# Stretches of the bars, each traded by an account of its own: later ones see other markets, and an
# account that has not been open for long has lost too little to be halted.
_STRETCHES = 8
_STRETCH_BARS = 320
_OBSERVATIONS = 256
_ACCOUNTS = 32
# An account is asked about again and again, and rules with a window look at all of these.
_REPEATS = 4


def find_answers(
    bundle: Path, risk_policy: Path, bars: Bars, *, halted_account: str, job_id: str
) -> Questions:
    """Trades bars with a bundle's policy and notes what the services must answer on the way.

    Args:
        bundle: Folder of the bundle; its actions are discrete.
        risk_policy: The risk policy in force.
        bars: Bars to trade.
        halted_account: An account that was told to HALT.
        job_id: A job of the trainer.

    Raises:
        BundleError: The bundle cannot be read, or does not say how to trade its policy.
        MarketDataError: There are too few bars.
    """
    policy = TorchScriptPolicy.load_bundle(bundle)
    contract = read_contract(policy.metadata_json.decode())
    trader = _Trader(policy, contract.features, contract.terms)
    lookback = contract.features.lookback
    for stretch in _stretches(bars, lookback):
        trader.start_over()
        replay(stretch, contract.terms, trader, warm_up_bars=lookback)
    judge = _Judge(RiskPolicy.from_yaml(risk_policy))
    accounts = [
        judged
        for inputs in _spread(trader.inputs, 4 * _ACCOUNTS)
        if (judged := judge.judge(inputs))
    ]
    metadata = policy.metadata
    return Questions(
        policy=metadata.name,
        version=metadata.version,
        bundle_sha256=metadata.sha256,
        observations=np.array(_spread(trader.observations, _OBSERVATIONS), dtype=np.float32),
        actions=np.array(_spread(trader.actions, _OBSERVATIONS), dtype=np.int64),
        accounts=tuple(_spread(accounts, _ACCOUNTS)),
        halted_account=halted_account,
        risk_policy_digest=judge.digest,
        job_id=job_id,
    )


class _Trader:
    """Trades by a policy in this process, and remembers what it saw, did and was worth."""

    def __init__(self, policy: BundlePolicy, features: FeatureSpec, terms: TradingTerms) -> None:
        self._policy = policy
        self._features = features
        self._terms = terms
        self._pipeline = FeaturePipeline(features)
        self.observations: list[NDArray[np.float32]] = []
        self.actions: list[int] = []
        self.inputs: list[RiskInputs] = []

    def start_over(self) -> None:
        """Other bars follow, which do not go on from the last one."""
        self._pipeline = FeaturePipeline(self._features)

    def update(self, bar: Bar) -> None:
        """Takes in the next closed bar."""
        self._pipeline.update(bar)

    def decide(self, account: Account, ledger: Ledger) -> float | None:
        """The position that the policy wants."""
        observation = np.array(self._pipeline.observation(account.position), dtype=np.float32)
        action, _ = self._policy.predict(observation)
        assert isinstance(action, int), "the load asks for discrete actions"
        self.observations.append(observation)
        self.actions.append(action)
        self.inputs.append(ledger.risk_inputs(account))
        return self._terms.target(action)


class _Judge:
    """What the risk service must say of an account."""

    def __init__(self, policy: RiskPolicy) -> None:
        self._agent = RiskAgentV2(policy)
        self._rules = RuleEngine(policy.rules, policy.rule_limits())
        self.digest = self._agent.policy_digest

    def judge(self, inputs: RiskInputs) -> AccountQuestion | None:
        """The metrics and the action; None where the action depends on what was asked before."""
        report = self._agent.calculate_only(inputs)
        readings = Readings(report.metric_values, report.unavailable, PRE_TRADE_METRICS)
        windows: Mapping[str, WindowState] = {}
        actions = set()
        for _ in range(_REPEATS):
            outcome = self._rules.evaluate(readings, inputs.now, windows)
            actions.add(outcome.action)
            windows = outcome.windows
        if len(actions) > 1 or actions & LATCHING_ACTIONS:
            return None
        return AccountQuestion(inputs, report.metric_values, report.unavailable, actions.pop().name)


def _stretches(bars: Bars, lookback: int) -> list[Bars]:
    length = lookback + _STRETCH_BARS
    starts = np.linspace(0, len(bars) - length, _STRETCHES).astype(int)
    return [bars.slice(int(start), int(start) + length) for start in starts]


def _spread(items: Sequence[T], count: int) -> list[T]:
    """As many of the items, at equal distances; all of them when there are no more."""
    indices = np.linspace(0, len(items) - 1, min(count, len(items))).astype(int)
    return [items[index] for index in indices]
