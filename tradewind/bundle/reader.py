"""Reading a bundle: nothing of it is used before all of it is verified."""

import errno
import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from tradewind.bundle.faults import BundleFault
from tradewind.bundle.golden import GoldenSet
from tradewind.bundle.metadata import BundleMetadata
from tradewind.bundle.names import (
    GOLDEN_FILE,
    METADATA_FILE,
    POLICY_FILE,
    SIGNATURE_FILE,
    WEIGHTS_FILE,
)
from tradewind.bundle.signing import MAX_SIGNATURE_BYTES, BundleSignature, TrustedKeys
from tradewind.bundle.weights import Weights, read_weights
from tradewind.errors import (
    BundleError,
    BundleFormatError,
    BundleIntegrityError,
    StorageError,
    VersionNotFoundError,
)
from tradewind.settings import Settings

__all__ = ["Bundle", "BundleLimits", "read_bundle", "read_regular_file"]

_MIB = 1024 * 1024


class BundleLimits(Settings):
    """Largest files that are read; a larger one is refused before its contents are looked at."""

    metadata_bytes: int = Field(default=_MIB, ge=1)
    """`metadata.json`."""

    file_bytes: int = Field(default=256 * _MIB, ge=1)
    """Every other file."""

    file_count: int = Field(default=64, ge=3)
    """Files in one bundle."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified bundle, in memory.

    Attributes:
        path: Where it was read.
        metadata: What it says about itself.
        metadata_json: metadata.json as published.
        policy_pt: The very bytes that were verified: load these, not the file again.
        golden: Recorded observations and answers.
        signature: Who has signed it; None where nobody has, or nobody has looked.
        weights: Tensors of the declared network; none in a bundle of format 1.
    """

    path: Path
    metadata: BundleMetadata
    metadata_json: bytes
    policy_pt: bytes
    golden: GoldenSet
    signature: BundleSignature | None = None
    weights: Weights = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Bundle({str(self.path)!r}, {self.metadata.algo})"

    def _repr_html_(self) -> str:
        return self.metadata.html(folder=str(self.path))


def read_bundle(
    path: Path | str, limits: BundleLimits | None = None, trusted: TrustedKeys | None = None
) -> Bundle:
    """Reads and verifies a bundle, every file once.

    Verified are: metadata.json, that the folders bear the bundle's name and version, that the
    folder holds exactly the files the metadata names, no links, sizes, digests, the signature, that
    a declared network and its weights fit each other and the spaces, and that the golden answers
    fit these. The network is not executed.

    Args:
        path: `<store>/<policy>/<version>`.
        limits: Largest files accepted.
        trusted: Whose signatures are believed; without, none is looked at.

    Raises:
        VersionNotFoundError: There is no such folder.
        BundleFormatError: The metadata or the golden answers are missing, truncated, of an
            unknown format version or contradict themselves.
        BundleIntegrityError: A file is missing, foreign, a link, too large, or its digest is not
            the recorded one; or the signature is missing or wrong.
        StorageError: The file system failed; the bundle may be good.
    """
    limits = limits or BundleLimits()
    folder = Path(path).absolute()
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise VersionNotFoundError(f"there is no bundle at {folder}") from None
    except OSError as problem:
        if problem.errno in (errno.ELOOP, errno.ENOTDIR):
            raise BundleIntegrityError(
                f"{folder} is not a folder of its own, but a link or a file",
                reason=BundleFault.FILE_NOT_REGULAR,
            ) from None
        raise StorageError(f"cannot open {folder}: {problem}") from problem
    try:
        return _read_open_folder(folder, handle, limits, trusted)
    except OSError as problem:
        raise StorageError(f"cannot read {folder}: {problem}") from problem
    except BundleError as problem:
        raise type(problem)(
            f"bundle {folder.parent.name}/{folder.name} is refused: {problem}",
            reason=problem.reason,
            metadata=problem.metadata,
        ) from None
    finally:
        os.close(handle)


