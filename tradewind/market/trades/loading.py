"""Bars from a user's file of trades or quotes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from numpy.typing import NDArray

from tradewind.constants import TIMESTAMP
from tradewind.errors import FieldViolation, MarketDataError, StorageError
from tradewind.market.bars import Bars
from tradewind.market.calendars import market_named
from tradewind.market.checks import MAX_PRICE, MAX_TIMESTAMP_NS, MAX_VOLUME, MIN_PRICE
from tradewind.market.forming import without_forming_bar
from tradewind.market.reading import ReadOptions, Recognition
from tradewind.market.reading.options import DateOrder, RowOrder, TimestampUnit
from tradewind.market.reading.packing import unpacked
from tradewind.market.reading.source import open_unchanged
from tradewind.market.reading.times import TimeForm, is_text, tell_times
from tradewind.market.trades.building import BarBuilder, Events
from tradewind.market.trades.forms import TradeRoles, checked_of, roles_of_names
from tradewind.market.trades.rules import TIME, BarRule
from tradewind.market.trades.text import CLOCK, Cells, TradeText
from tradewind.process.durable import replace_file

__all__ = ["TradeBars", "load_trades"]

_PARQUET: Final = b"PAR1"
_ROWS: Final = 2**18
_FIXED_POINT: Final = 1e9
_UNDEFINED: Final = 2.0**63
_AT_ONCE: Final = ("newest_first", "unsorted")


@dataclass(frozen=True, eq=False)
class TradeBars:
    """Bars, and what only trades or quotes tell. Shape [n] each.

    Attributes:
        bars: The bars; of quotes, of the middle between bid and ask, without volume.
        counts: Trades or quotes in each bar.
        last_ns: When the last of them was, nanoseconds since the epoch.
        spreads: Mean of ask minus bid over the quotes of each bar; None for trades.
    """

    bars: Bars
    counts: NDArray[np.int64]
    last_ns: NDArray[np.int64]
    spreads: NDArray[np.float64] | None

    def save(self, path: Path) -> None:
        """Writes them as Parquet that `load_bars` reads; the other columns lie beside the bars.

        Raises:
            StorageError: The file cannot be written.
        """
        bars = self.bars
        columns: dict[str, Any] = {
            TIMESTAMP: pa.array(bars.timestamps_ns, pa.timestamp("ns", "UTC")),
            "open": bars.open,
            "high": bars.high,
            "low": bars.low,
            "close": bars.close,
            "volume": bars.volume,
            "event_count": self.counts,
            "last_event": pa.array(self.last_ns, pa.timestamp("ns", "UTC")),
        }
        if self.spreads is not None:
            columns["spread"] = self.spreads
        sink = pa.BufferOutputStream()
        pyarrow.parquet.write_table(pa.table(columns), sink)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, sink.getvalue().to_pybytes())
        except OSError as problem:
            raise StorageError(f"cannot write {path}: {problem}") from None


def load_trades(
    path: Path | str,
    bars: str,
    symbol: str | None = None,
    *,
    of: str | None = None,
    columns: Mapping[str, str | int] | None = None,
    timestamp_unit: TimestampUnit | None = None,
    tz: str | None = None,
    order: RowOrder | None = None,
    dates: DateOrder | None = None,
    market: str | None = None,
) -> TradeBars:
    """Builds bars from a file of trades or quotes, holding some blocks of it at a time.

    What is recognised is as for `load_bars`; docs/guides/data.md lists the forms.

    Args:
        path: Separated text, as it is or packed; Databento's DBN; or Parquet.
        bars: When a bar ends: "time:1m", "tick:1000" trades, "volume:50" units of the asset,
            "dollar:1e6" of price times size. Bars of time lie on multiples of their length after
            midnight (UTC), and one without trades is missing. The others begin at their first
            trade; the trade that reaches the size is the last one, with all of its size, and
            trades after the last bar are left out and counted.
        symbol: What is traded; by default the file's name up to its first dot. In a file of
            several symbols, the one to take.
        of: "trades" or "quotes", where the file has both.
        columns: Which column is timestamp, price, size, bid or ask: its name, or its position
            from 1.
        timestamp_unit: Unit of times that are numbers, for those that the size does not tell.
        tz: Time zone of times without an offset.
        order: "newest_first" or "unsorted" sort by time, which takes memory for all trades.
        dates: "month_first" or "day_first", where the first rows do not tell.
        market: Name of the market the bars are of; by default it is recognised.

    Raises:
        MarketDataError: The file cannot be read, or a row cannot be used; names its line.
        ImportError: It is DBN, and databento-dbn is not installed.
    """
    path, rule = Path(path), BarRule.parse(bars)
    given_market = None if market is None else market_named(market)
    options = ReadOptions({}, timestamp_unit, tz, order, dates=dates, symbol=symbol)
    reader = _Reader(str(path), options, dict(columns or {}), checked_of(of))
    builder = BarBuilder(rule)
    with open_unchanged(path) as file:
        parquet = file.read(len(_PARQUET)) == _PARQUET
        file.seek(0)
        if parquet:
            reader.feed(reader.parquet(file), builder)
        else:
            with unpacked(path, file) as (inner, notes):
                reader.notes += notes
                reader.feed(reader.text(inner), builder)
    return _finished(reader, builder, symbol or path.name.partition(".")[0], given_market)


def _finished(reader: "_Reader", builder: BarBuilder, symbol: str, market: Any) -> TradeBars:
    built = builder.finish()
    what = reader.of
    if not len(built.counts):
        raise MarketDataError(
            f"{reader.subject} gives no bar of {builder.rule.text}: it has {builder.left_over:,} "
            f"{what}"
        )
    if builder.left_over:
        reader.notes += (f"{builder.left_over} {what} after the last bar: left out",)
    timed = builder.rule.kind == TIME
    if not timed:
        reader.notes += ("bars of unequal length; a timestamp is the time of the first of them",)
    total = int(built.counts.sum())
    reader.notes += (f"{builder.rule.text} from {total:,} {what}",)
    recognition = Recognition(
        reader.subject, reader.form, reader.origins, reader.times, reader.notes, len(built.counts)
    )
    opened, high, low, close = built.prices
    bars = Bars(
        symbol,
        built.timestamps_ns,
        opened,
        high,
        low,
        close,
        built.volumes,
        int(builder.rule.size) if timed else int(len(built.counts) == 1),
        market,
        recognised=recognition,
    )
    if timed:
        bars = without_forming_bar(bars, Path(reader.subject))
    spreads = built.spreads[: len(bars)] if what == "quotes" else None
    return TradeBars(bars, built.counts[: len(bars)], built.last_ns[: len(bars)], spreads)


@dataclass(eq=False)
class _Reader:
    """Reads rows as events, and remembers what was recognised."""

    subject: str
    options: ReadOptions
    columns: dict[str, str | int]
    wanted: Any
    notes: tuple[str, ...] = ()
    form: str = ""
    times: str = ""
    of: str = "trades"
    origins: dict[str, str] = field(default_factory=dict)
    one_sided: int = 0
    _symbol: str | None = None
    _last_ns: int = -(2**63)

    def text(self, file: Any) -> Iterator[tuple[Cells, Events]]:
        table, begun = TradeText.open(self.subject, file, self.columns, self.options, self.wanted)
        label = table.dialect.label
        names = table.dialect.names or [f"column {n + 1}" for n in range(table.dialect.width)]
        self.notes += table.dialect.skipped
        self._recognise(table.roles, label, list(names), table.form)
        fixed = table.roles.form == "Databento" and table.whole_prices
        for cells in table.read(file, begun):
            yield cells, self._events(cells, table.form, fixed=fixed)

    def parquet(self, file: Any) -> Iterator[tuple[Cells, Events]]:
        try:
            with pyarrow.parquet.ParquetFile(file) as source:
                names = source.schema_arrow.names
                roles = roles_of_names(self.subject, names, self.columns, self.wanted)
                places = {**roles.columns, CLOCK: roles.clock, "symbol": roles.symbol}
                places["action"] = roles.action
                taken = {role: names[p] for role, p in places.items() if p is not None}
                form: TimeForm | None = None
                row, fixed = 0, False
                for batch in source.iter_batches(_ROWS, columns=list(set(taken.values()))):
                    table = pa.Table.from_batches([batch])
                    cells = _rows({r: table.column(n) for r, n in taken.items()}, row, self.subject)
                    if form is None:
                        times = _joined(cells.columns)
                        form = tell_times(times, self.options)
                        self._recognise(roles, "Parquet", names, form)
                        price = cells.columns["price" if roles.of == "trades" else "bid"]
                        fixed = roles.form == "Databento" and pa.types.is_integer(price.type)
                    yield cells, self._events(cells, form, fixed=fixed)
                    row += len(batch)
        except (OSError, pa.ArrowException) as problem:
            raise MarketDataError(f"cannot read {self.subject}: {problem}") from None

    def feed(self, parts: Iterator[tuple[Cells, Events]], builder: BarBuilder) -> None:
        """Gives all rows to a builder, in order."""
        if self.options.order in _AT_ONCE:
            everything = [events for _, events in parts]
            if everything:
                builder.add(_sorted(everything, self.options.order))
                self.notes += ("sorted by time",)
        else:
            for cells, events in parts:
                self._check_order(cells, events)
                builder.add(events)
        if self.one_sided:
            self.notes += (f"{self.one_sided:,} quotes without a side or crossed: left out",)

    def _recognise(self, roles: TradeRoles, label: str, names: list[str], form: TimeForm) -> None:
        self.of = roles.of
        self.form = f"{roles.form}, {label}" if roles.form else label
        self.times = form.label
        self.origins = {role: names[place] for role, place in roles.columns.items()}

    def _events(self, cells: Cells, form: TimeForm, *, fixed: bool) -> Events:
        def convert(part: Cells) -> Events:
            return self._converted(part.columns, form, fixed=fixed)

        try:
            return convert(cells)
        except (pa.ArrowException, ValueError):
            raise cells.refusal(convert) from None

    def _converted(self, columns: dict[str, Any], form: TimeForm, *, fixed: bool) -> Events:
        """Rows as events; a ValueError where one cannot be used."""
        kept = self._kept(columns)
        if kept is not None:
            columns = {role: column.filter(kept) for role, column in columns.items()}
        times = _joined(columns)
        if form.direct is not None and times.type == form.direct and not is_text(times):
            instants = pc.cast(times, pa.int64())
            instants = pc.multiply_checked(instants, form.factor) if form.factor > 1 else instants
        else:
            instants = form.cast(times)
        if instants.null_count:
            raise ValueError("a time is of another form")
        times_ns = np.asarray(instants, dtype=np.int64)
        if times_ns.size and np.abs(times_ns).max() > MAX_TIMESTAMP_NS:
            raise ValueError("a time is out of range")
        numbers = {
            # An undefined price is 2^63 - 1, which no float is: rounded, it is told below.
            role: np.asarray(pc.cast(columns[role], pa.float64(), safe=not fixed), np.float64)
            for role in columns
            if role in ("price", "size", "bid", "ask")
        }
        if fixed:
            for role in numbers.keys() - {"size"}:
                price = numbers[role]
                numbers[role] = np.where(price >= _UNDEFINED, np.nan, price / _FIXED_POINT)
        if self.of == "trades":
            prices, sizes = numbers["price"], numbers["size"]
            usable = (prices >= MIN_PRICE) & (prices <= MAX_PRICE)
            if not (usable & (sizes >= 0.0) & (sizes <= MAX_VOLUME)).all():
                raise ValueError("a price or a size cannot be used")
            return Events(times_ns, prices, sizes, np.zeros(len(prices)))
        return self._middles(times_ns, numbers["bid"], numbers["ask"])

    def _middles(
        self, times_ns: NDArray[np.int64], bid: NDArray[np.float64], ask: NDArray[np.float64]
    ) -> Events:
        if (bid < 0.0).any() or (max(np.nanmax(ask, initial=0.0), 0.0) > MAX_PRICE):
            raise ValueError("a price cannot be used")
        two_sided = (bid >= MIN_PRICE) & (ask >= bid) & (ask <= MAX_PRICE)
        self.one_sided += int((~two_sided).sum())
        bid, ask = bid[two_sided], ask[two_sided]
        return Events(times_ns[two_sided], (bid + ask) / 2.0, np.zeros(len(bid)), ask - bid)

    def _kept(self, columns: dict[str, Any]) -> Any:
        """Which rows are of the wanted symbol, and trades; None for all."""
        kept = None
        if self.of == "trades" and "action" in columns:
            kept = pc.equal(columns["action"], "T")
        if "symbol" not in columns:
            return kept
        symbols = pc.cast(columns["symbol"], pa.string())
        found = [str(name) for name in pc.unique(symbols).to_pylist()]
        self._symbol = self._symbol or (found[0] if len(found) == 1 else None)
        if found == [self._symbol]:
            return kept
        wanted = self.options.symbol
        if wanted is None or (self._symbol is None and wanted not in found):
            listed = ", ".join(sorted({*found, *([self._symbol] if self._symbol else [])})[:10])
            raise MarketDataError(
                f"{self.subject} has {self.of} of several symbols ({listed}); say which as "
                f"symbol: {found[0]}"
            )
        if self._symbol not in (None, wanted):
            raise MarketDataError(
                f"{self.subject} has several symbols, and {self._symbol} alone before the first "
                f"row of {wanted}: sort it, or give a file of one symbol"
            )
        self._symbol = wanted
        mine = pc.equal(symbols, wanted)
        return mine if kept is None else pc.and_(kept, mine)

    def _check_order(self, cells: Cells, events: Events) -> None:
        times = events.times_ns
        if not times.size:
            return
        before = np.concatenate(([self._last_ns], times[:-1]))
        self._last_ns = int(times[-1])
        wrong = np.flatnonzero(times < before)
        if wrong.size:
            row = int(wrong[0])
            length = len(next(iter(cells.columns.values())))
            # Rows that were left out make it some row later.
            place = cells.label(row) if length == len(times) else f"{cells.label(row)} or after"
            raise MarketDataError(
                f"{self.subject} is in no order",
                [
                    FieldViolation(
                        f"{place}, {TIMESTAMP}",
                        "is earlier than the row before it (order: unsorted sorts, in memory)",
                    )
                ],
            )


def _rows(columns: dict[str, Any], first: int, subject: str) -> Cells:
    def refusal(convert: Any) -> MarketDataError:
        length = len(next(iter(columns.values())))
        low, high = 0, length
        while high - low > 1:
            middle = (low + high) // 2
            part = {role: column.slice(0, middle) for role, column in columns.items()}
            try:
                convert(_rows(part, first, subject))
                low = middle
            except (pa.ArrowException, ValueError, MarketDataError):
                high = middle
        cells = {role: column[high - 1].as_py() for role, column in columns.items()}
        return MarketDataError(
            f"{subject} has rows that cannot be used",
            [FieldViolation(f"row {first + high}", f"{cells} needs a time, a price, a size")],
        )

    return Cells(columns, lambda row: f"row {first + row + 1}", refusal)


def _joined(columns: dict[str, Any]) -> Any:
    times = columns[TIMESTAMP]
    if CLOCK in columns and is_text(times):
        return pc.binary_join_element_wise(times, columns[CLOCK], " ")
    return times


def _sorted(parts: list[Events], order: str | None) -> Events:
    columns = [
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("times_ns", "prices", "sizes", "spreads")
    ]
    if order == "newest_first":
        columns = [column[::-1] for column in columns]
    places = np.argsort(columns[0], kind="stable")
    times, prices, sizes, spreads = (np.ascontiguousarray(column[places]) for column in columns)
    return Events(times, prices, sizes, spreads)
