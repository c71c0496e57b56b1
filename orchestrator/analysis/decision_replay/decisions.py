"""The decisions of a log, in groups that one network answered in the same way."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestrator.analysis.decision_replay.ticks import integers
from orchestrator.decision_log import DecisionLog
from tradewind.risk import FloatArray

__all__ = ["DecisionGroup", "group_decisions"]


@dataclass(frozen=True, slots=True, eq=False)
class DecisionGroup:
    """n decisions of one network on k symbols, oldest first.

    Attributes:
        policy: Who was asked.
        version: What answered; empty when nothing did, like the next one.
        bundle_sha256: Its network.
        symbols: What it decided on.
        rows: Ticks of the decisions. Shape [n], like all but the last five.
        closes_ns: Closes of these ticks.
        request_ids: Of the calls.
        observations: As bytes.
        reasons: Why an answer was not used; empty when it was.
        variants: What the routing chose.
        actions: Of discrete policies; -1 where there is none.
        action_values: Of continuous policies.
        exposures: As observed. Shape [n, k], like the next two.
        unrealized_returns: As observed.
        bars_held: As observed.
        targets: NaN where a quantity is kept. Shape [n, k].
    """

    policy: str
    version: str
    bundle_sha256: str
    symbols: tuple[str, ...]
    rows: NDArray[np.int64]
    closes_ns: NDArray[np.int64]
    request_ids: list[str]
    observations: list[bytes]
    reasons: list[str]
    variants: list[str]
    actions: NDArray[np.int64]
    action_values: list[list[float]]
    exposures: FloatArray
    unrealized_returns: FloatArray
    bars_held: NDArray[np.int64]
    targets: FloatArray

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Where there is an action. Shape [n]."""
        numbers = np.array([bool(values) for values in self.action_values])
        answered: NDArray[np.bool_] = (self.actions >= 0) | numbers
        return answered

    def observed(self, size: int) -> NDArray[np.float32]:
        """What was observed; NaN where it has another size. Shape [n, size]."""
        found = np.full((len(self.rows), size), np.nan, dtype=np.float32)
        for row, data in enumerate(self.observations):
            if len(data) == 4 * size:
                found[row] = np.frombuffer(data, dtype="<f4")
        return found


def group_decisions(log: DecisionLog, ticks: pa.Table) -> list[DecisionGroup]:
    """The decisions of some ticks."""
    flat = log.flat("decisions", ticks)
    columns = {name: flat[name].to_pylist() for name in flat.column_names if name != "close_ns"}
    closes = integers(flat["close_ns"])
    places: dict[tuple[Any, ...], list[int]] = {}
    for at, key in enumerate(
        zip(
            columns["policy"],
            columns["version"],
            columns["bundle_sha256"],
            map(tuple, columns["symbols"]),
            strict=True,
        )
    ):
        places.setdefault(key, []).append(at)
    return [_group(key, chosen, columns, closes) for key, chosen in places.items()]


def _group(
    key: tuple[Any, ...],
    chosen: list[int],
    columns: dict[str, list[Any]],
    closes: NDArray[np.int64],
) -> DecisionGroup:
    def take(name: str) -> list[Any]:
        return [columns[name][at] for at in chosen]

    policy, version, bundle_sha256, symbols = key
    width = len(symbols)
    return DecisionGroup(
        policy=policy,
        version=version,
        bundle_sha256=bundle_sha256,
        symbols=symbols,
        rows=np.array(take("sequence"), dtype=np.int64),
        closes_ns=closes[chosen],
        request_ids=take("request_id"),
        observations=take("observation"),
        reasons=take("reason"),
        variants=take("variant"),
        actions=np.array([-1 if it is None else it for it in take("action")], dtype=np.int64),
        action_values=take("action_values"),
        exposures=_matrix(take("exposures"), width, np.nan),
        unrealized_returns=_matrix(take("unrealized_returns"), width, np.nan),
        bars_held=_matrix(take("bars_held"), width, -1),
        targets=_matrix(take("targets"), width, np.nan),
    )


def _matrix(lists: list[list[Any]], width: int, absent: float) -> NDArray[Any]:
    """Lists as rows; what is missing is `absent`."""
    rows = [
        [absent if value is None else value for value in [*values, *[None] * width][:width]]
        for values in lists
    ]
    return np.array(rows, dtype=type(absent)).reshape(len(lists), width)
