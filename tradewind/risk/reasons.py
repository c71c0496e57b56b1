"""Why a metric is unavailable or an input is refused: numbers for the kernels, words for people.

The rule for bad input, for every calculator:

- What is merely missing, too short, not finite, not positive where a ratio needs it positive, later
  than now, or leaves a formula undefined makes the metrics that need it *unavailable*, with a
  reason. A feed that breaks is a state of the account to be reported, a crossed book, a negative
  size in one and a trade out of order included, and the other metrics still count: whoever keeps a
  list of trades badly must not keep a halt for a loss from following.
- What contradicts itself, so that no account can be in that state (lists of different lengths,
  bars that go back, a symbol held twice), is *refused* with a RiskInputError that names the
  field: a metric of such inputs would answer another question.

Reasons name the fields of the message RiskInputs, wherever they are read: it is what most callers
send, and the answer of the service is that of the library. A RiskInputError names the fields of the
class, whose constructor raises it.

A kernel's answer is (code, at, other), code = kind * FIELD_SPAN + field. `at` is a count for
TOO_FEW and else the index of the offending element (−1: a scalar); `other` is the count needed for
TOO_FEW and else an index inside the element, such as a level of a book.
"""

from functools import lru_cache
from typing import Final

from tradewind.errors import FieldViolation
from tradewind.risk.inputs import SCALARS, RiskInputs

__all__ = ["describe_reason", "describe_violation", "field_of", "names_an_element"]

FIELD_SPAN: Final = 100

# Kinds of reasons.
NOT_CALCULATED: Final = 1
ABSENT: Final = 2
TOO_FEW: Final = 3
NOT_FINITE: Final = 4
NOT_POSITIVE: Final = 5
NEGATIVE: Final = 6
RESULT_NOT_FINITE: Final = 7
VAR_NOT_POSITIVE: Final = 8
CONSTANT: Final = 9
BASELINE_NOT_POSITIVE: Final = 10
AHEAD_OF_NOW: Final = 11
MISSING_FOR_POSITION: Final = 12
TOO_THIN_FOR_POSITION: Final = 13
NO_SHOCK: Final = 14
NOT_BEST_FIRST: Final = 17
CROSSED: Final = 18
NO_PEAK: Final = 22
NOT_SECONDS: Final = 23
DECREASING: Final = 16
# Kinds of contradictions.
NOT_INCREASING: Final = 15
REPEATED: Final = 19
GOES_BACK: Final = 20
NOT_ONE_PER_VALUE: Final = 21
# More kinds of reasons.
STATED_OTHERWISE: Final = 40
SPACED_OTHERWISE: Final = 41
AHEAD_OF_BARS: Final = 42
AFTER_PAUSE: Final = 43
NOT_SET: Final = 44
SAID: Final = 45
"""In the words of a calculator from outside, which stand beside the result; `at` says where."""

# Fields.
PORTFOLIO_VALUES: Final = 0
TIMESTAMPS: Final = 1
START_OF_DAY_VALUE: Final = 2
RETURNS: Final = 3
TRADE_TIMESTAMPS: Final = 4
TRADE_NOTIONALS: Final = 5
CAPITAL_BASE: Final = 6
NOW: Final = 7
PRICE_CHANGES: Final = 8
ORDER_FLOWS: Final = 9
ORDER_LATENCIES: Final = 10
POSITIONS: Final = 11
POSITION_QUANTITY: Final = 12
POSITION_PRICE: Final = 13
ORDER_BOOKS: Final = 14
BID_PRICES: Final = 15
BID_SIZES: Final = 16
ASK_PRICES: Final = 17
ASK_SIZES: Final = 18
FEED_TIMESTAMPS: Final = 19
AVERAGE_DAILY_VOLUMES: Final = 20
OPTIONS: Final = 21
# The inputs of an option, in the order of its row in a snapshot.
OPTION_QUANTITY: Final = 22
OPTION_MULTIPLIER: Final = 23
OPTION_UNDERLYING_PRICE: Final = 24
OPTION_STRIKE: Final = 25
OPTION_YEARS_TO_EXPIRY: Final = 26
OPTION_VOLATILITY: Final = 27
OPTION_RISK_FREE_RATE: Final = 28
OPTION_DIVIDEND_YIELD: Final = 29
PERIODS_PER_YEAR: Final = 30

# Notes.
OUTSIDE_CORNISH_FISHER_DOMAIN: Final = 1

NOTES: Final = {
    OUTSIDE_CORNISH_FISHER_DOMAIN: (
        "historical: skewness and kurtosis are outside the domain of the Cornish–Fisher expansion"
    ),
}

# Where each field stands: the field of the message RiskInputs, and what it is inside an element.
_OWN_PATHS: Final = (
    ("portfolio_values", ""),
    ("timestamps", ""),
    ("start_of_day_value", ""),
    ("returns", ""),
    ("trades", ".timestamp"),
    ("trades", ".notional"),
    ("capital_base", ""),
    ("now", ""),
    ("price_changes", ""),
    ("order_flows", ""),
    ("order_latencies_us", ""),
    ("positions", ""),
    ("positions", ".quantity"),
    ("positions", ".price"),
    ("order_books", ""),
    ("order_books", ".bids[{level}].price"),
    ("order_books", ".bids[{level}].size"),
    ("order_books", ".asks[{level}].price"),
    ("order_books", ".asks[{level}].size"),
    ("feed_timestamps", ""),
    ("average_daily_volumes", ""),
    ("options", ""),
    ("options", ".quantity"),
    ("options", ".multiplier"),
    ("options", ".underlying_price"),
    ("options", ".strike"),
    ("options", ".years_to_expiry"),
    ("options", ".volatility"),
    ("options", ".risk_free_rate"),
    ("options", ".dividend_yield"),
    ("periods_per_year", ""),
)
# A scalar that came later has the next number, in the order of the class.
_PATHS: Final = _OWN_PATHS + tuple((name, "") for name in SCALARS if (name, "") not in _OWN_PATHS)

