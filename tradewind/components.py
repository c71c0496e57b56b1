"""Parts of anyone's own: found by a name, or by `package.module:Attribute`.

A door takes one kind of part. Tradewind's own parts have names, and so have those that an installed
package announces as entry points of the door's group. What a door is given comes from the
operator's settings file or from the caller's Python. What a request, a bundle or a store names is
never looked up here.
"""

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Generic, TypeVar

from tradewind.errors import ComponentError, FieldViolation, TradewindError

__all__ = ["Door", "a_class", "an_instance"]

Part = TypeVar("Part")
Made = TypeVar("Made")

_PATH: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True)
class Expected(Generic[Part]):
    """What a door lets in: how a person calls it, and what tells it."""

    text: str
    accepts: Callable[[object], bool]


def a_class(base: type[Part], named: str = "") -> Expected[type[Part]]:
    """Any subclass of `base`; `named` is where people import that from."""
    text = f"a subclass of {named or f'{base.__module__}.{base.__qualname__}'}"
    return Expected(text, lambda found: isinstance(found, type) and issubclass(found, base))


def an_instance(base: type[Part]) -> Expected[Part]:
    """Any instance of `base`."""
    text = f"an instance of {base.__module__}.{base.__qualname__}"
    return Expected(text, lambda found: isinstance(found, base))


@dataclass(frozen=True)
class Door(Generic[Part]):
    """Where parts of one kind come in.

    Attributes:
        kind: What the parts are called, e.g. "broker".
        expected: What a part must be.
        own: Tradewind's own parts by name, each as `package.module:Attribute`; imported when asked.
        group: Group of the entry points by which installed packages bring more.
    """

    kind: str
    expected: Expected[Part]
    own: Mapping[str, str] = field(default_factory=dict)
    group: str = ""

    def names(self) -> tuple[str, ...]:
        """Every name that there is, Tradewind's own first."""
        return (*self.own, *sorted(set(self._installed()) - set(self.own)))

    def find(self, wanted: str, at: str) -> Part:
        """The part of that name or path.

        Args:
            wanted: A name, or `package.module:Attribute`.
            at: The field that asks for it, for the error.

        Raises:
            ComponentError: There is none, two have the name, it cannot be imported, or it is no
                part of this kind.
        """
        installed = self._installed().get(wanted, [])
        places = [self.own[wanted]] if wanted in self.own else []
        places += [found.value for found in installed]
        if len(places) > 1:
            raise self._refused(at, f"{wanted!r} is the name of several: {', '.join(places)}")
        if not places and not _PATH.fullmatch(wanted):
            raise self._refused(
                at,
                f"there is no {self.kind} {wanted!r}; there are {', '.join(self.names())}, and "
                f"`package.module:Attribute` names one of your own",
            )
        return self._imported(places[0] if places else wanted, at)

    def make(self, factory: Callable[..., Made], at: str, *args: Any, **options: Any) -> Made:
        """Calls what makes a part; whatever it raises is said with the field.

        Raises:
            ComponentError: It raised something that is no error of Tradewind's.
        """
        try:
            return factory(*args, **options)
        except TradewindError:
            raise
        except Exception as no:  # it is someone's own code
            name = getattr(factory, "__qualname__", repr(factory))
            raise self._refused(at, f"{name} raised {type(no).__name__}: {no}") from no

    def _installed(self) -> dict[str, list[EntryPoint]]:
        found: dict[str, list[EntryPoint]] = {}
        for entry in entry_points(group=self.group) if self.group else ():
            found.setdefault(entry.name, []).append(entry)
        return found

    def _imported(self, path: str, at: str) -> Part:
        module, _, attributes = path.partition(":")
        try:
            found: Any = importlib.import_module(module)
        except Exception as no:  # whatever a module of someone's own does while it is imported
            raise self._refused(
                at, f"{module} cannot be imported: {type(no).__name__}: {no}"
            ) from no
        for name in attributes.split("."):
            if not hasattr(found, name):
                raise self._refused(at, f"{module} has no {attributes}")
            found = getattr(found, name)
        if not self.expected.accepts(found):
            kind = "the class" if isinstance(found, type) else type(found).__name__
            raise self._refused(at, f"{path} is {kind} {getattr(found, '__qualname__', found)!r}")
        part: Part = found
        return part

    def _refused(self, at: str, problem: str) -> ComponentError:
        said = f"{problem}; expected: {self.expected.text}"
        return ComponentError(f"{self.kind} is refused", [FieldViolation(at, said)])
