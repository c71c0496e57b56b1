"""The bytes of a file of bars: unpacked, as UTF-8."""

import os
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import IO, Final

from tradewind.errors import MarketDataError
from tradewind.files import FileStamp, check_file
from tradewind.market.reading.packing import unpacked

__all__ = ["MOST_LINE_BYTES", "Content", "open_unchanged", "read_content"]

# Bars in text pack to a third or a tenth. More than a hundredth is a file made to fill memory.
_MOST_UNPACKED: Final = 16 * 2**30
_MOST_RATIO: Final = 100
_SURELY_UNPACKED: Final = 64 * 2**20
_CHUNK: Final = 2**20
MOST_LINE_BYTES: Final = 2**20
"""Most bytes of a line; a table of ten thousand columns has a fiftieth."""

_LOOKED_AT: Final = 64 * 1024
_PARQUET: Final = b"PAR1"
_ARROW: Final = b"ARROW1"


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a file.

    Attributes:
        data: UTF-8 text without a byte order mark; or Parquet, or a file of Arrow (Feather).
        kind: "text", "Parquet" or "Arrow".
        notes: How it was packed and encoded, where that is worth a word.
    """

    data: bytes
    kind: str
    notes: tuple[str, ...]


def read_content(path: Path) -> Content:
    """Reads, unpacks and decodes a file.

    Raises:
        MarketDataError: It cannot be read, is not text, or changed meanwhile.
    """
    with open_unchanged(path) as file, unpacked(path, file) as (inner, notes):
        size = os.fstat(file.fileno()).st_size
        data = _whole(path, file) if inner is file else _limited(path, inner, size)
    if not data:
        what = "the file in it is empty" if notes else "the file is empty"
        raise MarketDataError(f"cannot read {path}: {what}")
    is_parquet = data.startswith(_PARQUET)
    if path.name.lower().endswith(".parquet") and not is_parquet:
        raise MarketDataError(f"cannot read {path}: by its name it is Parquet, but it is not")
    if is_parquet or data.startswith(_ARROW):
        return Content(data, "Parquet" if is_parquet else "Arrow", notes)
    text, encoding = _decoded(path, data)
    return Content(text, "text", (*notes, encoding) if encoding else notes)


@contextmanager
def open_unchanged(path: Path) -> Iterator[FileIO]:
    """Opens a file, and refuses it at the end if it was written to meanwhile.

    Raises:
        MarketDataError: It cannot be read, or it changed.
    """
    try:
        check_file(path)
        with path.open("rb", buffering=0) as file:
            before = FileStamp.of(os.fstat(file.fileno()))
            yield file
            after = FileStamp.of(os.fstat(file.fileno()))
    except OSError as problem:
        raise MarketDataError(f"cannot read {path}: {problem.strerror or problem}") from None
    if before != after:
        raise MarketDataError(
            f"cannot read {path}: it changed while it was read; read it when its writer is done"
        )


def _whole(path: Path, file: FileIO) -> bytes:
    head = file.read(MOST_LINE_BYTES)
    binary = head.startswith((_PARQUET, _ARROW))
    if len(head) == MOST_LINE_BYTES and not binary and b"\n" not in head and b"\r" not in head:
        raise MarketDataError(
            f"cannot read {path}: line 1 has more than {MOST_LINE_BYTES:,} bytes: no table of bars"
        )
    file.seek(0)
    return file.readall()


def _limited(path: Path, file: IO[bytes], packed_size: int) -> bytes:
    limit = max(_SURELY_UNPACKED, min(_MOST_UNPACKED, _MOST_RATIO * packed_size))
    unpacked_data = bytearray()
    while chunk := file.read(_CHUNK):
        unpacked_data += chunk
        if len(unpacked_data) > limit:
            raise MarketDataError(
                f"cannot read {path}: its {packed_size:,} bytes unpack to more than {limit:,}: if "
                "that is right, unpack it yourself"
            )
    return bytes(unpacked_data)


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
