"""What an operator can set about the risk service."""

from pathlib import Path

from pydantic import Field, model_validator

from tradewind.rpc import ServerSettings, ServiceSettings

__all__ = ["RiskServiceSettings"]


class RiskServiceSettings(ServiceSettings):
    """Settings of the risk service."""

    server: ServerSettings = ServerSettings(
        listen="127.0.0.1:50053", metrics_listen="127.0.0.1:9103"
    )
    """The gRPC server."""

    policy: Path = Path("config/risk_limits.yaml")
    """The risk policy file; a changed file is taken over while the service runs."""

    overlay: Path | None = None
    """File of limits that are stricter than the policy's (docs/operations/risk-service.md), looked
    at and taken over together with it; none by default. Once named it has to be there."""

    policy_poll_s: float = Field(default=1.0, gt=0.0)
    """Seconds between two looks at the files of policy and overlay."""

    policy_may_loosen: bool = False
    """Takes over changed files also when they drop or loosen a rule that halts or liquidates, such
    as one of an overlay that is lifted; without, that takes a restart."""

    database: str = "sqlite:///runs/risk/audit.sqlite"
    """Where halts and the audit trail live: `sqlite:///FILE` or
    `postgresql://USER:PASSWORD@HOST:PORT/NAME`. One service uses it at a time."""

    journal: Path | None = None
    """Local file that makes each decision durable before its answer leaves; beside the file of an
    SQLite database by default. It must outlive the process."""

    resume_roles: frozenset[str] = frozenset({"risk_officer"})
    """Roles that may resume a halted account."""

    max_accounts: int = Field(default=1_000, ge=1)
    """How many accounts are kept in memory. There may be more: the state of those not heard of
    longest is read again from the database once they are evaluated."""

    max_series_values: int = Field(default=100_000, ge=1)
    """Longest series that a request may carry."""

    max_streams: int = Field(default=8, ge=1)
    """How many CalculateStream calls may be open; fewer than the server has threads, because each
    holds one."""

    pin_cpu: bool = False
    """Keeps the service on the first of the cores that it may use."""

    @model_validator(mode="after")
    def _check_streams(self) -> "RiskServiceSettings":
        if self.max_streams >= self.server.threads:
            raise ValueError(
                f"max_streams {self.max_streams} would leave none of the {self.server.threads} "
                "server.threads to other calls"
            )
        return self
