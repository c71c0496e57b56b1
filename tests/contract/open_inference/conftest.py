"""Interpreters that have other people's clients; their pins and ours exclude each other."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def python_with() -> Callable[[str], str]:
    """`python_with("kserve")` is the interpreter that has that client; without it, it skips."""

    def find(client: str) -> str:
        command = [sys.executable, str(ROOT / "tools" / "side_environments.py"), client]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            pytest.skip(f"no environment with {client}: {made.stderr.strip()[-300:]}")
        return str(ROOT / f".venv-{client}" / "bin" / "python")

    return find
