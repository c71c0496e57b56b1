"""An episode that loses more than everything: its risk is known in the reward and in the stop."""

from dataclasses import replace

import numpy as np
import pytest

from tradewind.constants import ACTION_HOLD, ACTION_SELL
from tradewind.market import Bars, FeatureSpec
from tradewind.risk import RiskAgentV2, RiskInputs, RiskPolicy
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv, VectorizedTradingEnv

LIMITS = {"max_drawdown": {"limit": 0.25}, "daily_drawdown": {"limit": 0.08}}
AGENT = RiskAgentV2(RiskPolicy.parse({"limits": LIMITS}))
CONFIG = EnvironmentConfig(
    allow_short=True, min_equity_fraction=0.0, random_start=False, max_jump=2.0
)


def risen(bars: Bars, at: int) -> Bars:
    """The bars, of which the prices are four times as high from one on."""
    factor = np.where(np.arange(len(bars)) < at, 1.0, 4.0)
    prices = {name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")}
    return replace(bars, **prices)


def test_episode_that_loses_more_than_everything_has_its_drawdown_and_is_judged(btc: Bars) -> None:
    spec = FeatureSpec()
    bars = risen(btc.slice(0, 900), 210)
    options = {"start": 200}
    single = IntradayTradingEnv(bars, CONFIG, spec)
    single.reset(options=options)
    many = VectorizedTradingEnv(bars, CONFIG, spec, n_envs=2, risk=AGENT)
    many.set_options([options] * 2)
    many.reset()
    for step in range(20):
        action = ACTION_SELL if step == 0 else ACTION_HOLD
        info = single.step(action)[4]
        _, _, dones, infos = many.step(np.array([action] * 2))
        if dones.any():
            break
    assert info["equity"] < 0.0
    inputs: RiskInputs = single.risk_inputs()
    report = AGENT.calculate_only(inputs)
    values = inputs.portfolio_values
    expected = (1.0 - values / np.maximum.accumulate(values)).max()
    assert report.metric_values["max_drawdown"] == expected > 1.0
    risk = many.step_risk
    assert risk is not None
    assert risk.metric("max_drawdown").tolist() == [expected] * 2
    assert risk.judged.all()
    assert risk.risk_score.tolist() == [1.0, 1.0]
    assert risk.penalty.tolist() == [report.penalty] * 2
    assert report.penalty == pytest.approx(
        np.mean([expected / 0.25, report.metric_values["daily_drawdown"] / 0.08])
    )
    assert infos[0]["terminal_observation"].shape == many.observation_space.shape
