"""Archives that no scripting makes: text, pickles and zip files written by hand."""

import io
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["archives"]

FORBIDDEN = "MODEL_OPERATION_FORBIDDEN"
UNLOADABLE = "MODEL_UNLOADABLE"
_GOOD = Path(__file__).parents[1] / "contract/bundle/store_v1/tiny-dqn/2026-11-22.1/policy.pt"

Records = dict[str, bytes]


def archives(path: str) -> Iterator[tuple[str, bytes, str]]:
    """Name, bytes and the reason of the refusal of each.

    Args:
        path: A file that is none of a network's business.
    """
    for name, line in _lines(path):
        yield f"text: {name}", pack(_with_line(records(), line)), FORBIDDEN
    for name, change, reason in _CODES:
        changed = records()
        code = _code_of(changed)
        changed[code] = change(changed[code].decode()).encode()
        yield f"text: {name}", pack(changed), reason
    for name, data, reason in _pickles():
        yield f"pickle: {name}", pack(records() | {"data.pkl": data}), reason
    yield from _tensors()
    yield from _zips()


def records() -> Records:
    """Those of a good network."""
    with zipfile.ZipFile(_GOOD) as archive:
        return {each.filename.partition("/")[2]: archive.read(each) for each in archive.infolist()}


def pack(changed: Records, root: str = "archive", method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of records."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in changed.items():
            archive.writestr(f"{root}/{name}", data)
    return buffer.getvalue()


def _code_of(changed: Records) -> str:
    return next(name for name in changed if name.startswith("code/") and name.endswith(".py"))


def _with_line(changed: Records, line: str) -> Records:
    """Puts a line at the beginning of the first method."""
    code = _code_of(changed)
    text = changed[code].decode()
    at = text.index("\n", text.index("-> Tensor:")) + 1
    changed[code] = (
        text[:at] + "".join(f"    {each}\n" for each in line.split("\n")) + text[at:]
    ).encode()
    return changed


def _lines(path: str) -> Iterator[tuple[str, str]]:
    file = f'"{path}", True, 4, dtype=0'
    yield "an operation by its namespace", f"_z = ops.aten.from_file({file})"
    yield "an operation by torch", f"_z = torch.from_file({file})"
    yield "an operation under another name", f"f = torch.from_file\n_z = f({file})"
    yield "an operation as a method of a tensor", f"_z = torch.ones([1]).from_file({file})"
    yield "an operation by getattr", f'_z = getattr(torch, "from_file")({file})'
    yield "an operation in a list", f"_z = [torch.from_file][0]({file})"
    yield "an operation in a subscript", f"_z = torch.ones([1])[torch.from_file({file})]"
    yield (
        "an operation in a keyword",
        f"_z = torch.ones([1], dtype=torch.len(torch.from_file({file})))",
    )
    yield "a name that is shadowed", f"relu = torch\n_z = relu.from_file({file})"
    yield "torch as a name of its own", "torch = torch.ones([1])"
    yield "an alias that is changed", "_f = __torch__.a.b\n_f = torch.from_file\n_z = _f(1)"
    yield "another namespace", '_z = ops.quantized.linear_unpack("x")'
    yield "an operation that prints", 'ops.prim.Print("x")'
    yield "a call to another machine", '_z = ops.prim.rpc_async("x", "y")'
    yield "a custom class", "_z = __torch__.torch.classes.quantized.Conv2dPackedParamsBase()"
    yield "a fork", "_z = fork(torch.ones, [1])"
    yield "a weight that is assigned", "self.weight = torch.ones([1])"
    yield "an element that is assigned", "CONSTANTS.c0[0] = 1"
    yield "a lambda", "_z = lambda x: x"
    yield "an import", "import os"
    yield "a with", "with torch.ones([1]):\n  pass"
    yield "a try", "try:\n  pass\nexcept:\n  pass"
    yield "a comprehension", "_z = [torch.ones([1]) for _ in range(3)]"
    yield "a formatted string", '_z = f"{torch}"'
    yield "bytes", '_z = b"x"'
    yield "a starred argument", "_z = torch.ones(*[1])"
    yield "an argument by two stars", "_z = torch.ones(**{})"


_CODES: tuple[tuple[str, Callable[[str], str], str], ...] = (
    (
        "a method that is named as an operation",
        lambda text: text + "  def from_file(self, x: Tensor) -> Tensor:\n    return x\n",
        FORBIDDEN,
    ),
    (
        "a method that torch calls",
        lambda text: text + "  def __setstate__(self, x: Tensor) -> None:\n    return None\n",
        FORBIDDEN,
    ),
    (
        "a decorator",
        lambda text: text.replace("  def forward", "  @torch\n  def forward", 1),
        FORBIDDEN,
    ),
    ("code outside of methods", lambda text: text + 'x = torch.from_file("x")\n', FORBIDDEN),
    (
        "a custom class as a type",
        lambda text: text.replace(
            "__parameters__ = []", "__parameters__ = []\n  x : __torch__.torch.classes.a.B", 1
        ),
        FORBIDDEN,
    ),
    ("another encoding", lambda text: "# -*- coding: utf-7 -*-\n" + text + "+AGE-\n", UNLOADABLE),
    ("no code", lambda text: "def (", UNLOADABLE),
    ("brackets without end", lambda text: "x = " + "(" * 5_000, UNLOADABLE),
    ("names without end", lambda text: text + "\nx = a" + ".a" * 50_000 + "\n", UNLOADABLE),
    (
        "a megabyte of it",
        lambda text: text + "\n".join("#" * 80 for _ in range(30_000)),
        UNLOADABLE,
    ),
)


class _Runs:
    """What Python would call when it unpickles this."""

    def __init__(self, *what: object) -> None:
        self._what = what

    def __reduce__(self) -> tuple[object, ...]:
        return (exec, self._what)


def _pickles() -> Iterator[tuple[str, bytes, str]]:
    yield "a call of Python", pickle.dumps(_Runs("raise SystemExit"), protocol=2), FORBIDDEN
    yield "a class by the stack", pickle.dumps(_Runs("raise SystemExit"), protocol=4), FORBIDDEN
    yield "an instance", b"(ios\nsystem\n.", FORBIDDEN
    yield "an extension", b"\x80\x02\x82\x01.", FORBIDDEN
    yield "a custom class", b"\x80\x02c__torch__.torch.classes.a\nB\n.", FORBIDDEN
    yield "another function of torch", b"\x80\x02ctorch\nload\n.", FORBIDDEN
    yield "a large number", b"\x80\x02\x8a\x20" + b"\xff" * 31 + b"\x7f.", FORBIDDEN
    yield "more after the end", b"\x80\x02N.N.", UNLOADABLE
    yield "no end", b"\x80\x02N", UNLOADABLE
    yield "nothing", b"", UNLOADABLE


def _tensor(count: int, offset: int, size: int, stride: int, kind: str = "FloatStorage") -> bytes:
    """A pickle of one tensor over record data/0, as torch writes them."""

    def number(value: int) -> bytes:
        return b"\x8a\x08" + struct.pack("<q", value)

    storage = (
        b"(X\x07\x00\x00\x00storagectorch\n"
        + kind.encode()
        + b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        + number(count)
        + b"tQ"
    )
    arguments = storage + number(offset) + number(size) + b"\x85" + number(stride) + b"\x85\x89"
    hooks = b"ccollections\nOrderedDict\n)R"
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + hooks + b"tR."


def _tensors() -> Iterator[tuple[str, bytes, str]]:
    for name, data, reason in (
        ("that begins behind its record", _tensor(4, 100, 1, 1), FORBIDDEN),
        ("that ends behind its record", _tensor(4, 0, 5, 1), FORBIDDEN),
        ("that strides over its record", _tensor(4, 0, 2, 1_000), FORBIDDEN),
        ("that strides backwards", _tensor(4, 3, 2, -1), UNLOADABLE),
        ("of a record that is shorter", _tensor(400, 0, 1, 1), FORBIDDEN),
        ("of another type", _tensor(4, 0, 1, 1, "DoubleStorage"), FORBIDDEN),
        ("of an unknown type", _tensor(4, 0, 1, 1, "UntypedStorage"), FORBIDDEN),
    ):
        changed = records() | {"data.pkl": data, "data/0": bytes(16)}
        yield f"a tensor {name}", pack(changed), reason


def _zips() -> Iterator[tuple[str, bytes, str]]:
    good, code = pack(records()), _code_of(records())
    other = pack(_with_line(records(), '_z = torch.from_file("x", True, 4)'))
    yield "zip: two archives", other + good, UNLOADABLE
    yield "zip: something before it", b"#!/bin/sh\n" + good, UNLOADABLE
    yield "zip: something behind it", good + b"PK\x05\x06" + bytes(18), UNLOADABLE
    yield "zip: a comment that is an archive", _commented(good, other[-200:]), UNLOADABLE
    yield "zip: cut short", good[:-30], UNLOADABLE
    yield "zip: two records of a name", _twice(code, code), UNLOADABLE
    yield "zip: two records but for case", _twice(code, code.upper()), UNLOADABLE
    yield (
        "zip: another name in the record's own header",
        good.replace(f"archive/{code}".encode(), f"archive/{code[:-4]}z.py".encode(), 1),
        UNLOADABLE,
    )
    yield "zip: bytes between two records", _with_gap(good), UNLOADABLE
    yield "zip: a path out of it", pack(records() | {"../../etc/passwd": b"x"}), UNLOADABLE
    yield "zip: two folders", pack(records(), "a/b"), UNLOADABLE
    yield "zip: a record with no place", pack(records() | {"bytecode.pkl": b"N."}), UNLOADABLE
    yield "zip: sources to be unpickled", pack(records() | {"extra/x": b"."}), UNLOADABLE
    yield "zip: compressed weights", _bomb("data/9"), UNLOADABLE
    yield "zip: a bomb of code", _bomb("code/__torch__/bomb.py"), UNLOADABLE
    yield "zip: big-endian", pack(records() | {"byteorder": b"big"}), UNLOADABLE
    yield "zip: no version", pack({**records(), "version": b"x"}), UNLOADABLE
    yield "zip: nothing", pack({}), UNLOADABLE
    yield "no zip", b"\x80\x02N." * 100, UNLOADABLE


def _twice(first: str, second: str) -> bytes:
    buffer = io.BytesIO(pack(records()))
    with zipfile.ZipFile(buffer, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are two is the point
        archive.writestr(f"archive/{second}", records()[first])
    return buffer.getvalue()


def _commented(good: bytes, comment: bytes) -> bytes:
    buffer = io.BytesIO(good)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = comment
    return buffer.getvalue()


def _bomb(name: str) -> bytes:
    """64 MB in 64 kB."""
    buffer = io.BytesIO(pack(records()))
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"archive/{name}", bytes(1 << 26))
    return buffer.getvalue()


def _with_gap(good: bytes) -> bytes:
    """The same directory, every place in it moved by some bytes that no record owns."""
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        entries = archive.infolist()
        first_end = min(each.header_offset for each in entries if each.header_offset > 0)
        start = archive.start_dir
    hidden = b"PK\x03\x04 hidden"
    directory = bytearray(good[start:])
    at = 0
    while directory[at : at + 4] == b"PK\x01\x02":
        (offset,) = struct.unpack_from("<I", directory, at + 42)
        if offset:
            struct.pack_into("<I", directory, at + 42, offset + len(hidden))
        lengths = struct.unpack_from("<HHH", directory, at + 28)
        at += 46 + sum(lengths)
    (begin,) = struct.unpack_from("<I", directory, at + 16)
    struct.pack_into("<I", directory, at + 16, begin + len(hidden))
    return good[:first_end] + hidden + good[first_end:start] + bytes(directory)
