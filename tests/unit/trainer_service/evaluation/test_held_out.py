"""HeldOutEvaluation of an exported policy on held-out bars."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tradewind.market import Bars
from tradewind.policy import TorchScriptNetwork
from tradewind.risk import RiskPolicy
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv
from trainer_service.evaluation import BASELINES, EvaluationConfig, HeldOutEvaluation, evaluate
from trainer_service.export import serialize

PERIODS = 17_520.0


class Rule(torch.nn.Module):
    """Buys when the first number of an observation is positive, else sells."""

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return torch.argmax(self.distribution(observations), dim=1)

    @torch.jit.export
    def distribution(self, observations: torch.Tensor) -> torch.Tensor:
        score = observations[:, :1]
        return torch.cat([-score, torch.full_like(score, -9.0), score], dim=1)


class AlwaysSell(torch.nn.Module):
    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return torch.argmax(self.distribution(observations), dim=1)

    @torch.jit.export
    def distribution(self, observations: torch.Tensor) -> torch.Tensor:
        first = torch.zeros_like(observations[:, :1])
        return torch.cat([first + 1.0, first, first], dim=1)


class HalfLong(torch.nn.Module):
    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return torch.full_like(observations[:, :1], 0.5)

    @torch.jit.export
    def distribution(self, observations: torch.Tensor) -> torch.Tensor:
        return torch.zeros(observations.shape[0], 2, 1)


def network_of(module: torch.nn.Module) -> TorchScriptNetwork:
    return TorchScriptNetwork(serialize(torch.jit.script(module.eval())))


def make_env(bars: Bars, **changes: object) -> IntradayTradingEnv:
    settings = {"episode_bars": None, "random_start": False, "min_equity_fraction": 0.0}
    return IntradayTradingEnv(bars, EnvironmentConfig.model_validate({**settings, **changes}))


@pytest.fixture(scope="module")
def policy() -> RiskPolicy:
    return RiskPolicy.from_yaml(Path(__file__).parents[4] / "config" / "risk_limits.yaml")


@pytest.fixture(scope="module")
def evaluation(btc: Bars, policy: RiskPolicy) -> HeldOutEvaluation:
    env = make_env(btc.slice(0, 700))
    return evaluate(env, network_of(Rule()), policy, EvaluationConfig(resamples=200), seed=3)


def test_evaluate_gives_figures_equal_to_plain_numpy_on_the_equity(
    evaluation: HeldOutEvaluation,
) -> None:
    figures, episode = evaluation.figures, evaluation.policy
    equity = episode.equity
    returns = equity[1:] / equity[:-1] - 1.0
    tail = np.sort(-returns)[::-1]
    weight = 0.05 * len(returns)
    whole = int(weight)

    assert figures["return"] == pytest.approx(equity[-1] / equity[0] - 1.0, rel=1e-12)
    sharpe = returns.mean() / returns.std(ddof=1) * np.sqrt(PERIODS)
    assert figures["sharpe"] == pytest.approx(sharpe, rel=1e-9)
    downside = np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2))
    sortino = returns.mean() / downside * np.sqrt(PERIODS)
    assert figures["sortino"] == pytest.approx(sortino, rel=1e-9)
    assert figures["volatility"] == pytest.approx(returns.std(ddof=1) * np.sqrt(PERIODS), rel=1e-9)
    drawdown = (1.0 - equity / np.maximum.accumulate(equity)).max()
    assert figures["max_drawdown"] == pytest.approx(drawdown, rel=1e-9)
    assert figures["var_95"] == pytest.approx(np.quantile(-returns, 0.95), rel=1e-9)
    shortfall = (tail[:whole].sum() + (weight - whole) * tail[whole]) / weight
    assert figures["expected_shortfall_95"] == pytest.approx(shortfall, rel=1e-9)
    assert figures["periods_per_year"] == PERIODS


def test_evaluate_counts_trades_exposure_and_costs(
    evaluation: HeldOutEvaluation, btc: Bars
) -> None:
    env = make_env(btc.slice(0, 700))
    network = network_of(Rule())
    observation, _ = env.reset()
    traded, trades, exposures, ended = 0.0, 0, [0.0], False
    while not ended:
        action = network.act(observation[np.newaxis])[0][0]
        observation, _, terminated, truncated, info = env.step(action)
        if info["quantity_traded"]:
            trades += 1
            traded += abs(info["quantity_traded"] * info["fill_price"])
        exposures.append(info["quantity"] * env.account.mark_price / info["equity"])
        ended = terminated or truncated

    figures, episode = evaluation.figures, evaluation.policy
    assert figures["trades"] == trades > 10
    np.testing.assert_allclose(episode.exposures[:, 0], exposures, rtol=1e-12)
    assert figures["exposure"] == pytest.approx(np.mean(exposures), rel=1e-12)
    days = (len(exposures) - 1) / 48
    assert figures["turnover_per_day"] == pytest.approx(traded / 100_000.0 / days, rel=1e-9)
    paid = env.account.fees_paid + env.account.slippage_paid
    assert figures["costs"] == pytest.approx(paid / 100_000.0, rel=1e-12)


def test_evaluate_stands_beside_its_baselines_with_intervals(evaluation: HeldOutEvaluation) -> None:
    figures = evaluation.figures
    assert set(BASELINES) == {"buy_and_hold", "random", "always_flat"}
    assert figures["always_flat_return"] == figures["always_flat_costs"] == 0.0
    assert "always_flat_sharpe" not in figures
    assert figures["buy_and_hold_trades"] == 1.0
    assert figures["random_costs"] > figures["buy_and_hold_costs"]
    difference = figures["return"] - figures["buy_and_hold_return"]
    assert figures["excess_return"] == pytest.approx(difference, abs=1e-15)
    for name in ("return", "sharpe", "buy_and_hold_return", "excess_return", "excess_sharpe"):
        assert figures[f"{name}_low"] < figures[name] < figures[f"{name}_high"]
    assert 0.0 < figures["deflated_sharpe"] < 1.0
    assert (figures["confidence"], figures["trials"]) == (0.95, 1.0)


def test_evaluate_with_continuous_actions_has_the_same_baselines(
    btc: Bars, policy: RiskPolicy, evaluation: HeldOutEvaluation
) -> None:
    env = make_env(btc.slice(0, 700), actions="continuous", allow_short=True)

    found = evaluate(env, network_of(HalfLong()), policy, EvaluationConfig(resamples=200), seed=3)

    figures = found.figures
    assert figures["exposure"] == pytest.approx(0.5, abs=0.02)
    assert figures["trades"] > 1.0
    assert figures["buy_and_hold_return"] == evaluation.figures["buy_and_hold_return"]
    assert figures["always_flat_return"] == 0.0
    assert figures["random_trades"] > 500.0


def test_evaluate_with_more_trials_discounts_the_sharpe_ratio(
    btc: Bars, policy: RiskPolicy, evaluation: HeldOutEvaluation
) -> None:
    config = EvaluationConfig(resamples=200, trials=50)

    found = evaluate(make_env(btc.slice(0, 700)), network_of(Rule()), policy, config, seed=3)

    assert found.figures["deflated_sharpe"] < evaluation.figures["deflated_sharpe"]
    assert found.figures["sharpe"] == evaluation.figures["sharpe"]


def test_evaluate_with_an_account_that_loses_everything_says_so_and_gives_its_drawdown_alone(
    btc: Bars, policy: RiskPolicy
) -> None:
    bars = btc.slice(0, 400)
    factor = np.where(np.arange(400) < 200, 1.0, 3.0)
    prices = {name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")}
    risen = replace(bars, **prices)
    env = make_env(risen, allow_short=True, rebalance_threshold=0.5, max_jump=2.0)

    found = evaluate(env, network_of(AlwaysSell()), policy, EvaluationConfig(), seed=1)

    assert found.policy.ruined
    assert found.figures["return"] < -1.0
    assert not {"sharpe", "volatility", "return_low", "deflated_sharpe"} & set(found.figures)
    equity = found.policy.equity
    drawdown = (1.0 - equity / np.maximum.accumulate(equity)).max()
    assert found.figures["max_drawdown"] == drawdown > 1.0
    assert found.figures["buy_and_hold_sharpe"] > 0.0
