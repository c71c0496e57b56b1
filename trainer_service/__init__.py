"""Trains policies on market data under the production risk agent, and publishes bundles.

What trains is imported when it is first asked for: the service's own process, which only runs the
queue, starts without torch and Stable-Baselines3.
"""

from typing import TYPE_CHECKING

from tradewind.lazy import lazy_names

if TYPE_CHECKING:
    from trainer_service.algorithms import Algorithm
    from trainer_service.algorithms.extractor import Extractor
    from trainer_service.callbacks import RiskAwareCallback
    from trainer_service.environment import (
        EnvironmentConfig,
        IntradayTradingEnv,
        Reward,
        RewardWindow,
        VectorizedTradingEnv,
    )
    from trainer_service.tracking import TrackedRun, Tracker, TrackerSettings
    from trainer_service.training.agent import TrainerAgent, create_trainer_agent
    from trainer_service.training.data_source import DataSource

__all__ = [
    "Algorithm",
    "DataSource",
    "EnvironmentConfig",
    "Extractor",
    "IntradayTradingEnv",
    "Reward",
    "RewardWindow",
    "RiskAwareCallback",
    "TrackedRun",
    "Tracker",
    "TrackerSettings",
    "TrainerAgent",
    "VectorizedTradingEnv",
    "create_trainer_agent",
]

_MODULES = {
    "Algorithm": "algorithms",
    "DataSource": "training.data_source",
    "EnvironmentConfig": "environment",
    "Extractor": "algorithms.extractor",
    "IntradayTradingEnv": "environment",
    "Reward": "environment",
    "RewardWindow": "environment",
    "RiskAwareCallback": "callbacks",
    "TrackedRun": "tracking",
    "Tracker": "tracking",
    "TrackerSettings": "tracking",
    "TrainerAgent": "training.agent",
    "VectorizedTradingEnv": "environment",
    "create_trainer_agent": "training.agent",
}

__getattr__ = lazy_names(__name__, _MODULES)
