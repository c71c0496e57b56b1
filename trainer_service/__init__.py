"""Trains policies on market data under the production risk agent, and publishes bundles.

What trains is imported when it is first asked for: the service's own process, which only runs the
queue, starts without torch and Stable-Baselines3.
"""

from typing import TYPE_CHECKING

from tradewind.lazy import lazy_names

if TYPE_CHECKING:
    from trainer_service.callbacks import RiskAwareCallback
    from trainer_service.environment import (
        EnvironmentConfig,
        IntradayTradingEnv,
        VectorizedTradingEnv,
    )
    from trainer_service.training.agent import TrainerAgent, create_trainer_agent

__all__ = [
    "EnvironmentConfig",
    "IntradayTradingEnv",
    "RiskAwareCallback",
    "TrainerAgent",
    "VectorizedTradingEnv",
    "create_trainer_agent",
]

_MODULES = {
    "EnvironmentConfig": "environment",
    "IntradayTradingEnv": "environment",
    "RiskAwareCallback": "callbacks",
    "TrainerAgent": "training.agent",
    "VectorizedTradingEnv": "environment",
    "create_trainer_agent": "training.agent",
}

__getattr__ = lazy_names(__name__, _MODULES)