# The fields of the class RiskInputs that a contradiction can be about.
_CONTRADICTED: Final = {
    TIMESTAMPS: "timestamps",
    NOW: "now",
    POSITIONS: "positions",
}

_ABSENT: Final = {
    TRADE_TIMESTAMPS: "none given; a trade of notional 0 says that there were none",
    POSITIONS: "none given; a position of quantity 0 says that there is none",
    PERIODS_PER_YEAR: (
        "not given, and the risk policy says auto: the bars in a year must be in the inputs"
    ),
    OPTIONS: "none given; an option of quantity 0 says that there is none",
}

_TEMPLATES: Final = {
    NOT_CALCULATED: "not calculated",
    TOO_FEW: "{field}: {other} needed, {at} in the window",
    NOT_FINITE: "{field} is not finite",
    NOT_POSITIVE: "{field} is not positive",
    NEGATIVE: "{field} is negative",
    RESULT_NOT_FINITE: "the result is not finite: the inputs are too large or too small",
    VAR_NOT_POSITIVE: "a ratio to a value at risk that is not positive is undefined",
    CONSTANT: "{field}: they do not vary, so nothing can be regressed on them or explained",
    BASELINE_NOT_POSITIVE: "{field}: a drift from a baseline quantile of 0 is undefined",
    AHEAD_OF_NOW: "{field} is later than now by more than the allowed clock skew",
    MISSING_FOR_POSITION: "{field}: none for {position}",
    TOO_THIN_FOR_POSITION: "{field}: too few levels to liquidate {position}",
    STATED_OTHERWISE: (
        "{field}: the inputs and the risk policy state different numbers of bars in a year"
    ),
    SPACED_OTHERWISE: "{field}: bars so far apart contradict the bars in a year that are stated",
    NO_SHOCK: "the scenario has no shock for {field}",
    NO_PEAK: "{field} is not positive, nor was one before it: a drawdown needs a peak above zero",
    NOT_SECONDS: "{field} is not in seconds since the epoch: it would be after the year 5138",
    DECREASING: "{field} is earlier than that of the trade before it",
    AHEAD_OF_BARS: (
        "{field} is later than the last bar by more than a bar: without now, that may be the future"
    ),
    AFTER_PAUSE: "{field} is a year after the one before: without now, that may be the future",
    NOT_SET: (
        "{field} is before March 1973, and all else after 1999: a clock that was not set, or times "
        "that are not in seconds"
    ),
    NOT_BEST_FIRST: "{field} is better than that of the level before it: the best comes first",
    CROSSED: "{field}: the best bid is above the best ask",
    NOT_INCREASING: "must be later than the one before",
    REPEATED: "its symbol stands in an earlier position",
    GOES_BACK: "the latest time known goes back by more than a day",
    NOT_ONE_PER_VALUE: "must be given for every portfolio value of the stream or for none",
}


def field_of(name: str) -> int:
    """The number of a field of RiskInputs that is no part of an element."""
    return _PATHS.index((name, ""))


def describe_reason(code: float, at: float, other: float, inputs: RiskInputs) -> str:
    """Puts why a metric is unavailable into words.

    Args:
        code: As in a result, as are at and other.
        at: See the module.
        other: See the module.
        inputs: To name their symbols.
    """
    if names_an_element(code, at):
        return _describe_element(int(code), int(at), int(other), inputs)
    return _describe_series(code, at, other)


def names_an_element(code: float, at: float) -> bool:
    """Whether a reason is about one position, book, feed or option, which it takes inputs to name.

    Args:
        code: As in a result, as is at.
        at: See the module.
    """
    return at >= 0.0 and code % FIELD_SPAN >= POSITIONS


def _describe_element(code: int, at: int, other: int, inputs: RiskInputs) -> str:
    kind, field = divmod(code, FIELD_SPAN)
    if kind in (MISSING_FOR_POSITION, TOO_THIN_FOR_POSITION):
        position = f"positions[{at}] ({inputs.positions[at].symbol})"
        return _TEMPLATES[kind].format(field=_PATHS[field][0], position=position)
    return _TEMPLATES[kind].format(field=_element_path(field, at, other, inputs))


def describe_violation(code: int, at: int) -> FieldViolation:
    """Puts a contradiction into words."""
    kind, field = divmod(code, FIELD_SPAN)
    description = _TEMPLATES[kind].removeprefix("{field} ")
    name = _CONTRADICTED[field]
    return FieldViolation(f"{name}[{at}]" if at >= 0 else name, description)


@lru_cache(maxsize=4096)
def _describe_series(code: float, at: float, other: float) -> str:
    kind, field = divmod(int(code), FIELD_SPAN)
    name, leaf = _PATHS[field]
    if kind == ABSENT:
        return f"{name}: {_ABSENT.get(field, 'not given')}"
    if kind == TOO_FEW:
        return _TEMPLATES[kind].format(field=name, at=int(at), other=int(other))
    return _TEMPLATES[kind].format(field=f"{name}[{int(at)}]{leaf}" if at >= 0.0 else name)


def _element_path(field: int, at: int, other: int, inputs: RiskInputs) -> str:
    name, leaf = _PATHS[field]
    if name == "average_daily_volumes":
        return f"{name}[{inputs.positions[at].symbol!r}]"
    if name == "feed_timestamps":
        return f"{name}[{list(inputs.feed_timestamps)[at]!r}]"
    if name == "order_books":
        return f"{name}[{list(inputs.order_books)[at]!r}]{leaf.format(level=other)}"
    return f"{name}[{at}]{leaf}"
