"""Builds a package as its author would, and installs it beside Tradewind, outside the checkout."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from packaging.requirements import Requirement

import tradewind

__all__ = ["install", "run_tests"]

_MADE = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
# TorchScript is what some parts end up in; torch says of each call that it is to go.
_WARNINGS = ("error", "ignore:`torch.jit.:DeprecationWarning")


def install(source: Path, folder: Path) -> Path:
    """Builds the wheel of a package and installs it into a folder; the source stays as it is.

    Raises:
        AssertionError: It is no package that setuptools builds, or needs one that is not here.
    """
    copy = folder / "source"
    shutil.copytree(
        source, copy, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    )
    project = tomllib.loads((copy / "pyproject.toml").read_text())
    assert project["build-system"]["build-backend"] == "setuptools.build_meta", source
    build = "import sys, setuptools.build_meta as backend; backend.build_wheel(sys.argv[1])"
    _run([sys.executable, "-W", "ignore", "-c", build, str(folder)], copy)
    (wheel,) = folder.glob("*.whl")
    installed = folder / "installed"
    with zipfile.ZipFile(wheel) as archive:  # all that an installation of plain Python is
        archive.extractall(installed)
    missing = _missing(project["project"].get("dependencies", []))
    assert not missing, (
        f"{source.name} needs {', '.join(missing)}, which is not installed here: put it into the "
        "extra `dev` of pyproject.toml, or do without"
    )
    return installed


def run_tests(source: Path, installed: Path, folder: Path) -> str:
    """Runs a package's tests against its installation in a process of their own.

    Only the tests are there, `test_*.py` and `tests/`: what they import is what was installed.

    Returns:
        What they print.

    Raises:
        AssertionError: One fails or warns, or there is none.
    """
    alone = folder / "alone"
    alone.mkdir()
    for path in (*source.glob("test_*.py"), *source.glob("tests/")):
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, alone / path.name)
    flags = ["-q", "--import-mode=importlib", "-p", "no:cacheprovider", "--rootdir=."]
    flags += [part for warning in _WARNINGS for part in ("-W", warning)]
    return _run([sys.executable, "-P", "-m", "pytest", *flags], alone, installed)


def _run(command: list[str], folder: Path, *paths: Path) -> str:
    given = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([*map(str, paths), *([given] if given else [])])
    ran = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def _missing(requirements: list[str]) -> list[str]:
    """Those that this environment does not meet, extras included."""
    missing = []
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        wanted = waiting.pop()
        try:
            here = tradewind.__version__ if wanted.name == "tradewind" else version(wanted.name)
        except PackageNotFoundError:
            missing.append(str(wanted))
            continue
        if not wanted.specifier.contains(here, prereleases=True):
            missing.append(f"{wanted} (here is {here})")
        for text in distribution(wanted.name).requires or () if wanted.extras else ():
            more = Requirement(text)
            if more.marker and any(more.marker.evaluate({"extra": each}) for each in wanted.extras):
                waiting.append(more)
    return sorted(missing)
