"""Versions of policies on a shared volume: published atomically, never changed afterwards."""

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tradewind.bundle.draft import BundleDraft
from tradewind.bundle.labels import (
    LABELS_FILE,
    MAX_LABELS_BYTES,
    check_labels,
    labels_from_json,
    labels_to_json,
)
from tradewind.bundle.metadata import BundleMetadata
from tradewind.bundle.names import (
    METADATA_FILE,
    SIGNATURE_FILE,
    BundleVersion,
    check_policy_name,
)
from tradewind.bundle.reader import read_bundle, read_regular_file
from tradewind.bundle.signing import SigningKey
from tradewind.errors import InvalidInputError, StorageError, VersionNotFoundError
from tradewind.process.durable import make_folder, open_to_readers, replace_file, sync_folder

__all__ = ["BundleStore", "PublishedBundle"]

_TEMPORARY: Final = ".publish-"
_ABANDONED_S: Final = 3600.0  # no publisher takes so long from one file to the next


@dataclass(frozen=True, slots=True)
class PublishedBundle:
    """A bundle in the store."""

    path: Path
    metadata: BundleMetadata

    def __repr__(self) -> str:
        return f"PublishedBundle({str(self.path)!r}, {self.metadata.algo})"

    def _repr_html_(self) -> str:
        return self.metadata.html(folder=str(self.path))


