"""The lines of a child process, taken back into records of the process that started it."""

import json
import logging
from datetime import datetime
from typing import Any

__all__ = ["read_record"]

_OWN = ("time", "level", "service", "logger", "message", "error")


def read_record(line: str) -> logging.LogRecord | None:
    """The record that a line of the JSON format was made of; None for any other line."""
    if not line.startswith("{"):
        return None
    try:
        values: dict[str, Any] = json.loads(line)
        record = logging.makeLogRecord(
            {
                "created": datetime.fromisoformat(values["time"]).timestamp(),
                "levelname": values["level"],
                "levelno": logging.getLevelNamesMapping()[values["level"]],
                "name": str(values["logger"]),
                "msg": str(values["message"]),
                "exc_text": str(values["error"]) if "error" in values else None,
            }
        )
    except (ValueError, TypeError, KeyError, AttributeError):  # what is printed may look like one
        return None
    record.fields = {name: value for name, value in values.items() if name not in _OWN}
    return record
