"""Gathers the wheels that the images are built from, from wherever pip is set up to take them.

    python tools/wheels.py build/wheels
    python tools/wheels.py build/wheels --torch-build any

torch as a build for the CPU, unless told otherwise: the plain one brings gigabytes of CUDA on
x86-64. docs/operations/deployment.md shows the use.
"""

import argparse
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = tuple(f"requirements/{image}.txt" for image in ("inference", "risk", "trainer"))


def torch_constraint(requirements: str, build: str, machine: str) -> str:
    """The line that keeps torch to a build for the CPU; empty where every build will do.

    Args:
        requirements: Content of a requirement file.
        build: `cpu`, or `any`.
        machine: The processor, as `platform.machine()` names it.
    """
    pin = re.search(r"^torch==[^+\s]+$", requirements, re.MULTILINE)
    return f"{pin[0]}+cpu" if pin and build == "cpu" and machine == "x86_64" else ""


def main() -> int:
    """Downloads what the folder does not hold yet."""
    parser = argparse.ArgumentParser(description="Gathers the wheels of the images.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--torch-build", choices=("cpu", "any"), default="cpu")
    options = parser.parse_args()
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    pins = "".join((ROOT / name).read_text() for name in REQUIREMENTS)
    constraint = torch_constraint(pins, options.torch_build, platform.machine())
    files = [part for name in REQUIREMENTS for part in ("--requirement", str(ROOT / name))]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write(constraint)
        constraints.flush()
        command += ["--find-links", str(folder), "--dest", str(folder)]
        ended = subprocess.call([*command, "--constraint", constraints.name, *files], cwd=ROOT)
    if ended and constraint:
        sys.stderr.write(
            f"wheels: where pip does not find {constraint}, name an index that has it\n"
            "(PIP_EXTRA_INDEX_URL=...), or take any build of torch: --torch-build any\n"
        )
    return ended


if __name__ == "__main__":
    sys.exit(main())
