"""What an operator can set about loading."""

from pydantic import Field

from tradewind.settings import Settings

__all__ = ["LoaderSettings"]


class LoaderSettings(Settings):
    """Bounds of the process that loads one bundle; one that exceeds them is quarantined.

    Attributes:
        timeout_s: Seconds from opening the folder to the proved network.
        memory_mb: Most memory it may take, torch's own 300 MB included.
    """

    timeout_s: float = Field(default=60.0, gt=0.0, le=3600.0)
    memory_mb: int = Field(default=4096, ge=512)
