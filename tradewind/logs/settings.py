"""What an operator can set about the log."""

from typing import Literal

from pydantic import Field

from tradewind.settings import Settings

__all__ = ["CallLogSettings", "LogSettings"]


class LogSettings(Settings):
    """How a process logs."""

    format: Literal["json", "text"] = "text"
    """`json` writes one object per line, for machines; `text` is for people."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Of Tradewind's own messages; libraries are never more talkative than INFO."""


class CallLogSettings(LogSettings):
    """How a server logs, its calls in particular."""

    calls: Literal["failures", "all"] = "failures"
    """`failures` logs the calls that fail or are slow; `all` logs those that succeed, too, which
    costs time in every call and is not for production."""

    slow_call_ms: float | None = Field(default=1_000.0, ge=0.0)
    """A call that takes longer is logged though it succeeded; null for none."""

    call_lines_per_s: float = Field(default=1.0, gt=0.0)
    """Lines a second about calls of one method that end in one status, once `call_lines_burst` of
    them were written at once; the others are counted. It holds for what gRPC itself has to say of
    broken calls, too."""

    call_lines_burst: int = Field(default=20, ge=1)
    """Lines that may be written at once."""
