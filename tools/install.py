"""Makes .venv with the pins of a requirement file, and says what it does meanwhile.

    python tools/install.py demo     what `tradewind demo` and the README want
    python tools/install.py dev      what the tests, checks and benchmarks want as well

What is there already is left alone. Runs before anything is installed: no import but Python's own.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAGES = 4
SAY_EVERY_S = 5.0
PIP_FAILED = (
    "install: pip failed; {log} has all that it said. Where it finds no torch=={torch} for this "
    "machine, name an index that has it (PIP_EXTRA_INDEX_URL=...): see README.md"
)


def main() -> None:
    """Installs the set that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", choices=("demo", "dev"))
    name = parser.parse_args().name
    if sys.version_info < (3, 11):  # noqa: UP036 - here is where that is found out
        sys.exit(f"install: Tradewind needs Python 3.11 or newer, this is {sys.version.split()[0]}")
    pins = ROOT / "requirements" / f"{name}.txt"
    # pip leaves bytecode to whoever imports a module: a third of what is installed never is.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    started = time.monotonic()
    stage(1, "environment", make_environment)
    stage(2, "packages", lambda: install_packages(pins))
    stage(3, "tradewind", lambda: install_project(pins))
    stage(4, "kernels", compile_kernels)
    print(f"ready in {time.monotonic() - started:.0f} s: {VENV.name}/bin/tradewind --help")


def stage(number: int, title: str, run: Callable[[], str]) -> None:
    """Runs one stage; a line says what it has done, and how long that took."""
    started = time.monotonic()
    said = run()
    print(f"[{number}/{STAGES}] {title}: {said} ({time.monotonic() - started:.0f} s)", flush=True)


def make_environment() -> str:
    """Makes .venv unless it is there, or was left half made."""
    if PYTHON.exists() and "pip" in installed():
        return f"{VENV.name} is there"
    try:
        venv.create(VENV, with_pip=True, symlinks=True)
    except subprocess.CalledProcessError:
        sys.exit("install: this Python makes no environments; on Debian: apt install python3-venv")
    return f"made {VENV.name} of Python {sys.version.split()[0]}"


def pinned(pins: Path) -> dict[str, str]:
    """The versions that a requirement file names, by normalised name."""
    lines = [line for line in pins.read_text().splitlines() if "==" in line and line[0] != "#"]
    return {
        normalised(name): version for name, _, version in (line.partition("==") for line in lines)
    }


def normalised(name: str) -> str:
    """A package's name as PEP 503 has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> dict[str, str]:
    """The versions in .venv, with what they say of their build, such as 2.13.0+cpu."""
    folders = [str(folder) for folder in VENV.glob("lib/python*/site-packages")]
    found = metadata.distributions(path=folders)
    return {normalised(each.metadata["Name"]): each.version for each in found}


def fits(there: dict[str, str], name: str, version: str) -> bool:
    """Whether a package is there in a version, of whatever build."""
    return there.get(name, "").partition("+")[0] == version


def install_packages(pins: Path) -> str:
    """Has pip install what is missing, as it is pinned: there is nothing to resolve."""
    wanted, there = pinned(pins), installed()
    missing = {name: version for name, version in wanted.items() if not fits(there, name, version)}
    if not missing:
        return f"all {len(wanted)} are there"
    print(f"    packages: {len(missing)} of {len(wanted)} are to be installed", flush=True)
    # A new pip takes over before it installs the others, not in the midst of it.
    for names in ({"pip"} & missing.keys(), missing.keys() - {"pip"}):
        if names:
            install(missing, sorted(names))
    drop_test_programs()
    return f"installed {len(missing)} of {len(wanted)}, torch {installed()['torch']}"


def drop_test_programs() -> None:
    """Removes the programs with which torch tests itself: a twelfth of all that is installed."""
    for torch in VENV.glob("lib/python*/site-packages/torch"):
        shutil.rmtree(torch / "test", ignore_errors=True)
        for program in (torch / "bin").glob("test_*"):
            program.unlink()


def install(versions: dict[str, str], names: list[str]) -> None:
    """One run of pip, whose progress is said now and then."""
    command = [
        str(PYTHON),
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-compile",
        "--progress-bar=off",
    ]
    command += ["--disable-pip-version-check", *(f"{name}=={versions[name]}" for name in names)]
    log = VENV / "pip.log"
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        started = said = time.monotonic()
        while process.poll() is None:
            time.sleep(0.2)
            if time.monotonic() - said >= SAY_EVERY_S:
                said = time.monotonic()
                print(f"    {progress(log, versions, names)}, {said - started:.0f} s", flush=True)
    if process.returncode:
        sys.stderr.write("".join(log.read_text().splitlines(keepends=True)[-15:]))
        sys.exit(PIP_FAILED.format(log=log, torch=versions.get("torch", "VERSION")))


def progress(log: Path, versions: dict[str, str], names: list[str]) -> str:
    """How far pip is."""
    text = log.read_text(errors="replace")
    if "Installing collected packages" not in text:
        *_, latest = ["", *re.findall(r"(?:Downloading|Processing) \S*?([^/\s]+\.whl.*)", text)]
        return f"packages: got {text.count('Collecting ')} of {len(names)}; {latest}".rstrip("; ")
    there = installed()
    done = sum(fits(there, name, versions[name]) for name in names)
    return f"packages: unpacked {done} of {len(names)}"


def install_project(pins: Path) -> str:
    """Installs the checkout itself, and what a build of torch needs that no pin can name.

    A build for GPUs has dozens of packages beside it, one for the CPU has none.
    """
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--no-build-isolation"]
    command += ["--disable-pip-version-check", "--requirement", str(pins), "--editable", str(ROOT)]
    with tempfile.TemporaryFile("w+") as said:
        quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
        if subprocess.call(command, env=quiet, stdout=said, stderr=subprocess.STDOUT):
            said.seek(0)
            sys.exit(f"{said.read()}install: pip failed to install the checkout, see above")
    return "the checkout, editable"


def compile_kernels() -> str:
    """Compiles what is missing, as many groups at a time as there are cores."""
    subprocess.run([str(PYTHON), "-m", "tradewind_cli.compiling"], cwd=ROOT, check=True)
    return "compiled and kept"


if __name__ == "__main__":
    main()
