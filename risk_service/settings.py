"""What an operator can set about the risk service."""

from pathlib import Path

from pydantic import Field

from tradewind.rpc import ServerSettings
from tradewind.settings import Settings

__all__ = ["RiskServiceSettings"]


class RiskServiceSettings(Settings):
    """Settings of the risk service.

    Attributes:
        server: The gRPC server.
        policy: The risk policy file; a changed file is taken over while the service runs.
        policy_poll_s: Seconds between two looks at the policy file.
        max_series_values: Longest series that a request may carry.
    """

    server: ServerSettings = ServerSettings(
        listen="127.0.0.1:50053", metrics_listen="127.0.0.1:9103"
    )
    policy: Path = Path("config/risk_limits.yaml")
    policy_poll_s: float = Field(default=1.0, gt=0.0)
    max_series_values: int = Field(default=100_000, ge=1)
