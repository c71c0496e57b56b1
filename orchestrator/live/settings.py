"""What an operator can set about the live view."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from tradewind.rpc.address import host_and_port, is_loopback
from tradewind.settings import Settings

__all__ = ["LiveSettings"]


def _check_listen(address: str) -> str:
    host_and_port(address)
    return address


class LiveSettings(Settings):
    """Where the live view listens, and what it lets a browser do."""

    listen: Annotated[str, AfterValidator(_check_listen)] = "127.0.0.1:8050"
    """`HOST:PORT`; port 0 picks a free one."""

    allow_remote: bool = False
    """Lets other machines look, in plain text and without a password."""

    hosts: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Names by which browsers may call it, beside localhost and IP addresses."""

    allow_resume: bool = False
    """Lets the page resume a halted account, with the credentials of the orchestrator."""

    interval_s: float = Field(default=0.25, ge=0.05, le=10.0)
    """Between two updates of a browser."""

    points: int = Field(default=1_000, ge=10, le=10_000)
    """Most points of a chart; when there are more ticks, a point stands for several."""

    max_browsers: int = Field(default=32, ge=1)
    """How many may look at a time; one more is refused."""

    @model_validator(mode="after")
    def _refuse_remote_by_oversight(self) -> Self:
        if not self.allow_remote and not is_loopback(host_and_port(self.listen)[0]):
            raise ValueError(
                f"listen: {self.listen} is reached from other machines in plain text and without "
                "a password: set allow_remote: true where the network is trusted"
            )
        return self
