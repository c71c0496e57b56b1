"""The trading environment, single and vectorised; importing this package makes Gymnasium know it.

    gymnasium.make("trainer_service.environment:tradewind/IntradayTrading-v0")

Gymnasium 1.0 dropped its plugin entry points: an environment is registered by the import of the
module that is named before the colon.
"""

from trainer_service.environment.config import EnvironmentConfig
from trainer_service.environment.env_copies import TradingEnvCopies
from trainer_service.environment.intraday import IntradayTradingEnv
from trainer_service.environment.measuring import RiskMeasuringEnv
from trainer_service.environment.registration import ENVIRONMENT_ID, register_environments
from trainer_service.environment.reward import Reward, RewardWindow
from trainer_service.environment.vectorized import VectorizedTradingEnv

register_environments()

__all__ = [
    "ENVIRONMENT_ID",
    "EnvironmentConfig",
    "IntradayTradingEnv",
    "Reward",
    "RewardWindow",
    "RiskMeasuringEnv",
    "TradingEnvCopies",
    "VectorizedTradingEnv",
    "register_environments",
]
