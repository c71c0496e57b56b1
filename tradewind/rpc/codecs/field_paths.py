"""Where in a request stands what the library has refused: paths of the proto's fields.

The library names what it refuses as its callers in Python wrote it; `google.rpc.BadRequest` names
the fields of the message, from the request down.
"""

import re
from collections.abc import Callable
from typing import Final

from tradewind.errors import FieldViolation, InvalidInputError

__all__ = ["renamed", "risk_field"]

_ORDER: Final = "intended_order"
_TRADES: Final = {"trade_timestamps": "timestamp", "trade_notionals": "notional"}
_TRADE: Final = re.compile(r"(trade_timestamps|trade_notionals)(\[\d+\])?")
_LEVEL: Final = re.compile(r"(order_books\[.*\])\.(bid|ask)_(price|size)s(\[\d+\])?", re.DOTALL)


def renamed(error: InvalidInputError, rename: Callable[[str], str]) -> InvalidInputError:
    """The same refusal with other names for its fields."""
    details = "; ".join(map(str, error.violations))
    violations = [FieldViolation(rename(each.field), each.description) for each in error.violations]
    message = str(error).removesuffix(f": {details}") if details else str(error)
    return type(error)(message, violations, metadata=error.metadata)


def risk_field(field: str, inputs_field: str) -> str:
    """Path of a field of RiskInputs, or of the intended order beside them, in a risk request.

    Args:
        field: As the library names it: `trade_timestamps[0]`.
        inputs_field: The request's field of inputs: `inputs`, or `increment`.

    Returns:
        `inputs.trades[0].timestamp`.
    """
    if not field or field.startswith(_ORDER):
        return field
    if trade := _TRADE.fullmatch(field):
        series, index = trade.groups()
        field = f"trades{index}.{_TRADES[series]}" if index else "trades"
    elif level := _LEVEL.fullmatch(field):
        book, side, part, index = level.groups()
        field = f"{book}.{side}s{index}.{part}" if index else f"{book}.{side}s"
    return f"{inputs_field}.{field}"
