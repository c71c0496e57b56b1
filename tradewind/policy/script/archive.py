"""The records of a TorchScript archive, by one strict reading, and the archive packed anew.

A zip file can be written so that two readers find two archives in it. Here every byte of the file
belongs to one entry or to the one directory at its end, and what torch gets is made of the records
that were read, never of the file itself.
"""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, Final

from tradewind.policy.script.faults import unloadable

__all__ = ["pack_records", "read_records"]

_MIB: Final = 1024 * 1024
_TEXT_BYTES: Final = 2 * _MIB  # of all code together, unpacked; a policy has about 10 kB
_PICKLE_BYTES: Final = 8 * _MIB
_MAX_ENTRIES: Final = 20_000
_LOCAL: Final = struct.Struct("<4sHHHHHIIIHH")
_LOCAL_MAGIC: Final = b"PK\x03\x04"
_DESCRIPTOR_MAGIC: Final = b"PK\x07\x08"
_DIRECTORY_MAGIC: Final = b"PK\x01\x02"
_ROOT: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_KEPT: Final = re.compile(
    r"data\.pkl|constants\.pkl|(\.data/)?version|byteorder|(data|constants)/\d{1,9}|code/__torch__(/\w+)*\.py"
)
_LEFT_OUT: Final = re.compile(
    r"\.data/serialization_id|code/__torch__(/\w+)*\.debug_pkl"
    r"|code/__torch__(/\w+)*\.py\.debug_pkl|\.format_version"
    r"|\.storage_alignment"
)


def read_records(data: bytes) -> dict[str, bytes]:
    """The records that torch is to get, by name, without the archive's folder.

    Args:
        data: The file.

    Raises:
        BundleRuntimeError: It is no archive of a scripted network, or one that may be read in more
            than one way.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_layout(data, archive, entries)
            return _read(archive, entries)
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError) as problem:
        raise unloadable(problem) from None
    except (ValueError, NotImplementedError, RuntimeError, MemoryError, OSError) as problem:
        raise unloadable(f"{type(problem).__name__}: {problem}") from None


def pack_records(records: Mapping[str, bytes]) -> bytes:
    """An archive of these records alone: equal ones give equal bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, record in records.items():
            archive.writestr(zipfile.ZipInfo(f"policy/{name}"), record)
    return packed.getvalue()


def _read(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> dict[str, bytes]:
    roots = {entry.filename.partition("/")[0] for entry in entries}
    if len(roots) != 1 or not _ROOT.fullmatch(root := roots.pop()) or root in (".", ".."):
        raise unloadable("its records do not lie in one folder")
    records: dict[str, bytes] = {}
    left = {"code": _TEXT_BYTES, "pkl": _PICKLE_BYTES}
    for entry in entries:
        name = entry.filename[len(root) + 1 :]
        if _LEFT_OUT.fullmatch(name):
            continue
        if not _KEPT.fullmatch(name):
            raise unloadable(f"record {name[:100]!r} has no place in it")
        kind = "code" if name.startswith("code/") else name.rpartition(".")[2]
        if kind in left:
            left[kind] -= entry.file_size
            if left[kind] < 0:
                raise unloadable(f"its {kind} takes too much: {name} is {entry.file_size} bytes")
        elif entry.compress_type != zipfile.ZIP_STORED:
            raise unloadable(f"{name} is compressed")
        with archive.open(entry) as file:
            records[name] = file.read(entry.file_size + 1)
        if len(records[name]) != entry.file_size:
            raise unloadable(f"{name} is not as long as it says")
    _check_kinds(records)
    return records


def _check_kinds(records: Mapping[str, bytes]) -> None:
    for needed in ("data.pkl", "constants.pkl"):
        if needed not in records:
            raise unloadable(f"it has no record {needed}")
    versions = [records[name] for name in ("version", ".data/version") if name in records]
    if len(versions) != 1 or not re.fullmatch(rb"\d{1,3}\n?", versions[0]):
        raise unloadable("it has no version that is a number")
    if records.get("byteorder", b"little") != b"little":
        raise unloadable("its byte order is not little-endian")


def _check_layout(data: bytes, archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> None:
    """Every byte before the directory belongs to exactly one entry, and the names are unique."""
    if not 0 < len(entries) <= _MAX_ENTRIES:
        raise unloadable(f"it has {len(entries)} records")
    names = [entry.filename for entry in entries]
    if len({name.casefold() for name in names}) != len(names):
        raise unloadable("two records have the same name")
    if archive.comment:
        raise unloadable("it has a comment, which may hide another directory")
    at = 0
    for entry in sorted(entries, key=lambda each: each.header_offset):
        if entry.header_offset != at:
            raise unloadable(f"there are foreign bytes before {entry.filename[:100]!r}")
        at = _end_of(data, entry)
    if at != archive.start_dir or data[at : at + 4] != _DIRECTORY_MAGIC:
        raise unloadable("there are foreign bytes before its directory")
    if data.count(b"PK\x05\x06", at) != 1:
        raise unloadable("it has more than one directory")


def _end_of(data: bytes, entry: zipfile.ZipInfo) -> int:
    """Where the next entry begins; the entry's own header must say what the directory says."""
    start = entry.header_offset
    fields: tuple[Any, ...] = _LOCAL.unpack_from(data, start)
    magic, _, flags, method, _, _, crc, packed, size, name_length, extra_length = fields
    name = data[start + _LOCAL.size : start + _LOCAL.size + name_length]
    if magic != _LOCAL_MAGIC or name != entry.filename.encode() or method != entry.compress_type:
        raise unloadable(f"{entry.filename[:100]!r} has two headers that differ")
    if flags & 1 or method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise unloadable(f"{entry.filename[:100]!r} is packed in a way that is not known")
    if method == zipfile.ZIP_STORED and entry.file_size != entry.compress_size:
        raise unloadable(f"{entry.filename[:100]!r} has two sizes")
    end: int = start + _LOCAL.size + name_length + extra_length + entry.compress_size
    if not flags & 8:
        if (crc, packed, size) != (entry.CRC, entry.compress_size, entry.file_size) and (
            0xFFFFFFFF not in (packed, size)
        ):
            raise unloadable(f"{entry.filename[:100]!r} has two headers that differ")
        return end
    if data[end : end + 4] != _DESCRIPTOR_MAGIC:
        raise unloadable(f"{entry.filename[:100]!r} has no end")
    short = struct.pack("<III", entry.CRC, entry.compress_size, entry.file_size)
    if data[end + 4 : end + 16] == short and data[end + 16 : end + 18] == b"PK":
        return end + 16
    if data[end + 4 : end + 24] == struct.pack(
        "<IQQ", entry.CRC, entry.compress_size, entry.file_size
    ):
        return end + 24
    raise unloadable(f"{entry.filename[:100]!r} has two sizes")
