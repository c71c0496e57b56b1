"""Asks pip whether every pin of a requirement file has a wheel for each Python and platform.

    python tools/platforms.py                       requirements/demo.txt, which holds every service
    python tools/platforms.py requirements/dev.txt

Only pins whose wheels differ by platform are asked for, as they are installed here; nothing is
installed. Exits with 1 where a wheel is missing. Whatever pip finds nothing of is built from source
on that platform, or cannot be had.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13")
# What their own pip would accept: glibc 2.28 as of RHEL 8 and Debian 10, macOS 14.
PLATFORMS = {
    "Linux x86-64": (
        *(f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)),
        *("manylinux2014_x86_64", "linux_x86_64"),
    ),
    "Linux ARM": (
        *(f"manylinux_2_{minor}_aarch64" for minor in range(28, 16, -1)),
        "manylinux2014_aarch64",
    ),
    "macOS ARM": ("macosx_14_0_arm64", "macosx_14_0_universal2"),
}


def by_platform(pins: Path) -> list[str]:
    """The pins of a file whose wheel, as installed here, is not for every platform."""
    found = []
    for line in pins.read_text().splitlines():
        if "==" in line and not line.startswith("#"):
            wheel = metadata.distribution(line.partition("==")[0]).read_text("WHEEL") or ""
            if "-none-any" not in wheel:
                found.append(line)
    return found


def missing(pins: list[str], version: str, tags: tuple[str, ...]) -> list[str]:
    """The pins of which pip finds no wheel; it names one at a time."""
    lacking: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps"]
        command += ["--target", folder, "--only-binary", ":all:", "--python-version", version]
        command += ["--implementation", "cp", *(f"--platform={tag}" for tag in tags)]
        while True:
            wanted = [pin for pin in pins if pin not in lacking]
            ended = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False)
            if ended.returncode == 0:
                return lacking
            named = re.search(r"No matching distribution found for (\S+)", ended.stderr)
            if named is None or named[1] not in wanted:
                sys.exit(f"platforms: pip failed:\n{ended.stderr}")
            lacking.append(named[1])


def main() -> None:
    """Prints a line for each Python and platform."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    default = ROOT / "requirements" / "demo.txt"
    parser.add_argument("pins", nargs="?", type=Path, default=default, metavar="FILE")
    pins = by_platform(parser.parse_args().pins)
    print(f"{len(pins)} pins have wheels that differ by platform: {', '.join(pins)}")
    complete = True
    for version in VERSIONS:
        for platform, tags in PLATFORMS.items():
            lacking = missing(pins, version, tags)
            complete &= not lacking
            found = f"no wheel of {', '.join(lacking)}" if lacking else "every wheel is there"
            print(f"CPython {version}  {platform:13}  {found}", flush=True)
    sys.exit(not complete)


if __name__ == "__main__":
    main()
