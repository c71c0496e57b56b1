"""Makes environments of their own for programs that cannot share the project's.

    python tools/side_environments.py tritonclient envoy

Each is the folder `.venv-NAME`, made from the pins in requirements/NAME.txt; one that has them
already is left as it is. Exits with a message where pip cannot get them.
"""

import argparse
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("audit", "ccxt", "docs", "envoy", "kserve", "kubernetes", "mlserver", "tritonclient")


def make(name: str) -> None:
    """Makes the environment of a name.

    Raises:
        subprocess.CalledProcessError: pip failed.
    """
    pins, folder = ROOT / "requirements" / f"{name}.txt", ROOT / f".venv-{name}"
    made_from = folder / pins.name  # written last
    if made_from.is_file() and made_from.read_text() == pins.read_text():
        return
    venv.create(folder, clear=True, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--disable-pip-version-check", "--requirement", str(pins)], check=True)
    shutil.copyfile(pins, made_from)


def main() -> None:
    """Parses the command line and makes what it names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="+", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    for name in parser.parse_args().names:
        try:
            make(name)
        except subprocess.CalledProcessError:
            sys.exit(f"side_environments: .venv-{name} cannot be made, see above")


if __name__ == "__main__":
    main()
