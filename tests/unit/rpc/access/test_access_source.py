"""The access policy as its file changes."""

import os
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tradewind.errors import SettingsError
from tradewind.rpc.access.roles import Role
from tradewind.rpc.access.source import AccessSource
from tradewind.rpc.access.token import make_token, read_token


def source_of(path: Path) -> AccessSource:
    return AccessSource(path, CollectorRegistry())


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, str]:
    """An access policy, and the token of the one who may resume by it."""
    digest = make_token(tmp_path / "token")
    path = tmp_path / "access.yaml"
    path.write_text(f"identities: {{a: {{tokens: ['{digest}'], roles: [calculate]}}}}\n")
    return path, read_token(tmp_path / "token")


def test_role_taken_away_by_an_edit_that_keeps_size_and_time_is_gone_at_the_next_look(
    files: tuple[Path, str],
) -> None:
    path, token = files
    source = source_of(path)
    assert source.current.of_token(token).roles == {Role.CALCULATE}
    status = path.stat()
    text = path.read_text().replace("[calculate]", "[predict]  ")
    path.write_text(text)  # in place: the same inode
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (
        status.st_size, status.st_mtime_ns, status.st_ino,
    )  # fmt: skip
    source._look()
    assert source.current.of_token(token).roles == {Role.PREDICT}


def test_file_that_everybody_may_write_grants_nothing(files: tuple[Path, str]) -> None:
    path, token = files
    source = source_of(path)
    path.write_text(path.read_text().replace("calculate", "admin"))
    path.chmod(0o666)
    source._look()
    assert source.current.of_token(token).roles == {Role.CALCULATE}
    path.chmod(0o644)
    source._look()
    assert source.current.of_token(token).roles == {Role.ADMIN}
    path.chmod(0o666)
    with pytest.raises(SettingsError, match="written by everybody"):
        source_of(path)


def test_file_that_becomes_a_pipe_changes_nothing_and_holds_nobody_up(
    files: tuple[Path, str],
) -> None:
    path, token = files
    source = source_of(path)
    text = path.read_text()
    path.unlink()
    os.mkfifo(path)
    source._look()
    source._look()
    assert source.current.of_token(token).roles == {Role.CALCULATE}
    path.unlink()
    path.write_text(text.replace("calculate", "predict"))
    source._look()
    assert source.current.of_token(token).roles == {Role.PREDICT}
