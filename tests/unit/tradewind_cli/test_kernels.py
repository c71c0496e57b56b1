"""Kernels are compiled ahead where they are missing, and nothing is said where none is."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from tradewind_cli import compiling, kernels


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def missing_in(folder: Path, **more: str) -> str:
    """The groups that a fresh process misses with its cache in a folder."""
    script = "from tradewind_cli.kernels import missing_groups; print(*missing_groups())"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), **more}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_groups_with_an_empty_cache_are_all_missing(tmp_path: Path) -> None:
    assert missing_in(tmp_path) == " ".join(kernels.GROUPS)


def test_groups_where_nothing_can_be_kept_are_not_compiled_ahead(tmp_path: Path) -> None:
    nowhere = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator", "NUMBA_CACHE_DIR": ""}
    assert missing_in(tmp_path, **nowhere) == ""


def test_kernels_that_are_compiled_are_not_spoken_of(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "missing_groups", lambda _: {})
    compiling.compile_missing(console)
    assert said(console) == ""


def test_each_group_is_compiled_with_a_word_and_one_that_fails_says_why(
    console: Console, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    missing = {"networks": str(tmp_path / "a"), "nonsense": str(tmp_path / "b")}
    monkeypatch.setattr(compiling, "missing_groups", lambda _: missing)
    compiling.compile_missing(console)
    lines = said(console)
    assert f"networks, nonsense: compiled once on this machine, kept below {tmp_path}" in lines
    assert "networks: compiled in " in lines
    assert "nonsense: ended with 1, so they are compiled when they are needed: KeyError" in lines
