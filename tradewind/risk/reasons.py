"""Why a metric is unavailable or an input is refused: numbers for the kernels, words for people.

The rule for bad input, for every calculator:

- What is merely missing, too short, not finite, not positive where a ratio needs it positive, or
  leaves a formula undefined makes the metrics that need it *unavailable*, with a reason. A feed
  that breaks is a state of the account to be reported, and the other metrics still count.
- What contradicts itself, so that no account can be in that state (lists of different lengths,
  time that goes back, a negative size, a crossed book, a symbol twice), is *refused* with a
  RiskInputError that names the field: a metric of such inputs would answer another question.
"""

from functools import lru_cache
from typing import Final

__all__ = ["describe_reason"]

# A code is kind * FIELD_SPAN + field.
FIELD_SPAN: Final = 100

NOT_CALCULATED: Final = 1
ABSENT: Final = 2
TOO_FEW: Final = 3
NOT_FINITE: Final = 4
NOT_POSITIVE: Final = 5
RESULT_NOT_FINITE: Final = 6
VAR_NOT_POSITIVE: Final = 7
NOT_INCREASING: Final = 8
DECREASING: Final = 9

OUTSIDE_CORNISH_FISHER_DOMAIN: Final = 1

PORTFOLIO_VALUES: Final = 0
TIMESTAMPS: Final = 1
START_OF_DAY_VALUE: Final = 2
RETURNS: Final = 3
TRADE_TIMESTAMPS: Final = 4
TRADE_NOTIONALS: Final = 5
CAPITAL_BASE: Final = 6
NOW: Final = 7

_FIELDS: Final = (
    "portfolio_values",
    "timestamps",
    "start_of_day_value",
    "returns",
    "trade_timestamps",
    "trade_notionals",
    "capital_base",
    "now",
)

_ABSENT_HINTS: Final = {
    PORTFOLIO_VALUES: "none given",
    TRADE_TIMESTAMPS: "none given (a trade of notional 0 says that there were none)",
}

_TEMPLATES: Final = {
    NOT_CALCULATED: "not calculated",
    TOO_FEW: "{field}: {needed} needed, {actual} given",
    NOT_FINITE: "{field} is not finite",
    NOT_POSITIVE: "{field} is not positive",
    RESULT_NOT_FINITE: "the result is not finite: the inputs are too large or too small",
    VAR_NOT_POSITIVE: "a ratio to a value at risk that is not positive is undefined",
    NOT_INCREASING: "{field} is not later than the one before",
    DECREASING: "{field} is earlier than the one before",
}

NOTES: Final = {
    OUTSIDE_CORNISH_FISHER_DOMAIN: (
        "historical: skewness and kurtosis are outside the domain of the Cornish–Fisher expansion"
    ),
}


@lru_cache(maxsize=4096)
def describe_reason(code: int, actual: int, needed: int) -> str:
    """Puts a kernel's reason code into words.

    Args:
        code: kind * FIELD_SPAN + field.
        actual: A count for TOO_FEW, else the index of the offending element, −1 for a scalar.
        needed: The count that would do, for TOO_FEW.
    """
    kind, field = divmod(code, FIELD_SPAN)
    name = _FIELDS[field]
    if kind == ABSENT:
        return f"{name}: {_ABSENT_HINTS.get(field, 'not given')}"
    if kind != TOO_FEW and actual >= 0:
        name = f"{name}[{actual}]"
    return _TEMPLATES[kind].format(field=name, actual=actual, needed=needed)


def describe_field(code: int, actual: int) -> str:
    """Path of the field a code is about, e.g. `timestamps[3]`."""
    name = _FIELDS[code % FIELD_SPAN]
    return f"{name}[{actual}]" if actual >= 0 else name
