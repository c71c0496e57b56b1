"""The rule for an archive's pickles: objects of its own classes, plain values, tensors in bounds.

torch reads a tensor's sizes and strides without asking whether they stay inside the record that
holds its numbers. Here each pickle is read once, with stand-ins for everything that it names, and
every tensor is compared with its record.
"""

import io
import pickle
import pickletools
import re
from collections.abc import Mapping
from typing import Any, Final

from tradewind.policy.script.faults import forbidden, unloadable

__all__ = ["check_pickle"]

_ALLOWED: Final = """
    PROTO STOP MARK GLOBAL BINPERSID REDUCE BUILD NEWOBJ NONE NEWTRUE NEWFALSE BININT BININT1
    BININT2 LONG1 BINFLOAT BINUNICODE SHORT_BINUNICODE EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3
    EMPTY_LIST APPEND APPENDS LIST EMPTY_DICT SETITEM SETITEMS DICT BINPUT LONG_BINPUT BINGET
    LONG_BINGET
"""
_OPCODES: Final = frozenset(_ALLOWED.split())
_CLASS: Final = re.compile(r"__torch__(\.\w+)+")
_CUSTOM: Final = re.compile(r"__torch__\.torch\.classes(\.|\Z)")
_ITEM_BYTES: Final = {
    "DoubleStorage": 8,
    "FloatStorage": 4,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "LongStorage": 8,
    "IntStorage": 4,
    "ShortStorage": 2,
    "CharStorage": 1,
    "ByteStorage": 1,
    "BoolStorage": 1,
}
_LISTS: Final = frozenset(
    ("build_intlist", "build_tensorlist", "build_doublelist", "build_boollist", "restore_type_tag")
)
_MOST_DIMENSIONS: Final = 16


def check_pickle(record: str, data: bytes, folder: str, records: Mapping[str, bytes]) -> None:
    """Refuses a pickle that makes what no policy consists of.

    Args:
        record: Its name.
        data: Its bytes.
        folder: Where its tensors' numbers lie: `data` or `constants`.
        records: All records of the archive.

    Raises:
        BundleRuntimeError: It names what is not allowed, or a tensor that its record does not hold.
    """
    try:
        for opcode, argument, place in pickletools.genops(data):
            if opcode.name not in _OPCODES:
                raise forbidden(f"the pickle opcode {opcode.name}", f"{record}:{place}")
            if isinstance(argument, int) and not -(2**63) <= argument < 2**63:
                raise forbidden("a number of more than 64 bits", f"{record}:{place}")
        reader = _Reader(record, data, folder, records)
        reader.load()
        if reader.tell() != len(data):
            raise unloadable(f"{record} goes on after its end")
    except (pickle.UnpicklingError, ValueError, TypeError, KeyError, IndexError) as problem:
        raise unloadable(f"{record} cannot be read: {type(problem).__name__}") from None
    except (EOFError, AttributeError, RecursionError, MemoryError, OverflowError) as problem:
        raise unloadable(f"{record} cannot be read: {type(problem).__name__}") from None


class _Object:
    """Stands in for an object of one of the archive's classes; its state is looked at by nobody."""

    def __setstate__(self, state: object) -> None:
        pass


class _Storage:
    """The numbers of a tensor, as a pickle names them."""

    def __init__(self, count: int) -> None:
        self.count = count


class _Kind:
    """Stands in for a storage class of torch."""

    def __init__(self, item_bytes: int) -> None:
        self.item_bytes = item_bytes


class _Reader(pickle.Unpickler):
    """Makes stand-ins alone: `find_class` gives nothing that does anything."""

    def __init__(self, record: str, data: bytes, folder: str, records: Mapping[str, bytes]) -> None:
        self._file = io.BytesIO(data)
        super().__init__(self._file)
        self._record = record
        self._folder = folder
        self._records = records

    def tell(self) -> int:
        """How far it has read."""
        return self._file.tell()

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name."""
        whole = f"{module}.{name}"
        if _CLASS.fullmatch(whole) and not _CUSTOM.match(whole):
            return _Object
        if module == "torch" and name in _ITEM_BYTES:
            return _Kind(_ITEM_BYTES[name])
        if whole == "torch._utils._rebuild_tensor_v2":
            return self._tensor
        if module == "torch.jit._pickle" and name in _LISTS:
            return _values
        if whole == "collections.OrderedDict":
            return dict
        raise forbidden(f"the class {whole[:100]}", self._record)

    def persistent_load(self, pid: Any) -> _Storage:
        """`("storage", class, key, device, count)`."""
        word, kind, key, device, count = pid
        if word != "storage" or not isinstance(kind, _Kind) or device != "cpu":
            raise forbidden(f"the record of a {word!r:.40} on {device!r:.40}", self._record)
        if type(count) is not int or type(key) is not str or not re.fullmatch(r"\d{1,9}", key):
            raise unloadable(f"{self._record} names no record of numbers")
        held = self._records.get(f"{self._folder}/{key}")
        if held is None or count < 0 or len(held) != count * kind.item_bytes:
            raise forbidden(
                f"{count} numbers of record {self._folder}/{key}",
                self._record,
                "the record does not hold so many",
            )
        return _Storage(count)

    def _tensor(
        self,
        storage: _Storage,
        offset: int,
        sizes: tuple[int, ...],
        strides: tuple[int, ...],
        *_rest: object,
    ) -> _Object:
        numbers = (offset, *sizes, *strides)
        if not isinstance(storage, _Storage) or any(type(each) is not int for each in numbers):
            raise unloadable(f"{self._record} holds a tensor that is none")
        if min(numbers) < 0 or len(sizes) != len(strides) or len(sizes) > _MOST_DIMENSIONS:
            raise unloadable(f"{self._record} holds a tensor that is none")
        empty = 0 in sizes
        last = offset + sum((size - 1) * step for size, step in zip(sizes, strides, strict=True))
        if max(numbers) >= 2**62 or (offset > storage.count if empty else last >= storage.count):
            raise forbidden(
                f"a tensor of sizes {sizes} and strides {strides} at {offset}",
                self._record,
                f"its record holds {storage.count} numbers",
            )
        return _Object()


def _values(values: Any, *_type: object) -> Any:
    return values
