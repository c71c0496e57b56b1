"""Files of bars in the shapes that vendors write, from one random walk; none is copied.

`python -m tests.data.vendors.make FOLDER` writes them all.
"""

import sys
from pathlib import Path

from tests.data.vendors.crypto import crypto_files
from tests.data.vendors.databento import databento_bars
from tests.data.vendors.histories import history_files
from tests.data.vendors.series import VendorFile
from tests.data.vendors.terminals import terminal_files

__all__ = ["vendor_files"]


def vendor_files() -> list[VendorFile]:
    return crypto_files() + terminal_files() + history_files() + databento_bars()


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in vendor_files():
        (folder / file.name).write_bytes(file.content)
        print(folder / file.name, *(f"{key}={value}" for key, value in file.options.items()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
