"""From cells to numbers, where they are written with commas, thousands separators or units."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tradewind.errors import MarketDataError
from tradewind.market.reading.options import DecimalMark
from tradewind.market.reading.times import Cast, is_text, trimmed

__all__ = ["number_cast", "plain_number_cast", "tell_decimal_mark"]

_GROUPED: Final = {
    ".": r"^[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?$",
    ",": r"^[-+]?[1-9]\d{0,2}(\.\d{3})+(,\d*)?$",
}
_SPACES: Final = r"(\d)[' \x{00a0}\x{202f}\x{2019}](\d{3})"
_UNITS: Final = {"k": 1e3, "m": 1e6, "b": 1e9}


def plain_number_cast(cells: Any) -> Any:
    """Numbers as programs write them."""
    return pc.cast(trimmed(cells), pa.float64())


def number_cast(mark: DecimalMark, *, units: bool) -> Cast:
    """The conversion of written numbers: 1,234.5 or 1.234,5 as the mark says, $1.5.

    Args:
        mark: What separates decimals.
        units: Takes 350K, 2.5M and 1B, too.
    """
    other = "," if mark == "." else "."

    def cast(cells: Any) -> Any:
        if not is_text(cells):
            return plain_number_cast(cells)
        text = pc.replace_substring_regex(trimmed(cells), r"^[$€£] ?", "")
        for _ in range(2):  # Neighbouring groups share a digit.
            text = pc.replace_substring_regex(text, _SPACES, r"\1\2")
        unit = None
        if units:
            unit = pc.utf8_lower(pc.utf8_slice_codeunits(text, -1))
            text = pc.replace_substring_regex(text, r"(\d)[KMBkmb]$", r"\1")
        grouped = pc.match_substring_regex(text, _GROUPED[mark])
        text = pc.if_else(grouped, pc.replace_substring(text, other, ""), text)
        if mark == ",":
            # A point that separates no thousands must not become the decimal one.
            text = pc.if_else(pc.match_substring(text, "."), "?", text)
            text = pc.replace_substring(text, ",", ".")
        numbers = pc.cast(text, pa.float64())
        if unit is None:
            return numbers
        factor: Any = pa.scalar(1.0)
        for letter, size in _UNITS.items():
            factor = pc.if_else(pc.equal(unit, letter), size, factor)
        return pc.multiply(numbers, factor)

    return cast


def tell_decimal_mark(subject: str, columns: Mapping[str, Any]) -> DecimalMark:
    """Tells what separates decimals, from every number of a table.

    Args:
        subject: The table, for errors.
        columns: Text.

    Raises:
        MarketDataError: Commas may separate decimals or thousands, and no cell says which; or the
            cells contradict each other.
    """
    cells = [pc.utf8_trim_whitespace(column) for column in columns.values() if is_text(column)]

    def some(pattern: str) -> bool:
        return any(
            pc.any(pc.match_substring_regex(column, pattern), min_count=0).as_py()
            for column in cells
        )

    marks: dict[DecimalMark, Callable[[], bool]] = {
        ".": lambda: some(
            r"^\D*(\d*\.\d{1,2}|\d*\.\d{4,}|\d{4,}\.\d*|0\.\d+|[\d,]*,\d{3}\.\d*)\D*$"
            r"|^\D*\d{1,3}(,\d{3}){2,}\D*$"
        ),
        ",": lambda: some(
            r"^\D*(\d*,\d{1,2}|\d*,\d{4,}|\d{4,},\d*|0,\d+|[\d.]*\.\d{3},\d*)\D*$"
            r"|^\D*\d{1,3}(\.\d{3}){2,}\D*$"
        ),
    }
    said = [mark for mark, evidence in marks.items() if evidence()]
    if len(said) == 1:
        return said[0]
    if not said and not some(r"\d,\d"):
        return "."
    if said:
        return "."  # The cells that contradict it are refused, each with its row.
    raise MarketDataError(
        f"{subject}: commas separate decimals or thousands, and no number says which; "
        'say decimal: "," or decimal: "."'
    )
