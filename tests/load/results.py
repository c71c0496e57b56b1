"""Every call of a load: its latency, to the microsecond, and what came of it.

Locust's own statistics round latencies to milliseconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["OK", "WRONG", "Calls", "Results"]

OK: Final = "OK"
WRONG: Final = "WRONG ANSWER"


@dataclass
class Results:
    """Notes calls as they end."""

    _names: list[str] = field(default_factory=list)
    _began_s: list[float] = field(default_factory=list)
    _latencies_ms: list[float] = field(default_factory=list)
    _outcomes: list[str] = field(default_factory=list)

    def add(self, name: str, began_s: float, latency_ms: float, outcome: str) -> None:
        """Notes a call."""
        self._names.append(name)
        self._began_s.append(began_s)
        self._latencies_ms.append(latency_ms)
        self._outcomes.append(outcome)

    def write(self, path: Path) -> None:
        """Writes them all."""
        np.savez(
            path,
            names=np.array(self._names, dtype=np.str_),
            began_s=np.array(self._began_s),
            latencies_ms=np.array(self._latencies_ms),
            outcomes=np.array(self._outcomes, dtype=np.str_),
            allow_pickle=False,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Calls:
    """Calls of a load, a row of each array for each.

    Attributes:
        names: What was called.
        began_s: When, in seconds since the epoch.
        latencies_ms: How long it took.
        outcomes: `OK`, `WRONG`, or the code of the status.
    """

    names: NDArray[np.str_]
    began_s: NDArray[np.float64]
    latencies_ms: NDArray[np.float64]
    outcomes: NDArray[np.str_]

    @classmethod
    def read(cls, path: Path) -> "Calls":
        """Reads what `Results.write` wrote."""
        with np.load(path) as columns:
            return cls(**{name: columns[name] for name in cls.__slots__})

    def __len__(self) -> int:
        return len(self.names)

    def where(self, chosen: NDArray[np.bool_]) -> "Calls":
        """Some of them."""
        return Calls(*(getattr(self, name)[chosen] for name in self.__slots__))

    def between(self, start_s: float, end_s: float) -> "Calls":
        """Those that began in a stretch of time."""
        return self.where((self.began_s >= start_s) & (self.began_s < end_s))

    def named(self, *names: str) -> "Calls":
        """Those of some methods."""
        return self.where(np.isin(self.names, names))

    def with_outcome(self, *outcomes: str) -> "Calls":
        """Those that ended so."""
        return self.where(np.isin(self.outcomes, outcomes))

    def percentiles_ms(self, percentages: Sequence[float]) -> list[float]:
        """Percentiles of the latency; NaN without any call."""
        if not len(self):
            return [float("nan")] * len(percentages)
        return [float(value) for value in np.percentile(self.latencies_ms, percentages)]
