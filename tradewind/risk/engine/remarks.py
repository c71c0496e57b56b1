"""What a result says beside its numbers, in words."""

from collections.abc import Collection, Hashable, Sequence
from typing import Final, NamedTuple, TypeAlias

from tradewind.risk.engine.result import CODE
from tradewind.risk.engine.snapshot import names_of
from tradewind.risk.inputs import FloatArray, RiskInputs
from tradewind.risk.reasons import (
    FIELD_SPAN,
    NOTES,
    SAID,
    describe_reason,
    names_an_element,
)

__all__ = ["NO_REMARKS", "RemarkBook", "Remarks"]

MOST_KEPT: Final = 256
_NOT_KEPT: Final = "its calculator said why before this state was saved"
_Codes: TypeAlias = bytes | tuple[bytes, tuple[str, ...]]


class Remarks(NamedTuple):
    """The words of a report; its fields of these names."""

    unavailable: dict[str, str]
    notes: dict[str, str]
    unchecked_limits: tuple[str, ...]


NO_REMARKS: Final = Remarks({}, {}, ())


class RemarkBook:
    """Puts the remarks of results into words, and keeps them: most results say the same again.

    Safe to share between threads.

    Args:
        metrics: In the order of the columns.
        limited: Those that have a limit.
    """

    def __init__(self, metrics: Sequence[str], limited: Collection[str]) -> None:
        self._metrics = metrics
        self._limited = limited
        self._kept: dict[Hashable, Remarks] = {}
        self._named: set[_Codes] = set()  # codes of results whose reasons call something by name

    def describe(
        self, result: FloatArray, snapshot: RiskInputs, said: tuple[str, ...] = ()
    ) -> Remarks:
        """The remarks of a result.

        Args:
            result: A kernel's answer. Shape [4, metrics + 2].
            snapshot: The inputs, to name the symbols in reasons.
            said: Reasons that calculators from outside gave.
        """
        codes: _Codes = (result[CODE:].tobytes(), said) if said else result[CODE:].tobytes()
        key = (codes, names_of(snapshot)) if codes in self._named else codes
        remarks = self._kept.get(key)
        return self._read(codes, result, snapshot, said) if remarks is None else remarks

    def _read(
        self, codes: _Codes, result: FloatArray, snapshot: RiskInputs, said: tuple[str, ...]
    ) -> Remarks:
        unavailable: dict[str, str] = {}
        notes: dict[str, str] = {}
        # The columns of the score and the penalty hold no codes.
        columns = zip(*result[CODE:, : len(self._metrics)].tolist(), strict=True)
        has_named = False
        for metric, (code, at, other) in zip(self._metrics, columns, strict=True):
            if code == SAID * FIELD_SPAN:
                unavailable[metric] = said[int(at)] if said else _NOT_KEPT
            elif code > 0.0:
                unavailable[metric] = describe_reason(code, at, other, snapshot)
                has_named = has_named or names_an_element(code, at)
            elif code < 0.0:
                notes[metric] = NOTES[-int(code)]
        unchecked = tuple(metric for metric in unavailable if metric in self._limited)
        remarks = Remarks(unavailable, notes, unchecked)
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
            self._named.clear()
        if has_named:
            self._named.add(codes)
        self._kept[(codes, names_of(snapshot)) if has_named else codes] = remarks
        return remarks
