"""The settings files that Tradewind ships, which stand in for `config/…` where there is none."""

import logging
from importlib import resources
from pathlib import Path
from typing import Final

__all__ = ["shipped_config", "shipped_or_own"]

_LOG = logging.getLogger(__name__)

_FOLDER: Final = "config"


def shipped_config() -> Path:
    """The folder of the shipped settings files: `config` of the checkout, or of the wheel."""
    return Path(str(resources.files("tradewind") / _FOLDER))


def shipped_or_own(path: Path | str) -> Path:
    """Where a file lies that is called `config/…`: here, or else with Tradewind, which is said.

    Not for what must not be mistaken for another file, such as the policy that a risk service
    enforces: there, a file that is gone is an error.

    Returns:
        `path`, unless it is a relative `config/…` that is not here and that Tradewind ships.
    """
    own = Path(path)
    if own.is_absolute() or own.parts[:1] != (_FOLDER,) or ".." in own.parts or own.exists():
        return own
    shipped = shipped_config().joinpath(*own.parts[1:])
    if not shipped.is_file():
        return own
    _LOG.info("there is no %s here: the one that Tradewind ships is taken", own)
    return shipped
