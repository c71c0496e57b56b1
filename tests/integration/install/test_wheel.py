"""Wheel and sdist: what is in them, and what they are worth far from the checkout, offline."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_string
from pathlib import Path

import pytest

import tradewind
from tests.environments import make_environment, packages_of

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = (
    *("tradewind", "trainer_service", "inference_service"),
    *("risk_service", "orchestrator", "tradewind_cli"),
)
ENTRIES = {
    "tradewind_cli": ("tradewind", "cli"),
    "trainer_service": ("trainer_service", "trainer"),
    "inference_service": ("inference_service", "inference"),
    "risk_service": ("risk_service", "risk"),
    "orchestrator": ("orchestrator", "orchestrator"),
}
# Extras that the tests do without: their own, and the exchanges', which want a network.
NOT_INSTALLED = ('extra == "dev"', 'extra == "exchange"')
pytestmark = pytest.mark.slow

Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Release:
    """What was built, and from what."""

    sources: frozenset[str]
    sdist: Path
    wheel: Path
    wheel_of_sdist: Path

    def requirements(self) -> list[str]:
        """Of the wheel, those of its extras too."""
        with zipfile.ZipFile(self.wheel) as archive:
            name = f"tradewind-{tradewind.__version__}.dist-info/METADATA"
            metadata = message_from_string(archive.read(name).decode())
        return metadata.get_all("Requires-Dist", [])


def run(command: list[str], folder: Path, *, expected: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs a command in a folder, without the checkout on the path, a home or a network for pip."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**environment, "PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expected, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Built from a copy of what git knows; the sdist's wheel is built from the sdist alone."""
    folder = tmp_path_factory.mktemp("release")
    source = folder / "a source"
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [name for name in filter(None, listed.split("\0")) if (ROOT / name).is_file()]
    for name in names:
        if not name.startswith(("tests/", "docs/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    python, built = [sys.executable, "-W", "ignore", "-m"], folder / "built"
    flags = ["--no-isolation", "--sdist", "--wheel", "--outdir", str(built)]
    run([*python, "build", *flags, "."], source)
    (sdist,), (wheel,) = built.glob("*.tar.gz"), built.glob("*.whl")
    flags = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    run([*python, "pip", "wheel", *flags, str(sdist)], folder)
    (wheel_of_sdist,) = folder.glob("*.whl")
    return Release(frozenset(names), sdist, wheel, wheel_of_sdist)


def install(wheel: Path, folder: Path, requirements: list[str]) -> Path:
    """An environment with a wheel and no more than what that requires; gives its interpreter.

    Its kernels are compiled already where those of the checkout are: their sources are as old.
    """
    python = make_environment(folder, requirements)
    flags = ["--quiet", "--no-deps", "--no-compile"]
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", *flags]
    run([*pip, str(wheel)], folder)
    packages = packages_of(folder)
    for name in PACKAGES:
        for cached in (ROOT / name).rglob("*.nb[ic]"):
            (packages / cached.relative_to(ROOT)).parent.mkdir(exist_ok=True)
            shutil.copy(cached, packages / cached.relative_to(ROOT))
        for path in (packages / name).rglob("*.py"):
            written = (ROOT / path.relative_to(packages)).stat()
            os.utime(path, ns=(written.st_atime_ns, written.st_mtime_ns))
    return python


@pytest.fixture(scope="module")
def python(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel and what that cannot do without."""
    folder = tmp_path_factory.mktemp("bare") / "an environment"
    return install(release.wheel, folder, release.requirements())


@pytest.fixture(scope="module")
def full_python(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the sdist and every extra that the tests have."""
    folder = tmp_path_factory.mktemp("full") / "an environment"
    every = [
        text.partition(";")[0]
        for text in release.requirements()
        if "tradewind[" not in text and text.partition("; ")[2] not in NOT_INSTALLED
    ]
    return install(release.wheel_of_sdist, folder, every)


def test_wheel_with_its_files_holds_the_packages_and_nothing_else(release: Release) -> None:
    with zipfile.ZipFile(release.wheel) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(release.wheel_of_sdist) as archive:
        assert held == {name: archive.read(name) for name in archive.namelist()}
    written = {name for name in release.sources if name.partition("/")[0] in PACKAGES}
    named = f"tradewind-{tradewind.__version__}.dist-info/"
    assert {name for name in held if not name.startswith(named)} == written
    assert {f"{name}/py.typed" for name in PACKAGES} <= held.keys()


def test_sdist_with_its_files_holds_the_packages_and_how_to_build_them(release: Release) -> None:
    with tarfile.open(release.sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames() if "." in Path(name).name}
    assert {"pyproject.toml", "README.md"} <= held
    strange = held - release.sources - {"PKG-INFO", "setup.cfg"}
    assert {name for name in strange if "tradewind.egg-info" not in name} == {""}


def test_wheel_without_extras_calculates_risk(python: Path, tmp_path: Path) -> None:
    script = """
import numpy as np
import tradewind
from tradewind.risk import RiskAgentV2, RiskInputs, RiskPolicy
inputs = RiskInputs(portfolio_values=np.array([100.0, 90.0]))
report = RiskAgentV2(RiskPolicy()).calculate_only(inputs)
print(tradewind.__version__, report.metric_values["max_drawdown"])
print(tradewind.__file__)
"""
    said = run([str(python), "-c", script], tmp_path).stdout.splitlines()
    assert said[0].split() == [tradewind.__version__, str(1 - 90.0 / 100.0)]
    assert Path(said[1]).is_relative_to(python.parents[1])


@pytest.mark.parametrize("module", ENTRIES)
def test_entry_without_its_extra_names_it_in_one_line(
    python: Path, tmp_path: Path, module: str
) -> None:
    name, extra = ENTRIES[module]
    said = run([str(python), "-m", module, "--help"], tmp_path, expected=2)
    (line,) = said.stderr.splitlines()
    assert line.startswith(f"{name}: ")
    assert line.endswith(f"is not installed: pip install 'tradewind[{extra}]'")


def test_command_without_its_extra_names_it_in_one_line(python: Path, tmp_path: Path) -> None:
    said = run([str(python.with_name("tradewind")), "--version"], tmp_path, expected=2)
    assert "pip install 'tradewind[cli]'" in said.stderr
    assert "Traceback" not in said.stderr


def test_import_of_what_needs_an_extra_names_it(python: Path, tmp_path: Path) -> None:
    script = "from trainer_service import create_trainer_agent"
    said = run([str(python), "-c", script], tmp_path, expected=1)
    assert said.stderr.rstrip().endswith("pip install 'tradewind[trainer]'")


def test_sdist_with_every_extra_has_all_public_names_and_its_data(
    full_python: Path, tmp_path: Path
) -> None:
    script = """
import importlib, sys
from pathlib import Path
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    assert Path(package.__file__).is_relative_to(sys.prefix), package.__file__
    for each in getattr(package, "__all__", ()):
        getattr(package, each)
from tradewind.market import load_sample
print(len(load_sample("BTC")))
"""
    said = run([str(full_python), "-c", script, *PACKAGES], tmp_path)
    assert int(said.stdout) > 10_000


def test_command_with_every_extra_says_its_version_and_its_commands(
    full_python: Path, tmp_path: Path
) -> None:
    command = str(full_python.with_name("tradewind"))
    assert run([command, "--version"], tmp_path).stdout == f"tradewind {tradewind.__version__}\n"
    assert "walk-forward" in run([command, "--help"], tmp_path).stdout
