"""What a request carries, checked."""

import base64
import binascii
import json
from typing import Any, Final

from tradewind.errors import FieldViolation, InvalidInputError, RiskInputError
from tradewind.risk import RiskInputs
from tradewind.rpc.risk.risk_wire import RiskRequest

__all__ = ["read_inputs", "read_page_token", "write_page_token"]

_SERIES: Final = (
    "portfolio_values",
    "timestamps",
    "returns",
    "trade_timestamps",
    "positions",
    "price_changes",
    "order_flows",
    "order_latencies_us",
    "options",
)


def read_inputs(request: RiskRequest[Any], max_series_values: int) -> RiskInputs:
    """The snapshot that a request carries.

    Raises:
        RiskInputError: A series is too long, or the snapshot contradicts itself.
    """
    inputs = request.inputs()
    if request.scanned is not None and request.scanned.longest <= max_series_values:
        return inputs
    lengths = [(name, len(getattr(inputs, name))) for name in _SERIES]
    for symbol, book in inputs.order_books.items():
        lengths.append((f"order_books[{symbol!r}].bids", len(book.bid_prices)))
        lengths.append((f"order_books[{symbol!r}].asks", len(book.ask_prices)))
    violations = [
        FieldViolation(name, f"{length} given, at most {max_series_values} allowed")
        for name, length in lengths
        if length > max_series_values
    ]
    if violations:
        raise RiskInputError("risk inputs are refused", violations)
    return inputs


def write_page_token(account: str, before: int) -> str:
    """A token for the page of rows with a sequence smaller than `before`."""
    return base64.urlsafe_b64encode(json.dumps([account, before]).encode()).decode()


def read_page_token(token: str, account: str) -> int | None:
    """What `write_page_token` put into a token; None for the first page.

    Raises:
        InvalidInputError: It is not such a token, or it is one of a listing of another account.
    """
    if not token:
        return None
    try:
        listed, before = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise _bad_token("is not one that ListDecisions gave") from None
    if listed != account or type(before) is not int or not 0 < before < 2**63:
        raise _bad_token("belongs to a listing with another account")
    return before


def _bad_token(description: str) -> InvalidInputError:
    return InvalidInputError("the page is refused", [FieldViolation("page_token", description)])