class BundleStore:
    """Bundles at `<root>/<policy>/<version>/`, and labels of versions at `<root>/<policy>/`.

    Several processes may publish and read at once; a network file system will do, because all
    that is asked of it is an atomic rename.

    Args:
        root: Folder of the store; made by the first publish.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def publish(
        self,
        draft: BundleDraft,
        *,
        created_at: datetime | None = None,
        signing_key: SigningKey | None = None,
    ) -> PublishedBundle:
        """Writes a bundle under a version of its own.

        The files are written into a folder with a temporary name, which is renamed once
        everything is on disk: a reader sees the whole bundle or nothing. The version is the day
        of publishing, or the day of the latest version if that is later, with the next serial.

        Args:
            draft: What to publish.
            created_at: Time of publishing; by default now.
            signing_key: Signs the bundle; without, it bears no signature.

        Raises:
            InvalidInputError: A name is not allowed.
            BundleFormatError: The parts contradict each other, or the golden answers do not fit
                the spaces.
            StorageError: The store cannot be written.
        """
        created_at = (created_at or datetime.now(UTC)).astimezone(UTC)
        contents = draft.contents()
        try:
            folder = self._make_policy_folder(draft.name)
            _remove_abandoned(folder)
            temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=folder))
            try:
                for name, data in contents.items():
                    _write_durably(temporary / name, data)
                while True:
                    version = self._next_version(folder, created_at)
                    metadata = draft.metadata(str(version), created_at, contents)
                    metadata_json = metadata.to_json()
                    _write_durably(temporary / METADATA_FILE, metadata_json)
                    if signing_key is not None:
                        signature = signing_key.sign(metadata_json)
                        _write_durably(temporary / SIGNATURE_FILE, signature)
                    target = folder / str(version)
                    if _publish_folder(temporary, target):
                        return PublishedBundle(target, metadata)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
        except OSError as problem:
            raise StorageError(f"cannot publish to {self.root}: {problem}") from problem

    def sign(self, policy: str, version: str, key: SigningKey) -> None:
        """Signs a version that is published already, in place of any earlier signature.

        Raises:
            BundleError: The bundle is not whole.
            VersionNotFoundError: It is not in the store.
            StorageError: The store cannot be written.
        """
        path = self.path(policy, version)
        metadata_json = read_bundle(path).metadata_json
        # Made beside the version: a foreign file within would have it refused.
        temporary = path.with_name(f"{_TEMPORARY}{version}.sig")
        try:
            _write_durably(temporary, key.sign(metadata_json))
            temporary.chmod(0o444)
            temporary.replace(path / SIGNATURE_FILE)
            sync_folder(path)
        except OSError as problem:
            raise StorageError(f"cannot sign {path}: {problem}") from problem

    def policies(self) -> tuple[str, ...]:
        """Names of the policies, sorted; whatever is not a policy's folder is passed over.

        Raises:
            StorageError: The store cannot be listed; it may not be mounted.
        """
        return tuple(sorted(name for name in _folders(self.root) if _is_policy_name(name)))

    def policy_states(self) -> dict[str, tuple[int, ...]]:
        """By policy, what changes when a version comes or goes or the labels change; sorted.

        One listing and a look at each folder, however many versions it holds. Not seen is what
        changes within a version's folder.

        Raises:
            StorageError: The store cannot be listed; it may not be mounted.
        """
        return {name: _state(self.root / name) for name in self.policies()}

    def passed_over(self, policies: Iterable[str]) -> dict[str, str]:
        """What looks as if it were meant to be served and is not: the cause by path in the store.

        Args:
            policies: Those within which to look; beside policies is looked everywhere.

        Raises:
            StorageError: The store cannot be listed.
        """
        causes = dict.fromkeys(_links(self.root), "a symbolic link, not a policy's own folder")
        for name in _folders(self.root):
            if not _is_policy_name(name) and any(map(_version_or_none, _folders(self.root / name))):
                causes[name] = "no name for a policy, which is [a-z0-9][a-z0-9_-]{0,62}"
        for policy in policies:
            for name in _links(self.root / policy):
                if _version_or_none(name) is not None:
                    causes[f"{policy}/{name}"] = "a symbolic link, not a version's own folder"
        return causes

    def has_policy(self, policy: str) -> bool:
        """Whether there is a folder for a policy.

        Raises:
            InvalidInputError: The name is not allowed.
        """
        return _is_real_folder(self.root / check_policy_name(policy))

    def has_version(self, policy: str, version: str) -> bool:
        """Whether a version is published.

        Raises:
            InvalidInputError: The name or the version is not allowed.
        """
        folder = self.path(policy, version)
        return _is_real_folder(folder) and _has_metadata(folder)

    def has_unfinished(self, policy: str) -> bool:
        """Whether a version is being copied into the store file by file.

        Raises:
            InvalidInputError: The name is not allowed.
            StorageError: The policy's folder cannot be listed.
        """
        folder = self.root / check_policy_name(policy)
        return any(
            _version_or_none(name) is not None and not _has_metadata(folder / name)
            for name in _folders(folder)
        )

    def versions(self, policy: str) -> tuple[str, ...]:
        """Published versions, oldest first; half-written and foreign folders are passed over.

        A version counts once its metadata.json is there: a tool that copies bundles file by file
        should copy that one last.

        Raises:
            InvalidInputError: The name is not allowed.
            StorageError: The policy's folder cannot be listed.
        """
        folder = self.root / check_policy_name(policy)
        found = [
            version
            for version in map(_version_or_none, _folders(folder))
            if version is not None and _has_metadata(folder / str(version))
        ]
        return tuple(str(version) for version in sorted(found))

    def labels(self, policy: str) -> dict[str, str]:
        """Version by label; empty when none was ever set.

        Raises:
            InvalidInputError: The name is not allowed.
            BundleError: labels.json is not a regular file, too large or not what it should be.
            StorageError: It cannot be read.
        """
        folder = self.root / check_policy_name(policy)
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                data = read_regular_file(handle, LABELS_FILE, MAX_LABELS_BYTES)
            finally:
                os.close(handle)
        except FileNotFoundError:
            return {}
        except OSError as problem:
            raise StorageError(f"cannot read {folder / LABELS_FILE}: {problem}") from problem
        return labels_from_json(data)

    def set_labels(self, policy: str, labels: Mapping[str, str]) -> None:
        """Replaces all labels of a policy at once; a reader sees the old or the new ones.

        Raises:
            InvalidInputError: A name, label or version is not allowed.
            VersionNotFoundError: A version is not in the store.
            StorageError: The store cannot be written.
        """
        labels = check_labels(labels)
        published = self.versions(policy)
        for label, version in labels.items():
            if version not in published:
                raise VersionNotFoundError(
                    f"label {label!r} cannot stand for version {version!r}: "
                    f"policy {policy!r} has {', '.join(published) or 'none'}",
                    metadata={"policy": policy, "version": version},
                )
        folder = self.root / policy
        try:
            replace_file(folder / LABELS_FILE, labels_to_json(labels), prefix=_TEMPORARY)
        except OSError as problem:
            raise StorageError(f"cannot write to {folder}: {problem}") from problem

    def path(self, policy: str, version: str) -> Path:
        """Folder of a version, whether or not it is published.

        Raises:
            InvalidInputError: The name or the version is not allowed.
        """
        return self.root / check_policy_name(policy) / str(BundleVersion.parse(version))

    def _make_policy_folder(self, policy: str) -> Path:
        folder = self.root / policy
        make_folder(folder)  # servers may run as another user than the trainer
        return folder

    def _next_version(self, folder: Path, created_at: datetime) -> BundleVersion:
        today = created_at.date()
        taken = (_version_or_none(entry.name) for entry in folder.iterdir())
        latest = max((version for version in taken if version is not None), default=None)
        if latest is None or latest.day < today:
            return BundleVersion(today, 1)
        return BundleVersion(latest.day, latest.serial + 1)


def _remove_abandoned(folder: Path) -> None:
    """Removes what publishers that were killed have left behind."""
    for entry in folder.glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(FileNotFoundError):  # another publisher removes it too
            if time.time() - entry.lstat().st_mtime > _ABANDONED_S:
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink()


def _publish_folder(temporary: Path, target: Path) -> bool:
    """Renames the finished folder; False when another publisher took the version first."""
    for file in temporary.iterdir():
        file.chmod(0o444)
    open_to_readers(temporary)
    sync_folder(temporary)
    try:
        temporary.rename(target)
    except OSError:  # a folder that is not empty is never replaced
        if not target.exists():
            raise
        return False
    sync_folder(target.parent)
    return True


def _write_durably(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _folders(folder: Path) -> list[str]:
    """Names of the real folders in a folder; symbolic links are none."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError as problem:
        raise StorageError(f"cannot list {folder}: {problem}") from problem


def _links(folder: Path) -> list[str]:
    """Names of the symbolic links in a folder, but for hidden ones, which volumes are made of."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_symlink()]
    except OSError as problem:
        raise StorageError(f"cannot list {folder}: {problem}") from problem
    return [name for name in names if not name.startswith(".")]


def _is_real_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _state(folder: Path) -> tuple[int, ...]:
    """Of a policy's folder and of the labels in it; empty for one that is gone."""
    found: list[int] = []
    for path in (folder, folder / LABELS_FILE):
        try:
            of = os.lstat(path)
        except OSError:
            continue
        found += (of.st_ino, of.st_size, of.st_mtime_ns, of.st_ctime_ns)
    return tuple(found)


def _has_metadata(folder: Path) -> bool:
    try:
        (folder / METADATA_FILE).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass  # it is there; reading the bundle will say what is wrong with it
    return True


def _is_policy_name(name: str) -> bool:
    try:
        check_policy_name(name)
    except InvalidInputError:
        return False
    return True


def _version_or_none(name: str) -> BundleVersion | None:
    try:
        return BundleVersion.parse(name)
    except InvalidInputError:
        return None