def _read_open_folder(
    folder: Path, handle: int, limits: BundleLimits, trusted: TrustedKeys | None
) -> Bundle:
    names = set(os.listdir(handle))
    if METADATA_FILE not in names:
        raise BundleFormatError(f"{METADATA_FILE} is missing", reason=BundleFault.METADATA_MISSING)
    metadata_json = read_regular_file(handle, METADATA_FILE, limits.metadata_bytes)
    metadata = BundleMetadata.from_json(metadata_json)
    _check_names(folder, metadata)
    _check_file_list(names, metadata, limits)
    kept: dict[str, bytes] = {}
    for name, expected in metadata.files.items():
        data = read_regular_file(handle, name, limits.file_bytes)
        found = hashlib.sha256(data).hexdigest()
        if found != expected:
            raise BundleIntegrityError(
                f"{name} has SHA-256 {found}, but {METADATA_FILE} says {expected}",
                reason=BundleFault.DIGEST_MISMATCH,
                metadata={"file": name, "expected": expected, "found": found},
            )
        if name in (POLICY_FILE, WEIGHTS_FILE, GOLDEN_FILE):
            kept[name] = data
    signature = None
    if trusted is not None:
        signed = SIGNATURE_FILE in names
        signature = trusted.check(
            metadata_json,
            read_regular_file(handle, SIGNATURE_FILE, MAX_SIGNATURE_BYTES) if signed else None,
        )
    golden = GoldenSet.from_npz(kept[GOLDEN_FILE])
    golden.check(metadata)
    weights: Weights = {}
    if metadata.graph is not None:
        tensors = metadata.graph.tensors(metadata.obs_space.shape)
        weights = read_weights(kept[WEIGHTS_FILE], tensors)
    return Bundle(folder, metadata, metadata_json, kept[POLICY_FILE], golden, signature, weights)


def _check_names(folder: Path, metadata: BundleMetadata) -> None:
    expected = (metadata.name, metadata.version)
    found = (folder.parent.name, folder.name)
    if found != expected:
        raise BundleIntegrityError(
            f"it lies in {'/'.join(found)}, but {METADATA_FILE} says {'/'.join(expected)}",
            reason=BundleFault.NAME_MISMATCH,
            metadata={"expected": "/".join(expected), "found": "/".join(found)},
        )


def _check_file_list(names: set[str], metadata: BundleMetadata, limits: BundleLimits) -> None:
    missing = sorted(metadata.files.keys() - names)
    if missing:
        raise BundleIntegrityError(
            f"{missing[0]} is missing, but {METADATA_FILE} names it",
            reason=BundleFault.FILE_MISSING,
            metadata={"file": missing[0]},
        )
    foreign = sorted(names - metadata.files.keys() - {METADATA_FILE, SIGNATURE_FILE})
    if foreign:
        raise BundleIntegrityError(
            f"{foreign[0]!r} is there, but {METADATA_FILE} does not name it",
            reason=BundleFault.FILE_FOREIGN,
            metadata={"file": foreign[0]},
        )
    if len(names) > limits.file_count:
        raise BundleIntegrityError(
            f"it holds {len(names)} files; {limits.file_count} are allowed",
            reason=BundleFault.FILE_TOO_LARGE,
        )


def read_regular_file(folder: int, name: str, limit: int) -> bytes:
    """Reads a file of an open folder.

    Args:
        folder: Descriptor of the folder.
        name: Of the file; a link is not followed.
        limit: Most bytes accepted.

    Raises:
        BundleIntegrityError: The file is not a regular one, or larger.
        OSError: It cannot be read.
    """
    try:
        # O_NONBLOCK, so that a named pipe cannot hang us.
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as problem:
        if problem.errno in (errno.ELOOP, errno.ENXIO):
            raise _not_regular(name) from None
        raise
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise _not_regular(name)
        with os.fdopen(handle, "rb", closefd=False) as file:
            # One byte more than allowed: a file that grows while it is read is found too.
            data = file.read(limit + 1) if status.st_size <= limit else b""
    finally:
        os.close(handle)
    size = max(status.st_size, len(data))
    if size > limit:
        raise BundleIntegrityError(
            f"{name} has {size} bytes; {limit} are allowed",
            reason=BundleFault.FILE_TOO_LARGE,
            metadata={"file": name, "expected": str(limit), "found": str(size)},
        )
    return data


def _not_regular(name: str) -> BundleIntegrityError:
    return BundleIntegrityError(
        f"{name} is not a regular file, but a link, a folder or a device",
        reason=BundleFault.FILE_NOT_REGULAR,
        metadata={"file": name},
    )
