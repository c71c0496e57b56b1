"""What was recognised in a table of bars, for people and for programs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Recognition"]


@dataclass(frozen=True, slots=True)
class Recognition:
    """How a table of bars was read.

    Attributes:
        source: The file, or what kind of table it was.
        form: What the table looks like, e.g. "Binance klines" or "text separated by ';'".
        columns: Where timestamp, open, high, low, close and volume came from. No volume is "none".
        times: How times were read, e.g. "integers, ms since the epoch".
        notes: What was done beyond reading: turned round, left out, clamped, assumed.
        bar_count: Number of bars.
        settings: The options of `load_bars` that say what was recognised.
    """

    source: str
    form: str
    columns: Mapping[str, str]
    times: str
    notes: tuple[str, ...]
    bar_count: int
    settings: Mapping[str, Any] = field(default_factory=dict)

    def lines(self) -> tuple[str, ...]:
        """One line for each thing that was recognised."""
        columns = ", ".join(
            name if name == origin else f"{name} = {origin}"
            for name, origin in self.columns.items()
        )
        return (self.form, f"columns: {columns}", f"times: {self.times}", *self.notes)

    def __str__(self) -> str:
        return f"{self.source}: {self.bar_count:,} bars; " + "; ".join(self.lines())
