"""Whether a condition holds wherever another one does, judged by their form alone."""

from tradewind.risk.rules.conditions import Condition, Junction, Not, Threshold

__all__ = ["implies"]

_Known = dict[tuple[int, bool, int, bool], bool]


def implies(first: Condition, second: Condition) -> bool:
    """Whether `second` is at least as true as `first`, whatever the metrics are.

    Sound, not complete: what is found holds for every reading, unavailable metrics included; a
    condition that is at least as true for a reason beyond its form is not found.
    """
    return _implies(first, True, second, True, {})


def _implies(first: Condition, wants: bool, second: Condition, wanted: bool, known: _Known) -> bool:
    """As `implies`; of the negation of a condition where what is wanted of it is False."""
    key = (id(first), wants, id(second), wanted)
    if key not in known:
        known[key] = _find(first, wants, second, wanted, known)
    return known[key]


def _find(first: Condition, wants: bool, second: Condition, wanted: bool, known: _Known) -> bool:
    if isinstance(first, Not):
        return _implies(first.part, not wants, second, wanted, known)
    if isinstance(second, Not):
        return _implies(first, wants, second.part, not wanted, known)
    # A negated `all` holds as an `any` of negations does, and the other way round.
    if isinstance(first, Junction) and first.needs_all is not wants:
        return all(_implies(part, wants, second, wanted, known) for part in first.parts)
    if isinstance(second, Junction) and second.needs_all is wanted:
        return all(_implies(first, wants, part, wanted, known) for part in second.parts)
    if isinstance(first, Threshold) and isinstance(second, Threshold):
        tighter, looser = (first, second) if wants else (second, first)
        return wants is wanted and first.metric == second.metric and looser.limit <= tighter.limit
    return (
        isinstance(first, Junction)
        and any(_implies(part, wants, second, wanted, known) for part in first.parts)
    ) or (
        isinstance(second, Junction)
        and any(_implies(first, wants, part, wanted, known) for part in second.parts)
    )
