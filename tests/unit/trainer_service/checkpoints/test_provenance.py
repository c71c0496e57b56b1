"""What a bundle says about the code that made it."""

import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

import tradewind
from trainer_service.checkpoints.provenance import git_revision, library_versions


def test_library_versions_are_those_installed() -> None:
    assert library_versions()["torch"] == metadata.version("torch")


def make_checkout(folder: Path) -> Path:
    package = folder / "tradewind"
    package.mkdir()
    (package / "__init__.py").touch()
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(folder), *command], check=True)
    return package / "__init__.py"


def test_git_revision_in_a_checkout_names_the_commit_and_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_checkout(tmp_path)
    monkeypatch.setattr(tradewind, "__file__", str(source))

    clean = git_revision()
    source.write_text("changed = True\n")

    assert clean is not None
    assert re.fullmatch("[0-9a-f]{40}", clean)
    assert git_revision() == f"{clean}+dirty"


def test_git_revision_without_a_checkout_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tradewind, "__file__", str(tmp_path / "tradewind" / "__init__.py"))

    assert git_revision() is None
