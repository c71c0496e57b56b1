"""The bars of one symbol out of a folder: many files, flat or in folders by symbol and date."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import MarketDataError
from tradewind.market.bar_files import bar_files
from tradewind.market.reading import ReadOptions, Recognition
from tradewind.market.reading.options import NoRowsError, OtherSymbolsError
from tradewind.market.sessions import format_time
from tradewind.market.tables import Loaded, read_columns

__all__ = ["FolderBars", "read_folder"]

_SYMBOL_KEYS: Final = ("symbol", "ticker", "instrument", "pair", "name")
_ORDERS: Final = ("month/day", "day/month")
_MANY: Final = 10
_ENOUGH_SPACINGS: Final = 10
# Days at local midnight are 23 hours apart in spring, months 28 days in February.
_FINER_BELOW: Final = 0.75
_SHOWN: Final = 5


@dataclass(frozen=True, eq=False)
class FolderBars:
    """Bars of a folder, oldest first.

    Attributes:
        loaded: The bars, and how they were read.
        symbol: What the folder says that they are of; None where it says nothing.
        last_file: The file with the last of them.
    """

    loaded: Loaded
    symbol: str | None
    last_file: Path


@dataclass(frozen=True, eq=False)
class _Piece:
    path: Path
    loaded: Loaded

    @property
    def first_ns(self) -> int:
        return int(self.loaded.timestamps_ns[0])

    @property
    def last_ns(self) -> int:
        return int(self.loaded.timestamps_ns[-1])


def read_folder(folder: Path, options: ReadOptions) -> FolderBars:
    """Reads the bars of one symbol, a file at a time, and joins them by their times.

    Files of a symbol are those in a folder `symbol=NAME`, those named after it where any is, or
    else all of them, each with a column of symbols or of this one alone. Memory holds the bars of
    that symbol and one file's text; of Parquet, one row group of it.

    Raises:
        MarketDataError: There are no such files; one cannot be read; or they contradict each other:
            in the lengths of their bars, in the order of dates, or in the prices of the same bar.
    """
    files, others = bar_files(folder)
    chosen, notes = _files_of(folder, files, options.symbol)
    if others:
        shown = ", ".join(others[:_SHOWN])
        notes.append(f"{len(others)} other file(s) left alone: {shown}")
    pieces = _of_symbol(folder, _pieces(chosen, options, notes), options.symbol, notes)
    pieces.sort(key=lambda piece: (piece.first_ns, piece.last_ns))
    _check_dates(folder, pieces)
    _check_same_length(folder, pieces)
    last = max(pieces, key=lambda piece: piece.last_ns).path
    return FolderBars(_joined(folder, pieces, notes), _partition(folder, last), last)


def _pieces(
    files: Sequence[Path], options: ReadOptions, notes: list[str]
) -> Iterator[_Piece | OtherSymbolsError]:
    for path in files:
        try:
            yield _Piece(path, read_columns(path, options))
        except NoRowsError:
            notes.append(f"{path.name} has no rows")
        except OtherSymbolsError as problem:
            if options.symbol is None:
                raise
            yield problem


def _of_symbol(
    folder: Path,
    found: Iterable[_Piece | OtherSymbolsError],
    symbol: str | None,
    notes: list[str],
) -> list[_Piece]:
    """The pieces of the wanted symbol, as their own columns of symbols name it."""
    pieces: list[_Piece] = []
    strangers: list[_Piece] = []
    others: set[str] = set()
    for piece in found:
        if isinstance(piece, OtherSymbolsError):
            others.update(piece.symbols)
        elif piece.loaded.symbols and symbol not in piece.loaded.symbols:
            others.update(piece.loaded.symbols)
            strangers.append(piece)
        else:
            pieces.append(piece)
    if not pieces and len(others) == 1:
        # A file of one symbol is called as its user likes, and so are many files of the same one.
        return strangers
    if not pieces and not others:
        raise MarketDataError(f"{folder} has no bars: its files have no rows")
    if not pieces or (others and symbol is None):
        raise OtherSymbolsError(str(folder), sorted(others))
    if others:
        notes.append(f"files that are of other symbols alone ({_some(sorted(others))}) left alone")
    return pieces


def _files_of(folder: Path, files: list[Path], symbol: str | None) -> tuple[list[Path], list[str]]:
    """Which of the files hold bars of a symbol."""
    by_symbol: dict[str | None, list[Path]] = {}
    for path in files:
        by_symbol.setdefault(_partition(folder, path), []).append(path)
    partitions = sorted(name for name in by_symbol if name is not None)
    if partitions:
        if symbol in by_symbol and symbol is not None:
            note = f"files of {symbol}, one of {len(partitions)} symbols in folders"
            return by_symbol[symbol], [note] if len(partitions) > 1 else []
        if len(partitions) > 1 or symbol is not None:
            raise MarketDataError(
                f"{folder} has bars of {len(partitions)} symbol(s) ({_some(partitions)}); say "
                f"which as symbol: {partitions[0]}"
            )
        return by_symbol[partitions[0]], []
    named = [path for path in files if symbol is not None and _is_named(path, symbol)]
    if named and len(named) < len(files):
        return named, [f"{len(named)} of {len(files)} files, which are named after {symbol}"]
    return files, []


def _partition(folder: Path, path: Path) -> str | None:
    """The symbol that the folders above a file name, as symbol=BTC does."""
    for part in path.relative_to(folder).parts[:-1]:
        key, sign, value = part.partition("=")
        if sign and key.lower() in _SYMBOL_KEYS:
            return unquote(value)
    return None


def _is_named(path: Path, symbol: str) -> bool:
    name, wanted = path.name.casefold(), symbol.casefold()
    rest = name.removeprefix(wanted)
    return name.startswith(wanted) and not rest[:1].isalnum()


def _check_dates(folder: Path, pieces: Sequence[_Piece]) -> None:
    """Refuses a folder whose files were read with months before days, and after them."""
    found: dict[str, Path] = {}
    for piece in pieces:
        times = piece.loaded.recognition.times
        order = next((order for order in _ORDERS if times.startswith(order)), None)
        if order is not None:
            found.setdefault(order[0], piece.path)
    if len(found) > 1:
        month, day = found["m"], found["d"]
        raise MarketDataError(
            f"{folder} has files with the month first ({_below(folder, month)}) and with the day "
            f"first ({_below(folder, day)}): read them apart, or say dates"
        )


def _check_same_length(folder: Path, pieces: Sequence[_Piece]) -> None:
    """Refuses files of bars of different lengths, as far as their spacings tell."""
    spacings = {piece: np.diff(piece.loaded.timestamps_ns) for piece in pieces}
    told = {piece: found for piece, found in spacings.items() if found.size}
    if len(told) < 2:
        return
    lengths = {piece: _usual(found) for piece, found in told.items()}
    bars: Counter[int] = Counter()
    for piece, length in lengths.items():
        bars[length] += told[piece].size
    usual = bars.most_common(1)[0][0]
    for piece, found in told.items():
        finer = lengths[piece] < _FINER_BELOW * usual
        coarser = found.size >= _ENOUGH_SPACINGS and bool((found > usual).all())
        if finer or (coarser and lengths[piece] > usual / _FINER_BELOW):
            other = next(one for one, length in lengths.items() if length == usual)
            raise MarketDataError(
                f"{folder} has files of bars of different lengths: "
                f"{_below(folder, piece.path)} {lengths[piece] / 1e9:g} s, "
                f"{_below(folder, other.path)} {usual / 1e9:g} s; keep them apart"
            )


def _usual(spacings: NDArray[np.int64]) -> int:
    ordered = np.sort(spacings)
    return int(ordered[(ordered.size - 1) // 2])


def _joined(folder: Path, pieces: Sequence[_Piece], notes: list[str]) -> Loaded:
    times = np.concatenate([piece.loaded.timestamps_ns for piece in pieces])
    names = tuple(pieces[0].loaded.columns)
    columns = {
        name: np.concatenate([piece.loaded.columns[name] for piece in pieces]) for name in names
    }
    if (np.diff(times) <= 0).any():
        owners = np.repeat(
            np.arange(len(pieces)), [piece.loaded.timestamps_ns.size for piece in pieces]
        )
        order = np.argsort(times, kind="stable")
        times, owners = times[order], owners[order]
        columns = {name: column[order] for name, column in columns.items()}
        repeated = np.flatnonzero(np.diff(times) == 0)
        _check_alike(folder, pieces, times, columns, owners, repeated)
        keep = np.ones(times.size, dtype=np.bool_)
        keep[repeated + 1] = False
        times = times[keep]
        columns = {name: column[keep] for name, column in columns.items()}
        notes.append(
            f"files overlap: {repeated.size:,} bars that stand in two alike are taken once"
        )
    for array in (times, *columns.values()):
        array.setflags(write=False)
    return Loaded(times, columns, _recognition(folder, pieces, notes, times.size))


def _check_alike(
    folder: Path,
    pieces: Sequence[_Piece],
    times: NDArray[np.int64],
    columns: dict[str, NDArray[np.float64]],
    owners: NDArray[np.int64],
    repeated: NDArray[np.intp],
) -> None:
    """Refuses bars of the same time that differ; each of `repeated` is alike to the next row."""
    for name, column in columns.items():
        differing = repeated[column[repeated] != column[repeated + 1]]
        if differing.size:
            row = int(differing[0])
            one, other = (_below(folder, pieces[owners[at]].path) for at in (row, row + 1))
            raise MarketDataError(
                f"{folder}: {one} and {other} both have a bar of {format_time(times[row])}, with "
                f"{name} {column[row]:g} and {column[row + 1]:g}: take one of them out; of files "
                "of different symbols, say which as symbol, as the files or their folders "
                "(symbol=…) are named"
            )


def _recognition(
    folder: Path, pieces: Sequence[_Piece], notes: list[str], count: int
) -> Recognition:
    first = pieces[0].loaded.recognition
    said = Counter(note for piece in pieces for note in piece.loaded.recognition.notes)
    alike = [note for note, times in said.items() if times == len(pieces)]
    some = [f"{note} (in {n} of the files)" for note, n in said.items() if n < len(pieces)]
    more = [f"… and {len(some) - _MANY} more"] if len(some) > _MANY else []
    forms = Counter(piece.loaded.recognition.form for piece in pieces)
    form = ", ".join(f"{n} of {name}" for name, n in forms.items())
    times = dict.fromkeys(piece.loaded.recognition.times for piece in pieces)
    return replace(
        first,
        source=str(folder),
        form=f"{len(pieces)} file(s): {form}",
        times=" / ".join(times),
        notes=(*notes, *alike, *some[:_MANY], *more),
        bar_count=count,
    )


def _below(folder: Path, path: Path) -> str:
    return str(path.relative_to(folder))


def _some(names: Sequence[str]) -> str:
    more = f", … {len(names) - _MANY} more" if len(names) > _MANY else ""
    return ", ".join(names[:_MANY]) + more
