"""Gathers the wheels that the images are built from, from wherever pip is set up to take them.

    python tools/wheels.py build/wheels

For machines whose package index a container does not reach; docs/deployment.md shows the use.
"""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ("requirements-execution.txt", "requirements-risk.txt", "requirements-training.txt")


def main() -> int:
    """Downloads what the folder does not hold yet."""
    parser = argparse.ArgumentParser(description="Gathers the wheels of the images.")
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    files = [part for name in REQUIREMENTS for part in ("--requirement", str(ROOT / name))]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:"]
    return subprocess.call(
        [*command, "--find-links", str(folder), "--dest", str(folder), *files], cwd=ROOT
    )


if __name__ == "__main__":
    sys.exit(main())
