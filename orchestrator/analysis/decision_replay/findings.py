"""What was compared, bit by bit, and where it first differs."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["ColumnFinding", "Difference", "Findings", "same_value"]

_WORDS: Final[dict[int, Any]] = {4: np.uint32, 8: np.uint64}


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that the replay gives otherwise.

    Attributes:
        sequence: Number of the tick.
        close_ns: When its bars close.
        symbol: Of the value; empty when it is of the account.
        logged: As the log has it.
        replayed: As the replay gives it.
        item: Which of several values of a column it is, such as a component of an observation.
    """

    sequence: int
    close_ns: int
    symbol: str
    logged: object
    replayed: object
    item: str = ""


@dataclass(frozen=True, slots=True)
class ColumnFinding:
    """One column of the log, compared.

    Attributes:
        column: Its name, such as `risk.max_drawdown`.
        compared: How many values were compared.
        different: How many of them differ.
        first: The first of these; None when all are equal.
    """

    column: str
    compared: int
    different: int
    first: Difference | None


class Findings:
    """Collects comparisons, column by column."""

    def __init__(self) -> None:
        self._columns: dict[str, ColumnFinding] = {}

    @property
    def columns(self) -> tuple[ColumnFinding, ...]:
        """Every column that was compared, in the order in which it came first."""
        return tuple(self._columns.values())

    @property
    def equal(self) -> bool:
        """Whether no value differs, of those that were compared."""
        return not any(column.different for column in self._columns.values())

    def add(
        self, column: str, compared: int, different: int = 0, first: Difference | None = None
    ) -> None:
        """Adds a comparison to what is known of its column."""
        known = self._columns.get(column)
        if known is not None:
            compared += known.compared
            different += known.different
            firsts = [item for item in (known.first, first) if item is not None]
            first = min(firsts, key=lambda item: item.sequence, default=None)
        self._columns[column] = ColumnFinding(column, compared, different, first)

    def compare_arrays(
        self,
        column: str,
        logged: NDArray[Any],
        replayed: NDArray[Any],
        *,
        sequences: NDArray[np.int64],
        closes_ns: NDArray[np.int64],
        symbols: Sequence[str] | None = None,
        items: Sequence[str] | None = None,
    ) -> NDArray[np.bool_]:
        """Compares numbers by their bits: 0.0 is not −0.0, and NaN is NaN.

        Args:
            column: What they are.
            logged: As the log has them. Shape [n].
            replayed: As the replay gives them. Shape [n].
            sequences: Ticks of the values, rising. Shape [n].
            closes_ns: Their closes. Shape [n].
            symbols: Of the values; none when they are of the account.
            items: What else tells the values apart.

        Returns:
            Where they differ. Shape [n].
        """
        differs: NDArray[np.bool_] = _bits(logged) != _bits(
            replayed.astype(logged.dtype, copy=False)
        )
        count = int(differs.sum())
        first = None
        if count:
            at = int(differs.argmax())
            first = Difference(
                int(sequences[at]),
                int(closes_ns[at]),
                symbols[at] if symbols is not None else "",
                logged[at].item(),
                replayed[at].item(),
                items[at] if items is not None else "",
            )
        self.add(column, len(logged), count, first)
        return differs

    def compare_objects(
        self,
        column: str,
        pairs: Iterable[tuple[object, object]],
        *,
        sequences: Iterable[int],
        closes_ns: Iterable[int],
        symbols: Iterable[str] | None = None,
    ) -> None:
        """Compares what is not an array, each value as logged and as replayed."""
        compared, different, first = 0, 0, None
        names = itertools.repeat("") if symbols is None else symbols
        for (logged, replayed), sequence, close_ns, symbol in zip(
            pairs, sequences, closes_ns, names, strict=symbols is not None
        ):
            compared += 1
            if logged != replayed:
                different += 1
                first = first or Difference(sequence, close_ns, symbol, logged, replayed)
        self.add(column, compared, different, first)

    def compare_maps(
        self,
        prefix: str,
        sequence: int,
        close_ns: int,
        logged: Mapping[str, float],
        replayed: Mapping[str, float],
    ) -> None:
        """Compares named numbers by their bits; one that is missing on a side is None there."""
        for name in dict.fromkeys((*replayed, *logged)):
            ours, theirs = logged.get(name), replayed.get(name)
            same = same_value(ours, theirs)
            first = None if same else Difference(sequence, close_ns, "", ours, theirs)
            self.add(f"{prefix}.{name}", 1, int(not same), first)


def same_value(one: object, other: object) -> bool:
    """Whether two values are equal; numbers to the last bit."""
    if isinstance(one, float) and isinstance(other, float):
        return np.float64(one).tobytes() == np.float64(other).tobytes()
    return one == other


def _bits(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind == "f":
        words: NDArray[Any] = np.ascontiguousarray(values).view(_WORDS[values.dtype.itemsize])
        return words
    return values
