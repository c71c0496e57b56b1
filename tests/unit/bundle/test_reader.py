import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tradewind.bundle import BundleDraft, BundleFault, BundleLimits, BundleStore, read_bundle
from tradewind.errors import BundleError, VersionNotFoundError

Damage = Callable[[Path], None]


@pytest.fixture
def bundle_path(tmp_path: Path, make_draft: Callable[..., BundleDraft]) -> Path:
    return BundleStore(tmp_path).publish(make_draft()).path


def overwrite(name: str, data: bytes) -> Damage:
    def damage(path: Path) -> None:
        (path / name).chmod(0o644)
        (path / name).write_bytes(data)

    return damage


def edit_metadata(**changes: object) -> Damage:
    def damage(path: Path) -> None:
        values = json.loads((path / "metadata.json").read_bytes())
        overwrite("metadata.json", json.dumps({**values, **changes}).encode())(path)

    return damage


def truncate_metadata(path: Path) -> None:
    overwrite("metadata.json", (path / "metadata.json").read_bytes()[:-40])(path)


def replace_by_link(path: Path) -> None:
    (path / "policy.pt").rename(path.parent / "elsewhere.pt")
    (path / "policy.pt").symlink_to(path.parent / "elsewhere.pt")


def replace_by_pipe(path: Path) -> None:
    (path / "policy.pt").unlink()
    os.mkfifo(path / "policy.pt")


def replace_by_folder(path: Path) -> None:
    (path / "policy.pt").unlink()
    (path / "policy.pt").mkdir()


@pytest.mark.parametrize(
    ("damage", "fault", "cause"),
    [
        (overwrite("policy.pt", b"other"), "DIGEST_MISMATCH", "policy.pt has SHA-256"),
        (overwrite("golden.npz", b"other"), "DIGEST_MISMATCH", "golden.npz has SHA-256"),
        (truncate_metadata, "METADATA_INVALID", "not complete, valid JSON"),
        (overwrite("metadata.json", b""), "METADATA_INVALID", "not complete, valid JSON"),
        (edit_metadata(format_version=3), "FORMAT_VERSION_UNKNOWN", "format_version 3"),
        (edit_metadata(name="other"), "NAME_MISMATCH", "says other/"),
        (edit_metadata(version="2020-01-01.1"), "NAME_MISMATCH", "2020-01-01.1"),
        (lambda path: (path / "policy.pt").unlink(), "FILE_MISSING", "policy.pt is missing"),
        (lambda path: (path / "metadata.json").unlink(), "METADATA_MISSING", "is missing"),
        (lambda path: (path / "extra").touch(), "FILE_FOREIGN", "'extra' is there"),
        (lambda path: (path / "deep").mkdir(), "FILE_FOREIGN", "'deep' is there"),
        (replace_by_link, "FILE_NOT_REGULAR", "policy.pt is not a regular file"),
        (replace_by_pipe, "FILE_NOT_REGULAR", "policy.pt is not a regular file"),
        (replace_by_folder, "FILE_NOT_REGULAR", "policy.pt is not a regular file"),
    ],
)
def test_damaged_bundle_is_refused_with_its_cause(
    bundle_path: Path, damage: Damage, fault: str, cause: str
) -> None:
    damage(bundle_path)
    with pytest.raises(BundleError, match=cause) as refused:
        read_bundle(bundle_path)
    assert refused.value.reason == BundleFault(fault)
    assert f"bundle momentum/{bundle_path.name} is refused" in str(refused.value)


def test_digest_mismatch_names_file_expected_and_found(bundle_path: Path) -> None:
    overwrite("policy.pt", b"other")(bundle_path)
    with pytest.raises(BundleError) as refused:
        read_bundle(bundle_path)
    assert refused.value.metadata["file"] == "policy.pt"
    assert refused.value.metadata["expected"] != refused.value.metadata["found"]


@pytest.mark.parametrize(
    ("limits", "file"),
    [
        (BundleLimits(metadata_bytes=100), "metadata.json"),
        (BundleLimits(file_bytes=6), "policy.pt"),
    ],
)
def test_file_over_its_limit_is_refused(bundle_path: Path, limits: BundleLimits, file: str) -> None:
    with pytest.raises(BundleError, match=f"{file} has .* bytes") as refused:
        read_bundle(bundle_path, limits)
    assert refused.value.reason == BundleFault.FILE_TOO_LARGE


def test_bundle_with_more_files_than_allowed_is_refused(
    tmp_path: Path, make_draft: Callable[..., BundleDraft]
) -> None:
    published = BundleStore(tmp_path).publish(make_draft(extra_files={"a": b"", "b": b""}))
    with pytest.raises(BundleError, match="holds 5 files; 4 are allowed"):
        read_bundle(published.path, BundleLimits(file_count=4))


def test_bundle_folder_that_is_a_link_is_refused(bundle_path: Path) -> None:
    link = bundle_path.parent / "2026-01-01.1"
    link.symlink_to(bundle_path)
    with pytest.raises(BundleError) as refused:
        read_bundle(link)
    assert refused.value.reason == BundleFault.FILE_NOT_REGULAR


def test_bundle_with_signature_file_is_accepted(bundle_path: Path) -> None:
    (bundle_path / "metadata.json.sig").write_bytes(b"signature")
    assert read_bundle(bundle_path).metadata.name == "momentum"


def test_bundle_that_does_not_exist_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(VersionNotFoundError, match="there is no bundle at"):
        read_bundle(tmp_path / "momentum" / "2026-11-22.1")


def test_bundle_package_in_a_fresh_process_imports_neither_torch_nor_grpc() -> None:
    code = "import sys, tradewind.bundle; print({'torch', 'grpc'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"
