"""Sets the log of a process up."""

import logging
import sys
import threading
from typing import Any, TextIO

from tradewind.logs.flood import FloodFilter, RateLimit
from tradewind.logs.formats import JsonFormatter, TextFormatter
from tradewind.logs.settings import CallLogSettings, LogSettings

__all__ = ["set_up_logging"]

_LOG = logging.getLogger(__name__)


def set_up_logging(
    settings: LogSettings, service: str, *, stream: TextIO | None = None, **fields: Any
) -> None:
    """Has everything that is logged, warned of or raised by nobody's handler written as lines.

    Args:
        settings: What the operator set.
        service: Which program writes; the package of that name logs at the level of the settings.
        stream: Where to; standard error by default.
        fields: What is the same on every line.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    formatter = JsonFormatter(service, fields) if settings.format == "json" else None
    handler.setFormatter(formatter or TextFormatter(fields))
    if isinstance(settings, CallLogSettings):
        limit = RateLimit(settings.call_lines_per_s, settings.call_lines_burst)
        handler.addFilter(FloodFilter(limit))
    level = logging.getLevelNamesMapping()[settings.level]
    logging.basicConfig(level=max(level, logging.INFO), handlers=[handler], force=True)
    for package in ("tradewind", service):
        logging.getLogger(package).setLevel(level)
    logging.captureWarnings(True)
    sys.excepthook = _log_defect
    threading.excepthook = _log_defect_of_thread


def _log_defect(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    _LOG.critical("ended by %s: %s", kind.__name__, error, exc_info=(kind, error, traceback))


def _log_defect_of_thread(failure: threading.ExceptHookArgs) -> None:
    error = failure.exc_value
    if error is None or issubclass(failure.exc_type, SystemExit):
        return
    name = "a thread" if failure.thread is None else f"thread {failure.thread.name}"
    _LOG.critical("%s was ended by %s: %s", name, failure.exc_type.__name__, error, exc_info=error)
