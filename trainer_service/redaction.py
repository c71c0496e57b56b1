"""What is said to callers about a file that they named: the place and the kind, never its text.

A caller may name a file that is none of bars or risk policies, such as one with a password: the
error must not read it out. The log of the service has the whole message.
"""

import logging
import re
from typing import Final

from tradewind.errors import FieldViolation, InvalidInputError, MarketDataError, SettingsError

__all__ = ["redact_bars", "redact_settings"]

_LOG = logging.getLogger(__name__)

_LINE: Final = re.compile(r"\((?:line (?P<line>\d+))\)$")
_LINES: Final = re.compile(r"^repeated \(lines (?P<first>\d+) and (?P<second>\d+)\)$")
_PLACE: Final = re.compile(r"^(?:row|line) \d+(?:, (?:timestamp|open|high|low|close|volume)(?=$))?")
# A rule of ours after a number; a text is quoted, and stands where the number does.
_DEFECT: Final = re.compile(
    r"^(?:-?(?:\d[\d.e+-]*|inf|nan) )?(?P<kind>(?:is|repeats|must) [^:'\"]*)$"
)
# Beginnings of what pydantic says without quoting anything, and what stands for them.
_KINDS: Final = (
    ("Extra inputs are not permitted", "an unknown key"),
    ("Field required", "a key is missing"),
    ("Input should be", "a value of another type, or out of its range"),
)
_OTHER: Final = "a value that is refused"
_ADVICE: Final = "the log of the service has the details"


def redact_settings(problem: SettingsError, key: str, path: object) -> SettingsError:
    """What may be said of a settings file that was refused.

    Args:
        problem: Why it was.
        key: The key of the configuration that names the file.
        path: The file, as the configuration names it.
    """
    _LOG.warning("%s: %s", key, problem)
    kinds = [_kind(item.description) for item in problem.violations]
    if not kinds:
        kinds = [f"it cannot be read as settings; {_ADVICE}"]
    found = [FieldViolation(key, f"{path}: {kind}") for kind in dict.fromkeys(kinds)]
    return SettingsError(f"{key} is refused", found)


def redact_bars(problem: Exception, path: object) -> MarketDataError:
    """What may be said of a file that does not hold bars."""
    _LOG.warning("%s: %s", path, problem)
    violations = problem.violations if isinstance(problem, InvalidInputError) else ()
    found = [
        FieldViolation(place[0], _defect(item.description))
        for item in violations
        if (place := _PLACE.match(item.field)) is not None
    ]
    return MarketDataError(f"{path} cannot be read as bars; {_ADVICE}", found)


def _defect(description: str) -> str:
    """What is wrong with a cell, without the cell."""
    defect = _DEFECT.match(description)
    return "refused" if defect is None else defect["kind"]


def _kind(description: str) -> str:
    repeated = _LINES.match(description)
    if repeated is not None:
        return f"a key is repeated (lines {repeated['first']} and {repeated['second']})"
    kind = next((kind for start, kind in _KINDS if description.startswith(start)), _OTHER)
    line = _LINE.search(description)
    return kind if line is None else f"{kind} (line {line['line']})"
