"""Algorithms by name: Tradewind's own, and anyone's."""

from functools import cache
from typing import Final

from stable_baselines3.common.base_class import BaseAlgorithm

from tradewind.components import Door, a_class, classes_in
from tradewind.errors import ComponentError, FieldViolation
from trainer_service.algorithms.algorithm import Algorithm
from trainer_service.algorithms.networks import NetworkSettings

__all__ = ["ALGORITHMS", "find_algorithm"]

_OWN: Final = "trainer_service.algorithms.built_in"

ALGORITHMS: Final[Door[type[Algorithm]]] = Door(
    "algorithm",
    a_class(Algorithm),  # type: ignore[type-abstract]
    lambda: classes_in(_OWN, Algorithm),
    "tradewind.algorithms",
)


def find_algorithm(name: str) -> Algorithm:
    """Gives an algorithm by its name, or by `package.module:Attribute`.

    Raises:
        ComponentError: There is none of that name, or what is there does not say what it must.
    """
    return _made(ALGORITHMS.find(name, "algorithm"))


@cache
def _made(found: type[Algorithm]) -> Algorithm:
    problem = _undeclared(found)
    if problem:
        said = f"{found.__module__}:{found.__qualname__} {problem}"
        raise ComponentError("algorithm is refused", [FieldViolation("algorithm", said)])
    return ALGORITHMS.make(found, "algorithm")


def _undeclared(found: type[Algorithm]) -> str:
    """What a class lacks to be an algorithm; empty where it lacks nothing."""
    name = getattr(found, "name", None)
    if not isinstance(name, str) or not 0 < len(name) <= 48 or not name.isprintable():
        return f"has the name {name!r}; it must be 1 to 48 printable characters"
    if not found.__module__.startswith(_OWN) and name in classes_in(_OWN, Algorithm):
        return f"has the name of Tradewind's own {name}; give it one of its own"
    for attribute, base in (("model_class", BaseAlgorithm), ("network_settings", NetworkSettings)):
        value = getattr(found, attribute, None)
        if not isinstance(value, type) or not issubclass(value, base):
            return f"must have {attribute}, a subclass of {base.__module__}.{base.__qualname__}"
    kinds = getattr(found, "action_kinds", None)
    if not isinstance(kinds, tuple) or not kinds or not {"discrete", "continuous"} >= set(kinds):
        return 'must have action_kinds, a tuple of "discrete" or "continuous" or both'
    return ""
