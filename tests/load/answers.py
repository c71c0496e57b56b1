"""Finds the right answers: a policy trades real bars here, and its account is judged here."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from orchestrator.agents.contract import TradingContract, read_contract
from tests.load.questions import AccountQuestion, Questions
from tradewind.market import Bars
from tradewind.policy import BundlePolicy, TorchScriptPolicy
from tradewind.risk import RiskAgentV2, RiskInputs, RiskPolicy
from tradewind.risk.pretrade import PRE_TRADE_METRICS
from tradewind.risk.rules import LATCHING_ACTIONS, Readings, RuleEngine, WindowState
from trainer_service import EnvironmentConfig, IntradayTradingEnv

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
    trades = _Trades()
    for stretch in _stretches(bars, contract.features.lookback):
        trades.trade(policy, contract, stretch)
    judge = _Judge(RiskPolicy.from_yaml(risk_policy))
    accounts = [
        judged
        for inputs in _spread(trades.inputs, 4 * _ACCOUNTS)
        if (judged := judge.judge(inputs))
    ]
    metadata = policy.metadata
    return Questions(
        policy=metadata.name,
        version=metadata.version,
        bundle_sha256=metadata.sha256,
        observations=np.array(_spread(trades.observations, _OBSERVATIONS), dtype=np.float32),
        actions=np.array(_spread(trades.actions, _OBSERVATIONS), dtype=np.int64),
        accounts=tuple(_spread(accounts, _ACCOUNTS)),
        halted_account=halted_account,
        risk_policy_digest=judge.digest,
        job_id=job_id,
    )


class _Trades:
    """What a policy saw and did, and what its account was worth."""

    def __init__(self) -> None:
        self.observations: list[NDArray[np.float32]] = []
        self.actions: list[int] = []
        self.inputs: list[RiskInputs] = []

    def trade(self, policy: BundlePolicy, contract: TradingContract, bars: Bars) -> None:
        """Trades bars from a new account."""
        config = EnvironmentConfig(
            **dict(contract.terms), episode_bars=None, random_start=False, min_equity_fraction=0.0
        )
        env = IntradayTradingEnv(bars, config, contract.features)
        observation, _ = env.reset()
        ended = False
        while not ended:
            action, _ = policy.predict(observation)
            assert isinstance(action, int), "the load asks for discrete actions"
            self.observations.append(observation.copy())
            self.actions.append(action)
            self.inputs.append(env.risk_inputs())
            observation, _, _, ended, _ = env.step(np.int64(action))


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
