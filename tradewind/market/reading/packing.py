"""A file's bytes as they are read: unpacked, and of Databento's encoding as text."""

import bz2
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa

from tradewind.errors import MarketDataError

__all__ = ["unpacked"]

_CHUNK: Final = 2**20
_ZIP: Final = b"PK\x03\x04"
_DBN: Final = b"DBN"
_MAGIC: Final = {
    b"\x1f\x8b": "gzip",
    _ZIP: "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
}
# What ends a name, and what the file must begin with then.
_PROMISES: Final = {
    ".gz": "gzip", ".zip": "zip", ".zst": "zstd", ".bz2": "bzip2", ".xz": "xz",
}  # fmt: skip
_DAMAGE: Final = (
    EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, pa.ArrowException, OSError,
    RuntimeError, NotImplementedError,
)  # fmt: skip


@contextmanager
def unpacked(path: Path, file: IO[bytes]) -> Iterator[tuple[IO[bytes], tuple[str, ...]]]:
    """What is in a file, and how it was packed.

    Args:
        path: Its name, for errors.
        file: The file, at its beginning.

    Raises:
        MarketDataError: It is not what its name says, or damaged; or a zip does not hold one file.
        ImportError: It is Databento's encoding, and databento-dbn is not installed.
    """
    magic = file.read(8)
    file.seek(0)
    kind = next((kind for begin, kind in _MAGIC.items() if magic.startswith(begin)), "")
    for ending, promised in _PROMISES.items():
        if path.name.lower().endswith(ending) and kind != promised and magic:
            raise MarketDataError(
                f"cannot read {path}: by its name it is {promised}, but it is not"
            )
    try:
        inner, notes = _opened(path, file, kind)
        head = inner.read(len(_DBN)) if kind else magic[: len(_DBN)]
        if head == _DBN:
            raw = _Decoded(path, inner, head if kind else b"")
            yield io.BufferedReader(raw, _CHUNK), (*notes, "DBN")
        elif kind:
            yield io.BufferedReader(_Again(head, inner), _CHUNK), notes
        else:
            yield file, ()
    except _DAMAGE as problem:
        if not kind:
            raise
        raise MarketDataError(f"cannot read {path}: damaged {kind}: {problem}") from None


def _opened(path: Path, file: IO[bytes], kind: str) -> tuple[Any, tuple[str, ...]]:
    if kind == "zip":
        return _member(path, file)
    if kind == "gzip":
        import gzip

        return gzip.GzipFile(fileobj=file), (kind,)
    if kind == "bzip2":
        return bz2.BZ2File(file), (kind,)
    if kind == "xz":
        return lzma.LZMAFile(file), (kind,)
    if kind == "zstd":
        return pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd"), (kind,)
    return file, ()


def _member(path: Path, file: IO[bytes]) -> tuple[IO[bytes], tuple[str, ...]]:
    archive = zipfile.ZipFile(file)
    names = [
        name
        for name in archive.namelist()
        if not name.endswith("/") and not name.startswith("__MACOSX/")
    ]
    if "[Content_Types].xml" in names:
        raise MarketDataError(f"cannot read {path}: it is a workbook; save its sheet as CSV")
    if len(names) != 1:
        found = ", ".join(names[:5]) or "none"
        raise MarketDataError(
            f"cannot read {path}: a zip of bars must hold one file, not {len(names)} "
            f"({found}); unpack it and name one"
        )
    return archive.open(names[0]), (f"zip, {names[0]}",)


class _Again(io.RawIOBase):
    """A stream with what was read of it before it."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head or self._rest.read(len(buffer))
        self._head = b""
        buffer[: len(data)] = data
        return len(data)


class _Decoded(io.RawIOBase):
    """Databento's records as its CSV, in which prices are integers of 1e-9."""

    def __init__(self, path: Path, file: Any, head: bytes) -> None:
        try:
            import databento_dbn as dbn
        except ModuleNotFoundError as missing:
            raise ImportError(
                "reading Databento's DBN needs: pip install 'tradewind[databento]'"
            ) from missing
        self._path = path
        self._file = file
        self._text = io.BytesIO()
        self._head = head
        self._left = b""
        self._done = False
        self._errors = (dbn.DBNError, ValueError)
        self._transcoder = dbn.Transcoder(
            self._text,
            dbn.Encoding("csv"),
            dbn.Compression("none"),
            pretty_px=False,
            pretty_ts=False,
            map_symbols=True,
        )

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left and not self._done:
            self._advance()
        data, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)

    def _advance(self) -> None:
        chunk = self._head + self._file.read(_CHUNK)
        self._head = b""
        try:
            if chunk:
                self._transcoder.write(chunk)
            else:
                self._done = True
                if self._transcoder.buffer():
                    raise ValueError("it ends within a record")
                self._transcoder.finish()
        except self._errors as problem:
            raise MarketDataError(f"cannot read {self._path}: damaged DBN: {problem}") from None
        self._left = self._text.getvalue()
        self._text.seek(0)
        self._text.truncate()
