"""One decision, and its canonical form: the text that is hashed, journaled and stored."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Final, NamedTuple

from pydantic_core import from_json

from risk_service.audit.chain import AuditRow
from tradewind.errors import StorageError
from tradewind.risk.decision import Decision, DecisionKind, DecisionRecord, Halt
from tradewind.risk.pretrade import PreTradeCheck
from tradewind.risk.rules import Action, Breach, Severity, WindowState

__all__ = ["Copies", "JournaledDecision", "record_of"]


class Copies(NamedTuple):
    """What is known of a decision without its payload: the columns to search by, and one thing.

    Attributes:
        has_state: Whether it leaves the account with anything that an account without decisions
            does not have: a halt, or a mark in a rule's window. The database has no such column.
    """

    decision_id: str
    account: str
    kind: str
    action: str
    decided_at: float
    has_state: bool

    @property
    def columns(self) -> tuple[str, str, str, str, float]:
        """What the database has beside the payload."""
        return self[:5]

    @classmethod
    def read(cls, payload: str) -> "Copies":
        """Takes them out of the canonical form of a decision.

        Raises:
            ValueError: It is not JSON.
            LookupError, TypeError, AttributeError: It is not a decision.
        """
        values = from_json(payload)
        windows = values["windows"].values()
        has_state = values["halt"] is not None or any(state["possible"] for state in windows)
        columns = (values[name] for name in cls._fields[:5])
        return cls._make((*columns, has_state))


@dataclass(frozen=True, slots=True)
class JournaledDecision(Decision):
    """A decision, and what is not told of it: the rest of the account's state after it.

    Attributes:
        windows: What the rules with a window remember after this decision.
    """

    windows: Mapping[str, WindowState] = field(default_factory=dict)

    def copies(self) -> Copies:
        """What the database has of it beside its payload."""
        return Copies(
            self.decision_id,
            self.account,
            self.kind.value,
            self.action.name,
            self.decided_at,
            self.has_state,
        )

    @property
    def has_state(self) -> bool:
        """See `Copies`."""
        if self.halt is not None:
            return True
        for state in self.windows.values():  # noqa: SIM110  every answer waits for this
            if state.possible:
                return True
        return False

    def to_json(self) -> str:
        """The canonical form: keys sorted, ASCII, floats in the shortest form that reads back."""
        values: dict[str, Any] = dict(zip(_PLAIN_FIELDS, _plain_values(self), strict=True))
        values["action"] = self.action.name
        values["breaches"] = [_write_breach(breach) for breach in self.breaches]
        values["pre_trade"] = self.pre_trade and _write_slots(self.pre_trade)
        values["halt"] = self.halt and {**_write_slots(self.halt), "action": self.halt.action.name}
        values["windows"] = {key: _write_slots(state) for key, state in self.windows.items()}
        return _ENCODER.encode(values)

    @classmethod
    def from_json(cls, text: str) -> "JournaledDecision":
        """Reads the canonical form.

        Raises:
            StorageError: It is not one.
        """
        try:
            values: dict[str, Any] = {**_LATER_FIELDS, **json.loads(text)}
            halt, pre_trade = values["halt"], values["pre_trade"]
            return cls(
                **{name: values[name] for name in _PLAIN_FIELDS if name != "kind"},
                kind=DecisionKind(values["kind"]),
                action=Action[values["action"]],
                breaches=tuple(_read_breach(breach) for breach in values["breaches"]),
                pre_trade=pre_trade and PreTradeCheck(**pre_trade),
                halt=halt and Halt(**{**halt, "action": Action[halt["action"]]}),
                windows={
                    key: WindowState(
                        state["evaluation_count"],
                        tuple(state["certain"]),
                        tuple(state["possible"]),
                    )
                    for key, state in values["windows"].items()
                },
            )
        except (KeyError, TypeError, ValueError) as problem:
            raise StorageError(f"a recorded decision cannot be read: {problem!r}") from None


_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_FIELDS: Final = tuple(each.name for each in fields(Decision))
_PLAIN_FIELDS: Final = tuple(
    name for name in _FIELDS if name not in ("action", "breaches", "pre_trade", "halt")
)
_LATER_FIELDS: Final = {"overlay_digest": ""}
"""What rows of earlier releases do not have, and what they mean by it."""
_plain_values: Final = attrgetter(*_PLAIN_FIELDS)


def record_of(row: AuditRow) -> DecisionRecord:
    """The decision of a row, and its place in the trail.

    Raises:
        StorageError: It cannot be read.
    """
    decision = JournaledDecision.from_json(row.payload)
    return DecisionRecord(
        **{name: getattr(decision, name) for name in _FIELDS},
        sequence=row.sequence,
        previous_hash=row.previous_hash,
        row_hash=row.row_hash,
    )


def _write_slots(value: PreTradeCheck | Halt | WindowState) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def _write_breach(breach: Breach) -> dict[str, Any]:
    return {name: getattr(breach, name) for name in breach.__slots__} | {
        "action": breach.action.name
    }


def _read_breach(values: Mapping[str, Any]) -> Breach:
    return Breach(
        **{
            **values,
            "action": Action[values["action"]],
            "severity": Severity(values["severity"]),
        }
    )
