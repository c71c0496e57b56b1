"""JSON that has one meaning: no repeated key, no number that is none."""

from typing import Any, NoReturn

__all__ = ["refuse_constant", "unique_keys"]


def refuse_constant(name: str) -> NoReturn:
    """`parse_constant` of json.loads: NaN and infinities are no JSON."""
    raise ValueError(f"{name} is not JSON")


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """`object_pairs_hook` of json.loads."""
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"key {key!r} is repeated")
            seen.add(key)
    return values
