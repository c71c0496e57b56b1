"""Makes the environment known to Gymnasium."""

from typing import Final

import gymnasium

__all__ = ["ENVIRONMENT_ID", "register_environments"]

ENVIRONMENT_ID: Final = "tradewind/IntradayTrading-v0"


def register_environments() -> None:
    """Registers `ENVIRONMENT_ID`, once however often it is called."""
    if ENVIRONMENT_ID not in gymnasium.registry:
        gymnasium.register(
            id=ENVIRONMENT_ID,
            entry_point="trainer_service.environment.intraday:IntradayTradingEnv",
        )
