from typing import Any

import pytest

from tradewind.errors import SettingsError
from tradewind.settings import parse_settings
from trainer_service.environment import EnvironmentConfig


@pytest.mark.parametrize(
    "values",
    [
        {"initial_cash": 0.0},
        {"transaction_cost": -0.001},
        {"transaction_cost": 0.2},
        {"slippage": float("nan")},
        {"position_fraction": 0.0},
        {"position_fraction": 1.1},
        {"rebalance_threshold": 0.6},
        {"episode_bars": 1},
        {"min_equity_fraction": 1.0},
        {"reward": "sharpe"},
        {"reward_scale": 0.0},
        {"fee": 0.001},
    ],
    ids=str,
)
def test_config_with_an_impossible_value_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(values))):
        parse_settings(values, EnvironmentConfig)
