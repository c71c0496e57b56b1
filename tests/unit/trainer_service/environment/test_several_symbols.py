"""IntradayTradingEnv of several symbols: what is seen, traded and said of the account."""

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from tradewind.errors import ConflictError, InvalidInputError
from tradewind.market import BarPanel, FeaturePipeline, load_sample
from tradewind.risk import RiskAgentV2, RiskPolicy
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv

CONFIG = EnvironmentConfig(actions="continuous", episode_bars=300, random_start=False)


@pytest.fixture(scope="module")
def panel() -> BarPanel:
    samples = [load_sample(symbol) for symbol in ("BTC", "ETH", "LTC")]
    return BarPanel.align(samples).slice(0, 1_500)


@pytest.fixture
def env(panel: BarPanel) -> IntradayTradingEnv:
    env = IntradayTradingEnv(panel, CONFIG)
    env.reset(seed=0)
    return env


def test_several_symbols_pass_the_checks_of_gymnasium(env: IntradayTradingEnv) -> None:
    check_env(env, skip_render_check=True)


def test_observation_of_several_symbols_is_that_of_each_beside_the_others(
    panel: BarPanel, env: IntradayTradingEnv
) -> None:
    spec = env.feature_spec
    observation, *_ = env.step(np.array([0.2, 0.0, 0.5], dtype=np.float32))
    index = spec.lookback
    for row, bars in enumerate(panel.series):
        pipeline = FeaturePipeline(spec)
        for each in range(index + 1):
            pipeline.update(bars.bar(each))
        alone = pipeline.observation(env.holdings.account(row).position)
        market = observation[row * spec.market_size : (row + 1) * spec.market_size]
        assert market.tobytes() == alone[: spec.market_size].tobytes()
        at = 3 * spec.market_size + 3 * row
        if row == 1:
            assert not observation[at : at + 3].any()  # flat
        else:
            assert observation[at : at + 3].tobytes() == alone[spec.market_size :].tobytes()


def test_weights_beyond_the_gross_limit_are_scaled_down_together(env: IntradayTradingEnv) -> None:
    _, _, _, _, info = env.step(np.array([1.0, 0.5, 0.5], dtype=np.float32))
    values = env.holdings.quantities * info["fill_prices"]
    assert np.allclose(values / values.sum(), [0.5, 0.25, 0.25], atol=1e-3)
    assert abs(env.holdings.cash) < 1e-6 * env.holdings.equity


def test_risk_of_several_symbols_knows_every_position_and_trade(env: IntradayTradingEnv) -> None:
    env.step(np.array([0.6, 0.3, 0.1], dtype=np.float32))
    env.step(np.array([0.6, 0.1, 0.3], dtype=np.float32))
    inputs = env.risk_inputs()
    assert [position.symbol for position in inputs.positions] == ["BTC", "ETH", "LTC"]
    assert set(inputs.feed_timestamps) == {"BTC", "ETH", "LTC"}
    report = RiskAgentV2(RiskPolicy()).calculate_only(inputs)
    weights = np.array([0.6, 0.1, 0.3])
    assert report.metric_values["herfindahl_index"] == pytest.approx((weights**2).sum(), abs=0.02)
    assert report.metric_values["max_position_weight"] == pytest.approx(0.6, abs=0.02)
    assert report.metric_values["gross_leverage"] == pytest.approx(1.0, abs=0.03)
    # All was bought, and a fifth of the account then went from one symbol to another.
    assert report.metric_values["daily_turnover"] == pytest.approx(1.4, abs=0.05)


def test_costs_of_several_symbols_are_what_equity_lacks(panel: BarPanel) -> None:
    free = CONFIG.model_copy(update={"transaction_cost": 0.0, "slippage": 0.0})
    envs = [IntradayTradingEnv(panel, config) for config in (CONFIG, free)]
    for env in envs:
        env.reset()
        env.step(np.array([0.3, 0.3, 0.4], dtype=np.float32))
    spent, saved = (env.holdings for env in envs)
    assert spent.costs > 0.0 == saved.costs
    assert spent.equity == pytest.approx(saved.equity - spent.costs, rel=1e-4)


def test_several_symbols_with_discrete_actions_are_refused(panel: BarPanel) -> None:
    with pytest.raises(InvalidInputError, match=r"BTC, ETH, LTC\) take continuous actions"):
        IntradayTradingEnv(panel, EnvironmentConfig())


@pytest.mark.parametrize("action", [[0.1, 0.1], [0.1, 0.1, 1.5], [0.1, -0.1, 0.1], 0.5, "all"])
def test_impossible_action_on_several_symbols_is_refused_and_changes_nothing(
    env: IntradayTradingEnv, action: object
) -> None:
    before = env.holdings.states.tobytes()
    with pytest.raises(InvalidInputError, match="must be 3 numbers from 0 to 1"):
        env.step(action)  # type: ignore[arg-type]
    assert env.holdings.states.tobytes() == before


def test_targets_of_another_shape_or_size_are_refused(env: IntradayTradingEnv) -> None:
    for targets in (np.zeros(2), np.array([0.0, 0.0, 1.1]), np.zeros((1, 3))):
        with pytest.raises(InvalidInputError, match="3 numbers within -1 and 1"):
            env.step_to(targets)


def test_account_of_several_symbols_is_in_holdings_only(env: IntradayTradingEnv) -> None:
    with pytest.raises(ConflictError, match="see holdings"):
        _ = env.account
