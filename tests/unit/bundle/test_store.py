import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tradewind.bundle import BundleDraft, BundleStore, read_bundle
from tradewind.errors import (
    BundleFormatError,
    BundleIntegrityError,
    InvalidInputError,
    StorageError,
    VersionNotFoundError,
)

Draft = Callable[..., BundleDraft]
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


PUBLISHER = """
import pickle, sys
from datetime import UTC, datetime
from pathlib import Path
from tradewind.bundle import BundleStore
draft = pickle.loads(Path(sys.argv[2]).read_bytes())
for _ in range(int(sys.argv[3])):
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    print(BundleStore(sys.argv[1]).publish(draft, created_at=noon).metadata.version)
"""


def test_published_bundle_is_read_back_verified(tmp_path: Path, make_draft: Draft) -> None:
    draft = make_draft(extra_files={"report.html": b"<html>"})
    published = BundleStore(tmp_path / "deep" / "store").publish(draft, created_at=NOON)

    bundle = read_bundle(published.path)

    assert published.path == tmp_path / "deep/store/momentum/2026-11-22.1"
    assert bundle.metadata == published.metadata
    assert bundle.policy_pt == draft.policy_pt
    assert bundle.metadata.created_at == NOON
    assert set(bundle.metadata.files) == {"policy.pt", "golden.npz", "report.html"}
    assert all(file.stat().st_mode & 0o777 == 0o444 for file in published.path.iterdir())


def test_serial_with_tenth_version_of_the_day_counts_on(tmp_path: Path, make_draft: Draft) -> None:
    store = BundleStore(tmp_path)
    published = [store.publish(make_draft(), created_at=NOON) for _ in range(11)]
    versions = [bundle.metadata.version for bundle in published]
    assert versions == [f"2026-11-22.{serial}" for serial in range(1, 12)]
    assert store.versions("momentum") == tuple(versions)


def test_serial_with_clock_set_back_stays_the_latest(tmp_path: Path, make_draft: Draft) -> None:
    store = BundleStore(tmp_path)
    store.publish(make_draft(), created_at=NOON)
    earlier = store.publish(make_draft(), created_at=NOON.replace(year=2025))
    assert earlier.metadata.version == "2026-11-22.2"
    assert earlier.metadata.created_at.year == 2025


def test_publish_from_racing_processes_gives_each_its_own_version(
    tmp_path: Path, make_draft: Draft
) -> None:
    processes, each = 4, 15
    running = {}
    for number in range(processes):
        algo = f"SB3-{number}"
        draft = tmp_path / f"{number}.pickle"
        draft.write_bytes(pickle.dumps(make_draft(algo=algo)))
        command = [sys.executable, "-c", PUBLISHER, str(tmp_path), str(draft), str(each)]
        running[algo] = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    taken = {algo: process.communicate()[0].split() for algo, process in running.items()}

    store = BundleStore(tmp_path)
    expected = [f"2026-11-22.{serial}" for serial in range(1, processes * each + 1)]
    assert list(store.versions("momentum")) == expected
    for algo, versions in taken.items():
        for version in versions:
            assert read_bundle(store.path("momentum", version)).metadata.algo == algo
    assert [path.name for path in (tmp_path / "momentum").glob(".publish-*")] == []


def test_versions_with_foreign_and_half_written_folders_passes_over_them(
    tmp_path: Path, make_draft: Draft
) -> None:
    store = BundleStore(tmp_path)
    good = store.publish(make_draft(), created_at=NOON)
    folder = tmp_path / "momentum"
    for name in (".publish-abc", "2026-11-22.2", "latest", "2026-11-22.03", "2026-99-01.1"):
        (folder / name).mkdir()
    (folder / ".publish-abc" / "metadata.json").write_bytes(b"{}")
    (folder / "2026-11-22.4").write_text("a file")
    (folder / "2026-11-22.5").symlink_to(good.path)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "UPPER").mkdir()
    (tmp_path / "linked").symlink_to(folder)

    assert store.policies() == ("momentum",)
    assert store.versions("momentum") == ("2026-11-22.1",)
    assert store.publish(make_draft(), created_at=NOON).metadata.version == "2026-11-22.6"


def test_publish_onto_a_file_in_the_way_takes_the_next_serial(
    tmp_path: Path, make_draft: Draft
) -> None:
    (tmp_path / "momentum").mkdir()
    (tmp_path / "momentum" / "2026-11-22.1").write_text("not a folder")
    published = BundleStore(tmp_path).publish(make_draft(), created_at=NOON)
    assert published.metadata.version == "2026-11-22.2"


