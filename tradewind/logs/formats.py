"""Log records as lines. Whatever a caller made of a name or an id, a record is one line."""

import json
import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tradewind.logs.context import current_fields

__all__ = ["JsonFormatter", "TextFormatter"]

_MAX_MESSAGE = 8_192
_MAX_FIELD = 256
_MAX_TRACEBACK = 16_384


class JsonFormatter(logging.Formatter):
    """One JSON object per line, in ASCII.

    Args:
        service: Which program writes.
        fields: What is the same on every line, such as the number of a worker.
    """

    def __init__(self, service: str, fields: Mapping[str, Any]) -> None:
        super().__init__()
        self._service = service
        self._fields = dict(fields)

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": _message(record),
        }
        line |= _fields(record, self._fields)
        error = _traceback(self, record)
        if error:
            line["error"] = error
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """For people: the fields behind the message, a traceback indented below it.

    Args:
        fields: What is the same on every line.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__()
        self._fields = dict(fields)

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, and those of its traceback, without the last one's end."""
        line = f"{self.formatTime(record)} {record.levelname} {record.name}: "
        line += _printable(_message(record))
        fields = _fields(record, self._fields)
        if fields:
            shown = " ".join(f"{name}={_printable(str(value))}" for name, value in fields.items())
            line += f" [{shown}]"
        for below in _traceback(self, record).splitlines():
            line += f"\n    {_printable(below)}"
        return line


def _message(record: logging.LogRecord) -> str:
    try:
        message = record.getMessage()
    except Exception as problem:  # a line that says less is better than none
        message = f"{record.msg!r} with {record.args!r}, which do not fit: {problem}"
    return _cut(message, _MAX_MESSAGE)


def _fields(record: logging.LogRecord, always: Mapping[str, Any]) -> dict[str, Any]:
    own: Mapping[str, Any] = getattr(record, "fields", {})
    found = {**always, **current_fields(), **own}
    return {name: _plain(value) for name, value in found.items() if value not in ("", None)}


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return _cut(str(value), _MAX_FIELD)


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    if record.exc_info and not record.exc_text:
        record.exc_text = formatter.formatException(record.exc_info)
    text = record.exc_text or ""
    return text if len(text) <= _MAX_TRACEBACK else "…" + text[-_MAX_TRACEBACK:]


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + "…"


def _printable(text: str) -> str:
    """Line ends, terminal escapes and the like as Python writes them in a literal."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )
