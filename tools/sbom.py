"""Writes what each image and the wheel are made of, as CycloneDX 1.6 (ECMA-424) in JSON.

    python tools/sbom.py dist/sbom

One file for each image, from the pins that it is installed from, and one for the wheel with every
extra. The packages of an image's operating system are those of its base image, which is not ours
to list. `cyclonedx-bom` makes the files and checks them against the schema.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tradewind import __version__

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / ".venv-audit" / "bin" / "cyclonedx-py"
IMAGES = ("inference", "risk", "trainer")


def make_sbom(requirements: str, output: Path, kind: str) -> dict[str, Any]:
    """Writes the bill of materials of some pins, and gives it back.

    Args:
        requirements: Lines of a requirement file.
        output: The file to write.
        kind: CycloneDX's type of the whole: application, or library.

    Raises:
        subprocess.CalledProcessError: It could not be made, or is not valid.
    """
    command = [str(PROGRAM), "requirements", "--pyproject", str(ROOT / "pyproject.toml")]
    flags = ["--mc-type", kind, "--sv", "1.6", "--of", "JSON", "--output-reproducible"]
    subprocess.run(
        [*command, *flags, "--validate", "--output-file", str(output), "-"],
        input=requirements,
        text=True,
        check=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},  # a list of pins has no graph
    )
    found: dict[str, Any] = json.loads(output.read_text())
    found["metadata"]["component"]["version"] = __version__  # which pyproject.toml takes from there
    output.write_text(json.dumps(found, indent=2) + "\n")
    return found


def pins_of(*names: str) -> str:
    """The pins of requirement files, each once."""
    lines = [(ROOT / "requirements" / f"{name}.txt").read_text().splitlines() for name in names]
    return "\n".join(sorted({line for each in lines for line in each if "==" in line}))


def main() -> None:
    """Parses the command line and writes the files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where the files go")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, pins, kind in [
        *((f"tradewind-{image}", pins_of(image), "application") for image in IMAGES),
        ("tradewind", pins_of(*IMAGES), "library"),
    ]:
        output = folder / f"{name}.cdx.json"
        try:
            count = len(make_sbom(pins, output, kind)["components"])
        except subprocess.CalledProcessError as problem:
            sys.exit(f"sbom: {output} cannot be made: cyclonedx-py ended with {problem.returncode}")
        if count != len(pins.splitlines()):
            sys.exit(f"sbom: {output} has {count} components of {len(pins.splitlines())} pins")
        print(f"{output}: {count} components")


if __name__ == "__main__":
    main()
