"""Kernels are compiled anew when, and only when, something they are built from changed."""

import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from tradewind.kernels.compiled import compiled

CALLER = """\
from callee import inner
from tradewind.kernels.compiled import compiled

@compiled
def outer(x):
    return inner(x) + 1.0
"""
CALLEE = """\
from numba import types
from numba.extending import intrinsic
from tradewind.kernels.compiled import compiled

FACTOR = 2.0

@intrinsic
def sign(typingctx):
    def generate(context, builder, signature, args):
        return context.get_constant(types.float64, 1.0)
    return types.float64(), generate

@compiled
def inner(x):
    return x * FACTOR * sign()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "caller.py").write_text(CALLER)
    (tmp_path / "callee.py").write_text(CALLEE)
    return tmp_path


def run(folder: Path) -> tuple[float, int]:
    """The kernel's answer in a new process, and how often it came from the cache."""
    script = "from caller import outer; print(outer(3.0), sum(outer.stats.cache_hits.values()))"
    # -B: Python takes a module that changed within a second for the one it has compiled.
    found = subprocess.run(
        [sys.executable, "-B", "-c", script], cwd=folder, capture_output=True, text=True, check=True
    )
    value, hits = found.stdout.split()
    return float(value), int(hits)


def test_kernel_is_compiled_anew_when_and_only_when_what_it_is_built_from_changed(
    folder: Path,
) -> None:
    assert run(folder) == (7.0, 0)
    assert run(folder) == (7.0, 1)
    # No change is in the file of the kernel that is called: a constant, a callee's code, the
    # instructions of an intrinsic, and how it is compiled.
    for old, new, value in (
        ("FACTOR = 2.0", "FACTOR = 5.0", 16.0),
        ("x *", "x -", -1.0),
        ("float64, 1.0", "float64, -1.0", 9.0),
        ("@compiled", "@compiled(allocates=True)", 9.0),
    ):
        callee = folder / "callee.py"
        callee.write_text(callee.read_text().replace(old, new))
        assert run(folder) == (value, 0)
    assert run(folder) == (9.0, 1)


def test_kernel_that_works_in_place_and_makes_an_array_is_refused() -> None:
    @compiled
    def double(values: NDArray[np.float64]) -> float:
        copied = np.empty(values.size)
        copied[0] = 2.0 * values[0]
        return float(copied[0])

    with pytest.raises(numba.TypingError):
        double(np.ones(1))


def test_kernel_that_allocates_returns_its_array() -> None:
    @compiled(allocates=True)
    def double(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values * 2.0

    assert double(np.ones(2)).tolist() == [2.0, 2.0]


def test_kernel_with_no_folder_for_its_cache_is_compiled_and_the_cure_is_said(folder: Path) -> None:
    # As in a container whose user has no home, and may not write where the package is installed.
    nowhere = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator", "NUMBA_CACHE_DIR": ""}
    done = subprocess.run(
        [sys.executable, "-c", "from caller import outer; print(outer(3.0))"],
        cwd=folder,
        env={**os.environ, **nowhere},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "7.0\n"), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.endswith("set NUMBA_CACHE_DIR to a folder that can")
