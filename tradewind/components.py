"""Parts of anyone's own: found by a name, or by `package.module:Attribute`.

A door takes one kind of part. Tradewind's own parts have names, and so have those that an installed
package announces as entry points of the door's group. What a door is given comes from the
operator's settings file or from the caller's Python. What a bundle names is never looked up here,
and what a request or a store names is looked up behind `closed_doors`.
"""

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Generic, TypeVar

from tradewind.errors import ComponentError, FieldViolation, TradewindError

__all__ = ["Door", "a_class", "an_instance", "classes_in", "closed_doors"]

Part = TypeVar("Part")
Made = TypeVar("Made")

_PATH: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
# What may come in beside Tradewind's own parts, and the setting that lists it; None is anything.
_GUEST_LIST: ContextVar[tuple[frozenset[str], str] | None] = ContextVar("guests", default=None)


@contextmanager
def closed_doors(guests: Iterable[str], setting: str) -> Iterator[None]:
    """Lets only Tradewind's own parts in within the block, and those on a list of the operator's.

    Everything that reads what a request or a store says runs within such a block: nothing else is
    imported, in whatever field it stands, and an installed package is a stranger like any other.

    Args:
        guests: Names and paths, as the list of the operator has them.
        setting: Where that list is, for the error.
    """
    token = _GUEST_LIST.set((frozenset(guests), setting))
    try:
        yield
    finally:
        _GUEST_LIST.reset(token)


def classes_in(package: str, base: type[Any]) -> Mapping[str, str]:
    """The subclasses of `base` that the modules of a package define, by their `name`: as `own`."""
    found: dict[str, str] = {}
    for entry in pkgutil.iter_modules(importlib.import_module(package).__path__):
        module = importlib.import_module(f"{package}.{entry.name}")
        for key, value in vars(module).items():
            here = getattr(value, "__module__", "") == module.__name__
            if here and isinstance(value, type) and issubclass(value, base) and value is not base:
                found[getattr(value, "name", key)] = f"{module.__name__}:{key}"
    return found


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
        own: Tradewind's own parts by name, each as `package.module:Attribute`, or what gives them;
            imported when asked.
        group: Group of the entry points by which installed packages bring more.
    """

    kind: str
    expected: Expected[Part]
    own: Mapping[str, str] | Callable[[], Mapping[str, str]] = field(default_factory=dict)
    group: str = ""

    def names(self) -> tuple[str, ...]:
        """Every name that may be asked for, Tradewind's own first."""
        own = self.own_parts()
        return (*own, *sorted(set(self._installed()) - set(own)))

    def find(self, wanted: str, at: str) -> Part:
        """The part of that name or path.

        Args:
            wanted: A name, or `package.module:Attribute`.
            at: The field that asks for it, for the error.

        Raises:
            ComponentError: There is none, two have the name, it may not come in, it cannot be
                imported, or it is no part of this kind.
        """
        own, guests = self.own_parts(), _GUEST_LIST.get()
        places = [own[wanted]] if wanted in own else []
        places += [found.value for found in self._installed().get(wanted, [])]
        if len(places) > 1:
            raise self._refused(at, f"{wanted!r} is the name of several: {', '.join(places)}")
        if guests is not None and wanted not in own and wanted not in guests[0]:
            raise self._refused(
                at,
                f"there is no {self.kind} {wanted!r} (there are {self._known()}); code of your own "
                f"is taken here only where the operator's settings list it ({guests[1]})",
            )
        if not places and not _PATH.fullmatch(wanted):
            raise self._refused(
                at,
                f"there is no {self.kind} {wanted!r}; there are {self._known()}, "
                "and `package.module:Attribute` names one of your own",
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
        except (Exception, SystemExit) as no:  # it is someone's own code
            name = getattr(factory, "__qualname__", repr(factory))
            raise self._refused(at, f"{name} raised {type(no).__name__}: {no}") from no

    def _known(self) -> str:
        return ", ".join(self.names()) or "none"

    def own_parts(self) -> Mapping[str, str]:
        """Tradewind's own parts by name."""
        return self.own() if callable(self.own) else self.own

    def _installed(self) -> dict[str, list[EntryPoint]]:
        """Entry points by name; of a closed door, those on the list."""
        found: dict[str, list[EntryPoint]] = {}
        guests = _GUEST_LIST.get()
        for entry in entry_points(group=self.group) if self.group else ():
            if guests is None or entry.name in guests[0]:
                found.setdefault(entry.name, []).append(entry)
        return found

    def _imported(self, path: str, at: str) -> Part:
        module, _, attributes = path.partition(":")
        try:
            found: Any = importlib.import_module(module)
        except (Exception, SystemExit) as no:  # whatever a module does while it is imported
            raise self._refused(
                at, f"{module} cannot be imported: {type(no).__name__}: {no}"
            ) from no
        for name in attributes.split("."):
            try:
                found = getattr(found, name)
            except Exception as no:  # a module may have a __getattr__ of its own
                raise self._refused(at, f"{module} has no {attributes}") from no
        if not self.expected.accepts(found):
            kind = "the class" if isinstance(found, type) else type(found).__name__
            raise self._refused(at, f"{path} is {kind} {getattr(found, '__qualname__', found)!r}")
        part: Part = found
        return part

    def _refused(self, at: str, problem: str) -> ComponentError:
        said = f"{problem}; expected: {self.expected.text}"
        return ComponentError(f"{self.kind} is refused", [FieldViolation(at, said)])
