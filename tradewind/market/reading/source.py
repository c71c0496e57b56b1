"""The bytes of a file of bars: unpacked, as UTF-8."""

import os
import zipfile
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase, BufferedReader, BytesIO
from pathlib import Path
from typing import IO, Final

from tradewind.errors import MarketDataError
from tradewind.files import FileStamp, check_file

__all__ = ["Content", "open_unchanged", "read_content"]

_MAX_UNPACKED: Final = 16 * 2**30
_CHUNK: Final = 16 * 2**20
_LOOKED_AT: Final = 64 * 1024
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
_PARQUET: Final = b"PAR1"
# What ends a name, and what the file must begin with then.
_PROMISES: Final = {
    ".gz": (_GZIP, "gzip"),
    ".zip": (_ZIP, "zip"),
    ".parquet": (_PARQUET, "Parquet"),
}


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a file.

    Attributes:
        data: UTF-8 text without a byte order mark; or Parquet.
        is_parquet: Which of the two.
        notes: How it was packed and encoded, where that is worth a word.
    """

    data: bytes
    is_parquet: bool
    notes: tuple[str, ...]


def read_content(path: Path) -> Content:
    """Reads, unpacks and decodes a file.

    Raises:
        MarketDataError: It cannot be read, is not text, or changed meanwhile.
    """
    data = _read_unchanged(path)
    if not data:
        raise MarketDataError(f"cannot read {path}: the file is empty")
    for ending, (magic, kind) in _PROMISES.items():
        if path.name.lower().endswith(ending) and not data.startswith(magic):
            raise MarketDataError(f"cannot read {path}: by its name it is {kind}, but it is not")
    if data.startswith(_PARQUET):
        return Content(data, is_parquet=True, notes=())
    notes: list[str] = []
    if data.startswith(_GZIP):
        data = _gunzip(path, data)
        notes.append("gzip")
    elif data.startswith(_ZIP):
        data, member = _unzip(path, data)
        notes.append(f"zip, {member}")
    if not data:
        raise MarketDataError(f"cannot read {path}: the file in it is empty")
    text, encoding = _decoded(path, data)
    if encoding:
        notes.append(encoding)
    return Content(text, is_parquet=False, notes=tuple(notes))


@contextmanager
def open_unchanged(path: Path) -> Iterator[BufferedReader]:
    """Opens a file, and refuses it at the end if it was written to meanwhile.

    Raises:
        MarketDataError: It cannot be read, or it changed.
    """
    try:
        check_file(path)
        with path.open("rb") as file:
            before = FileStamp.of(os.fstat(file.fileno()))
            yield file
            after = FileStamp.of(os.fstat(file.fileno()))
    except OSError as problem:
        raise MarketDataError(f"cannot read {path}: {problem.strerror or problem}") from None
    if before != after:
        raise MarketDataError(
            f"cannot read {path}: it changed while it was read; read it when its writer is done"
        )


def _read_unchanged(path: Path) -> bytes:
    with open_unchanged(path) as file:
        return file.read()


def _gunzip(path: Path, data: bytes) -> bytes:
    import gzip

    try:
        with gzip.open(BytesIO(data)) as file:
            return _limited(path, file)
    except (OSError, EOFError, zlib.error) as problem:
        raise MarketDataError(f"cannot read {path}: damaged gzip: {problem}") from None


def _unzip(path: Path, data: bytes) -> tuple[bytes, str]:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            names = [
                name
                for name in archive.namelist()
                if not name.endswith("/") and not name.startswith("__MACOSX/")
            ]
            if "[Content_Types].xml" in names:
                raise MarketDataError(
                    f"cannot read {path}: it is a workbook; save its sheet as CSV"
                )
            if len(names) != 1:
                found = ", ".join(names[:5]) or "none"
                raise MarketDataError(
                    f"cannot read {path}: a zip of bars must hold one file, not {len(names)} "
                    f"({found}); unpack it and name one"
                )
            with archive.open(names[0]) as file:
                return _limited(path, file), names[0]
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, OSError) as problem:
        raise MarketDataError(f"cannot read {path}: damaged zip: {problem}") from None


def _limited(path: Path, file: BufferedIOBase | IO[bytes]) -> bytes:
    unpacked = bytearray()
    while chunk := file.read(_CHUNK):
        unpacked += chunk
        if len(unpacked) > _MAX_UNPACKED:
            raise MarketDataError(f"cannot read {path}: it unpacks to more than 16 GiB")
    return bytes(unpacked)


def _decoded(path: Path, data: bytes) -> tuple[bytes, str]:
    """The text as UTF-8, and what it was when that was something else."""
    data = data.removeprefix(BOM_UTF8)
    head = data[:_LOOKED_AT]
    encoding = ""
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        encoding = "utf-16"
    elif head[1::2].count(0) > 0.4 * len(head) > 0 and head[0::2].count(0) == 0:
        encoding = "utf-16-le"
    elif head[0::2].count(0) > 0.4 * len(head) > 0 and head[1::2].count(0) == 0:
        encoding = "utf-16-be"
    if encoding:
        try:
            text = data.decode(encoding).removeprefix("\ufeff")
        except UnicodeDecodeError as problem:
            raise MarketDataError(
                f"cannot read {path}: begins as UTF-16 and is none at byte {problem.start}"
            ) from None
        data = text.encode()
        encoding = "UTF-16"
    zero = data.find(0)
    if zero >= 0:
        line = data.count(b"\n", 0, zero) + 1
        raise MarketDataError(
            f"cannot read {path}: it is not text: byte {zero} (line {line}) is zero"
        )
    if not encoding and not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            # Every byte has a meaning there: a name that is read wrongly matches no column.
            return data.decode("latin-1").encode(), "Latin-1"
    return data, encoding
