"""Writes the pins in requirements/ from pyproject.toml's extras, with pip-compile.

    python tools/lock.py            re-resolves and writes all of them
    python tools/lock.py --check    exits with a message when one does not satisfy pyproject.toml

The files name no index and no local build: `torch==2.13.0` takes whatever build the machine's pip
is set up to find, a CPU build or a CUDA one.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "requirements"
FILES = {
    "dev.txt": ("dev",),  # the first: what the others share with it, they have in its version
    "demo.txt": ("trainer", "inference", "risk", "orchestrator", "cli"),
    "inference.txt": ("inference", "tracing", "alerts"),
    "risk.txt": ("risk", "tracing", "alerts"),
    "trainer.txt": ("trainer", "mlflow", "tracing", "alerts"),
}


def compile_pins(extras: tuple[str, ...], constraints: str = "") -> list[str]:
    """Resolves the extras; one `name==version` a requirement, sorted.

    Args:
        extras: Of pyproject.toml.
        constraints: Lines that the versions keep to.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "requirements.txt"
        flags = ["--quiet", "--strip-extras", "--no-annotate", "--no-header", "--allow-unsafe"]
        flags += ["--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host"]
        wanted = [f"--extra={extra}" for extra in extras]
        limits = Path(folder) / "constraints.txt"
        limits.write_text(constraints)
        wanted.append(f"--constraint={limits}")
        command = [sys.executable, "-m", "piptools", "compile", *flags, *wanted]
        subprocess.run([*command, "-o", output, "pyproject.toml"], cwd=ROOT, check=True)
        lines = output.read_text().splitlines()
    pins = (re.sub(r"\+\w+$", "", line) for line in lines if "==" in line)
    return sorted(pin for pin in pins if not pin.startswith("#"))


def requirements_of(extras: tuple[str, ...]) -> list[Requirement]:
    """Everything that pyproject.toml asks for under the extras, the project's own ones resolved."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = [Requirement(text) for text in project["dependencies"]]
    queue = list(extras)
    while queue:
        for text in project["optional-dependencies"][queue.pop()]:
            requirement = Requirement(text)
            if requirement.name == project["name"]:
                queue.extend(requirement.extras)
            else:
                found.append(requirement)
    return found


def unmet(name: str, extras: tuple[str, ...]) -> list[str]:
    """The requirements of the extras that the pins of a file do not satisfy."""
    pins = {}
    for line in (FOLDER / name).read_text().splitlines():
        if "==" in line and not line.startswith("#"):
            package, _, version = line.partition("==")
            pins[canonicalize_name(package)] = Version(version)
    return [
        f"{name}: {requirement}"
        for requirement in requirements_of(extras)
        if canonicalize_name(requirement.name) not in pins
        or pins[canonicalize_name(requirement.name)] not in requirement.specifier
    ]


def main() -> None:
    """Parses the command line and does what it says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="only compare, write nothing")
    if parser.parse_args().check:
        problems = [problem for name, extras in FILES.items() for problem in unmet(name, extras)]
        if problems:
            sys.exit("lock: run `make lock`; not satisfied: " + ", ".join(problems))
        print("lock: every requirement file satisfies pyproject.toml")
        return
    constraints = ""
    for name, extras in FILES.items():
        header = f"# Extras of pyproject.toml: {', '.join(extras)}. Written by `make lock`."
        pins = "\n".join(compile_pins(extras, constraints))
        constraints = constraints or pins
        (FOLDER / name).write_text(f"{header}\n{pins}\n")
        print(f"lock: wrote {name}")


if __name__ == "__main__":
    main()
