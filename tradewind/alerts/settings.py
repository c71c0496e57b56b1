"""What an operator can set about alerts."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tradewind.settings import Settings

__all__ = ["AlertKind", "AlertSettings"]


class AlertKind(StrEnum):
    """What people can be told of."""

    HALT = "halt"
    """An account is halted, or is resumed."""

    SERVICE_DOWN = "service_down"
    """Inference service, risk service or broker do not answer, or do again."""

    FEED_STALE = "feed_stale"
    """The bars that are due do not come, or do again."""

    FAILED = "failed"
    """The orchestrator ended by an error."""

    ROLLBACK = "rollback"
    """A variant of a policy was taken out."""

    JOB_FAILED = "job_failed"
    """A training failed, or was stopped by risk."""


class AlertSettings(Settings):
    """Whom to tell, and of what."""

    urls: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    """Addresses as Apprise writes them (chat, e-mail, pager, or `json://HOST:PORT/PATH` for a
    program); each gets every alert. They hold secrets: `${NAME}` or `${file:PATH}` takes one from
    elsewhere."""

    kinds: tuple[AlertKind, ...] = tuple(AlertKind)
    """What is told; everything by default."""

    after_s: float = Field(default=30.0, ge=0.0)
    """How long a service or a feed has to be gone before it is told. A halt is told at once."""

    quiet_s: float = Field(default=900.0, ge=0.0)
    """The same trouble is told again only after this time, with how often there was it since."""