def test_publish_with_contradicting_draft_leaves_nothing_behind(
    tmp_path: Path, make_draft: Draft
) -> None:
    with pytest.raises(BundleFormatError, match=r"evaluation\.sharpe"):
        BundleStore(tmp_path).publish(make_draft(evaluation={"sharpe": float("nan")}))
    assert list((tmp_path / "momentum").iterdir()) == []


def test_publish_to_a_store_that_is_a_file_says_so(tmp_path: Path, make_draft: Draft) -> None:
    root = tmp_path / "store"
    root.write_text("")
    with pytest.raises(StorageError, match="cannot publish to"):
        BundleStore(root).publish(make_draft())


@pytest.mark.parametrize("name", ["../escape", "a/b", "", "Upper"])
def test_store_with_unsafe_policy_name_refuses_it(
    tmp_path: Path, make_draft: Draft, name: str
) -> None:
    store = BundleStore(tmp_path / "store")
    for use in (
        lambda: store.publish(make_draft(name=name)),
        lambda: store.versions(name),
        lambda: store.path(name, "2026-11-22.1"),
    ):
        with pytest.raises(InvalidInputError, match="policy name is refused"):
            use()
    assert list(tmp_path.iterdir()) == []


def test_path_with_unsafe_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="bundle version is refused"):
        BundleStore(tmp_path).path("momentum", "../../etc")


def test_listing_with_missing_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot list"):
        BundleStore(tmp_path / "unmounted").policies()


def test_labels_are_replaced_at_once_and_read_back(tmp_path: Path, make_draft: Draft) -> None:
    store = BundleStore(tmp_path)
    first, second = (store.publish(make_draft()).metadata.version for _ in range(2))
    assert store.labels("momentum") == {}
    store.set_labels("momentum", {"champion": first, "challenger": second})
    assert store.labels("momentum") == {"champion": first, "challenger": second}
    store.set_labels("momentum", {"champion": second})
    assert store.labels("momentum") == {"champion": second}
    assert store.versions("momentum") == (first, second)
    assert {path.name for path in (tmp_path / "momentum").iterdir()} == {
        first, second, "labels.json"
    }  # fmt: skip


def test_labels_of_what_is_not_published_or_not_allowed_are_refused(
    tmp_path: Path, make_draft: Draft
) -> None:
    store = BundleStore(tmp_path)
    version = store.publish(make_draft()).metadata.version
    with pytest.raises(VersionNotFoundError, match=f"'a' cannot stand for .* has {version}"):
        store.set_labels("momentum", {"a": "2099-01-01.1"})
    for labels in ({"served": version}, {"../a": version}, {"a": "newest"}):
        with pytest.raises(InvalidInputError, match="is refused"):
            store.set_labels("momentum", labels)
    with pytest.raises(InvalidInputError, match="65 labels are refused: a policy has 64 at most"):
        store.set_labels("momentum", {f"label-{number}": version for number in range(65)})
    assert store.labels("momentum") == {}


def test_labels_file_that_is_a_link_or_too_large_is_refused(
    tmp_path: Path, make_draft: Draft
) -> None:
    store = BundleStore(tmp_path)
    store.publish(make_draft())
    labels = tmp_path / "momentum" / "labels.json"
    labels.write_bytes(b" " * 65_537)
    with pytest.raises(BundleIntegrityError, match="65536 are allowed"):
        store.labels("momentum")
    labels.write_text(json.dumps({f"label-{number}": "2026-11-22.1" for number in range(65)}))
    with pytest.raises(BundleFormatError, match="65 labels are refused"):
        store.labels("momentum")
    labels.unlink()
    labels.symlink_to("/etc/hostname")
    with pytest.raises(BundleIntegrityError, match="not a regular file"):
        store.labels("momentum")


def test_publish_removes_what_killed_publishers_left_an_hour_ago(
    tmp_path: Path, make_draft: Draft
) -> None:
    store = BundleStore(tmp_path)
    store.publish(make_draft())
    stale, recent, other = (tmp_path / path for path in (
        "momentum/.publish-stale", "momentum/.publish-recent", "other/.publish-stale"
    ))  # fmt: skip
    for folder in (stale, recent, other):
        folder.mkdir(parents=True)
        (folder / "policy.pt").write_bytes(b"half")
    an_hour_ago = time.time() - 3700
    for folder in (stale, other):
        os.utime(folder, (an_hour_ago, an_hour_ago))
    store.publish(make_draft())
    assert [folder.exists() for folder in (stale, recent, other)] == [False, True, True]
