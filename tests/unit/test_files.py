"""Files that somebody else may write: whole, bounded, never waited for."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tradewind.files import check_file, file_stamp, read_file


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(path))  # a socket's name is short


def make_gigabyte(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)


KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "named pipe": (make_fifo, "a named pipe"),
    "folder": (Path.mkdir, "a folder"),
    "link to a device without end": (lambda path: path.symlink_to("/dev/zero"), "a device"),
    "socket": (make_socket, "No such device|a socket"),
    "gigabyte": (make_gigabyte, "1073741824 bytes; 1048576 are allowed"),
    "link to itself": (lambda path: path.symlink_to(path), "symbolic links"),
    "file of the kernel without content yet": (
        lambda path: path.symlink_to("/proc/self/stat"),
        "changes while it is read",
    ),
}


@pytest.mark.parametrize(("make", "problem"), KINDS.values(), ids=KINDS)
def test_read_file_with_what_is_no_file_of_bounded_size_refuses_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], object], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "odd")
    with pytest.raises(OSError, match=problem):
        read_file(tmp_path / "odd")


def test_check_file_with_a_pipe_refuses_and_with_a_large_file_does_not(tmp_path: Path) -> None:
    make_fifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a named pipe"):
        check_file(tmp_path / "pipe")
    make_gigabyte(tmp_path / "large")
    check_file(tmp_path / "large")


def test_read_file_of_exactly_the_limit_gives_it_and_one_byte_more_is_refused(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert read_file(path, 100) == b"x" * 100
    with pytest.raises(OSError, match="100 bytes; 99 are allowed"):
        read_file(path, 99)


def config_map(folder: Path, version: str, text: str) -> None:
    """Writes or swaps a file as the kubelet does: files → ..data → a folder of one version."""
    folder.mkdir(exist_ok=True)
    fresh = folder / f"..{version}"
    fresh.mkdir()
    (fresh / "file").write_text(text)
    (folder / "..fresh").symlink_to(fresh.name)
    before = os.path.realpath(folder / "..data")
    (folder / "..fresh").replace(folder / "..data")
    if not (folder / "file").is_symlink():
        (folder / "file").symlink_to("..data/file")
    if before != str(folder / "..data"):
        (Path(before) / "file").unlink()
        Path(before).rmdir()


def test_read_file_of_a_config_map_follows_its_links_and_sees_the_swap(tmp_path: Path) -> None:
    folder = tmp_path / "mount"
    config_map(folder, "1", "one")
    before = file_stamp(folder / "file")
    assert read_file(folder / "file", within=folder) == b"one"
    config_map(folder, "2", "two")
    assert read_file(folder / "file", within=folder) == b"two"
    assert file_stamp(folder / "file") != before


def test_read_file_of_a_config_map_that_swaps_all_the_time_never_misses(tmp_path: Path) -> None:
    folder = tmp_path / "mount"
    config_map(folder, "0", "0")
    done = threading.Event()

    def swap() -> None:
        for number in range(1, 200):
            config_map(folder, str(number), str(number))
        done.set()

    thread = threading.Thread(target=swap)
    thread.start()
    seen = []
    missed = 0
    while not done.is_set():
        try:
            seen.append(int(read_file(folder / "file", within=folder)))
        except OSError:
            missed += 1  # three swaps within one read
    thread.join()
    assert seen == sorted(seen)
    assert missed <= len(seen)
    assert read_file(folder / "file", within=folder) == b"199"


@pytest.mark.parametrize("through", ["file", "folder"])
def test_read_file_within_a_folder_refuses_a_link_out_of_it(tmp_path: Path, through: str) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("secret")
    if through == "file":
        path = tmp_path / "store" / "file"
        path.symlink_to("../outside/file")
    else:
        (tmp_path / "store" / "folder").symlink_to("../outside")
        path = tmp_path / "store" / "folder" / "file"
    assert read_file(path) == b"secret"
    with pytest.raises(OSError, match="leads out of"):
        read_file(path, within=tmp_path / "store")


@pytest.mark.parametrize(
    ("mode", "is_private"),
    [
        *((mode, True) for mode in (0o600, 0o400, 0o440, 0o640)),
        *((mode, False) for mode in (0o604, 0o644, 0o660, 0o602, 0o444)),
    ],
)
def test_read_file_that_is_private_refuses_one_that_is_open_to_others(
    tmp_path: Path, mode: int, is_private: bool
) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"secret")
    path.chmod(mode)
    assert read_file(path) == b"secret"
    if is_private:
        assert read_file(path, private=True) == b"secret"
    else:
        with pytest.raises(PermissionError, match="open to others.*chmod 600"):
            read_file(path, private=True)


def test_read_file_that_grants_roles_refuses_one_that_everybody_may_write(tmp_path: Path) -> None:
    path = tmp_path / "access"
    path.write_bytes(b"{}")
    path.chmod(0o644)
    assert read_file(path, unforgeable=True) == b"{}"
    path.chmod(0o646)
    with pytest.raises(PermissionError, match="written by everybody"):
        read_file(path, unforgeable=True)


def test_file_stamp_of_an_edit_that_keeps_size_and_time_of_modification_differs(
    tmp_path: Path,
) -> None:
    path = tmp_path / "access.yaml"
    path.write_text("roles: [resume]")
    status, before = path.stat(), file_stamp(path)
    stamps = {before}
    # The clock of a file system ticks every few milliseconds.
    while stamps == {before}:
        path.write_text("roles: [predic]")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        stamps.add(file_stamp(path))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert file_stamp(tmp_path / "nothing") is None
