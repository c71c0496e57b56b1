"""Trains policies on market data under the production risk agent, and publishes bundles."""

from trainer_service.agent import TrainerAgent, create_trainer_agent
from trainer_service.callbacks import RiskAwareCallback
from trainer_service.environment import (
    EnvironmentConfig,
    IntradayTradingEnv,
    VectorizedTradingEnv,
)

__all__ = [
    "EnvironmentConfig",
    "IntradayTradingEnv",
    "RiskAwareCallback",
    "TrainerAgent",
    "VectorizedTradingEnv",
    "create_trainer_agent",
]
