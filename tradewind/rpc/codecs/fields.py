"""A value and its message, field by field: read and written by one list of what differs."""

from collections.abc import Callable, Collection, Mapping
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
        kind: A dataclass, or a model of pydantic.
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
        every = [one.name for one in fields(own)] if is_dataclass(own) else list(own.model_fields)
        attributes = [name for name in every if name not in without]
        described = message.DESCRIPTOR.fields_by_name
        self._kind, self._message = own, message
        self._values = attrgetter(*attributes)
        self._ways = [
            (name, names.get(name, name), *_ways(described[names.get(name, name)], parts.get(name)))
            for name in attributes
        ]

    def read(self, message: Any, **others: Any) -> T:
        """The value that a message carries.

        Args:
            message: The message.
            others: What it does not have.

        Raises:
            RpcError: A newer service says something that is not known here.
        """
        value: T = self._kind(**{name: read(message) for name, _, read, _ in self._ways}, **others)
        return value

    def write(self, value: T | None) -> Any:
        """The message of a value; None for none."""
        if value is None:
            return None
        ways = zip(self._ways, self._values(value), strict=True)
        return self._message(**{field: write(one) for (_, field, _, write), one in ways})


def _ways(
    field: FieldDescriptor, part: Conversion[Any] | MessageCodec[Any] | None
) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """How a field is taken out of a message, and what its value is written as."""
    get = attrgetter(field.name)
    if field.is_repeated:
        if part is not None:
            read, write = part.read, part.write
            return lambda message: tuple(map(read, get(message))), lambda values: map(write, values)
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        kind: Callable[[Any], Any] = dict if is_map else tuple
        return lambda message: kind(get(message)), _same
    read, write = (_same, _same) if part is None else (part.read, part.write)
    if field.has_presence:
        name = field.name
        return lambda message: read(get(message)) if message.HasField(name) else None, write
    return (get if part is None else lambda message: read(get(message))), write


def _same(value: Any) -> Any:
    return value
