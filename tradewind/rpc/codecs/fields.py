"""A value and its message, field by field: read and written by one list of what differs."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Any, Generic, TypeVar

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from tradewind.errors import RpcError

__all__ = ["Conversion", "MessageCodec", "by_name", "by_value"]

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True)
class Conversion(Generic[T]):
    """How one field is read and written, where it is not the same on both sides."""

    read: Callable[[Any], T]
    write: Callable[[T], Any]


def by_value(kind: type[E], of: str) -> Conversion[E]:
    """An enumeration that the message has as a text.

    Args:
        kind: The enumeration.
        of: What has it, for the error: "the risk service has decisions of kind".
    """

    def read(text: str) -> E:
        try:
            return kind(text)
        except ValueError:
            raise RpcError(f"{of} {text!r}, unknown here") from None

    return Conversion(read, str)


def by_name(kind: type[E], enum: EnumDescriptor, prefix: str, of: str) -> Conversion[E]:
    """An enumeration of the contract, whose names are ours behind a prefix.

    Args:
        kind: The enumeration.
        enum: That of the contract.
        prefix: Before each of its names.
        of: What has it, for the error.
    """
    named = by_value(kind, of)
    names = {one.number: one.name.removeprefix(prefix) for one in enum.values}
    return Conversion(
        lambda number: named.read(names.get(number, str(number))),
        lambda value: enum.values_by_name[f"{prefix}{value}"].number,
    )


class MessageCodec(Generic[T]):
    """Between values of a class and messages of a type.

    A field has the name of its attribute, unless it is said to have another. What a message may
    lack is None, a list is a tuple, a map a dict.

    Args:
        kind: A dataclass, a NamedTuple, or a model of pydantic.
        message: The type of the messages.
        names: By attribute: the name of its field, where that is another one.
        parts: By attribute: how it, or each of its elements, is read and written.
        without: Attributes that the messages do not have.
    """

    def __init__(
        self,
        kind: type[T],
        message: type[Any],
        *,
        names: Mapping[str, str] | None = None,
        parts: "Mapping[str, Conversion[Any] | MessageCodec[Any]] | None" = None,
        without: Collection[str] = (),
    ) -> None:
        own: Any = kind
        names, parts = names or {}, parts or {}
        attributes = [name for name in _attributes(own) if name not in without]
        described = message.DESCRIPTOR.fields_by_name
        self._kind, self._message = own, message
        self._values = attrgetter(*attributes)
        self._fields = [names.get(name, name) for name in attributes]
        self._reads, self._writes = {}, {}
        for name, field in zip(attributes, self._fields, strict=True):
            self._reads[name], write = _ways(described[field], parts.get(name))
            if write is not None:
                self._writes[field] = write

    def read(self, message: Any, **others: Any) -> T:
        """The value that a message carries.

        Args:
            message: The message.
            others: What it does not have.

        Raises:
            RpcError: A newer service says something that is not known here.
        """
        own = {name: read(message) for name, read in self._reads.items()}
        value: T = self._kind(**own, **others)
        return value

    def write(self, value: T | None) -> Any:
        """The message of a value; None for none."""
        if value is None:
            return None
        written = dict(zip(self._fields, self._values(value), strict=True))
        for field, write in self._writes.items():
            written[field] = write(written[field])
        return self._message(**written)


def _attributes(kind: Any) -> Iterable[str]:
    if is_dataclass(kind):
        return [each.name for each in fields(kind)]
    named: Iterable[str] = kind._fields if issubclass(kind, tuple) else kind.model_fields
    return named


def _ways(
    field: FieldDescriptor, part: Conversion[Any] | MessageCodec[Any] | None
) -> tuple[Callable[[Any], Any], Callable[[Any], Any] | None]:
    """How a field is taken out of a message, and its value written, unless that is as it is."""
    get: Callable[[Any], Any] = attrgetter(field.name)
    if field.is_repeated and part is not None:
        read_one, write_one = part.read, part.write
        return (
            lambda message: tuple(map(read_one, get(message))),
            lambda values: map(write_one, values),
        )
    if field.is_repeated:
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        kind: Callable[[Any], Any] = dict if is_map else tuple
        return lambda message: kind(get(message)), None
    found: Callable[[Any], Any] = get
    if part is not None:
        read = part.read
        found = lambda message: read(get(message))  # noqa: E731
    write = None if part is None else part.write
    if field.has_presence:
        name = field.name
        return lambda message: found(message) if message.HasField(name) else None, write
    return found, write
