"""What every process of Tradewind writes to standard error: one line per event, JSON or text.

The fields of a line say which request, account, policy or job it is about. Code that begins such
a thing opens a `log_context`; whatever is logged inside bears its fields.
"""

from tradewind.logs.context import (
    LogScope,
    current_fields,
    current_request_id,
    enter_scope,
    log_context,
    loggable_id,
)
from tradewind.logs.relay import read_record
from tradewind.logs.set_up import set_up_logging
from tradewind.logs.settings import CallLogSettings, LogSettings

__all__ = [
    "CallLogSettings",
    "LogScope",
    "LogSettings",
    "current_fields",
    "current_request_id",
    "enter_scope",
    "log_context",
    "loggable_id",
    "read_record",
    "set_up_logging",
]
