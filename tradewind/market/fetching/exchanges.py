"""Bars from an exchange through ccxt: page by page, gone on with, without the candle of now."""

import difflib
import importlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from tradewind.errors import InvalidInputError, MarketDataError, NotFoundError, UnavailableError
from tradewind.market.bars import Bars
from tradewind.market.provenance import Provenance
from tradewind.market.sessions import ALWAYS_OPEN

__all__ = ["Exchange", "ExchangeBars", "joined_bars"]

_PAGE_ROWS: Final = 1_000
_ATTEMPTS: Final = 6
_FIRST_WAIT_S: Final = 1.0
_NS_PER_MS: Final = 1_000_000
_INTERVAL: Final = re.compile(r"[1-9]\d*[mhdw]")
_LIKE: Final = 5

Row = tuple[int, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class ExchangeBars:
    """What to fetch.

    Attributes:
        exchange: Its name in ccxt, such as "binance".
        symbol: Its market, as ccxt writes it, such as "BTC/USDT".
        interval: Length of a bar, such as "1h", as the exchange has it.
        settings: What the exchange's client is told: urls, proxies, timeout, options.
    """

    exchange: str
    symbol: str
    interval: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """In one line, as a file says what is in it."""
        return f"{self.exchange}:{self.symbol} {self.interval}"


class Exchange:
    """The market of an exchange, asked for its bars.

    Args:
        wanted: What to fetch.
        wait: Sleeps for so many seconds, before what failed is asked again.

    Raises:
        UnavailableError: ccxt is not installed, or the exchange does not answer.
        NotFoundError: There is no such exchange or market.
        InvalidInputError: It has no bars of that length.
    """

    def __init__(self, wanted: ExchangeBars, wait: Callable[[float], None] = time.sleep) -> None:
        self._wanted = wanted
        self._wait = wait
        self._library = _ccxt()
        if wanted.exchange not in self._library.exchanges:
            raise NotFoundError(
                f"ccxt {self._library.__version__} knows no exchange {wanted.exchange!r}"
                f"{_like(wanted.exchange, self._library.exchanges)}"
            )
        # Its own pace of requests is kept, whatever the settings say.
        settings = {**wanted.settings, "enableRateLimit": True}
        self._client = getattr(self._library, wanted.exchange)(settings)
        self.interval_ns = self._interval_ns()
        markets = self._ask(self._client.load_markets)
        if wanted.symbol not in markets:
            raise NotFoundError(
                f"{wanted.exchange} has no market {wanted.symbol!r}"
                f"{_like(wanted.symbol, list(markets))}"
            )

    def pages(self, since_ns: int, until_ns: int | None = None) -> Iterator[list[Row]]:
        """Bars from a time on, oldest first, until a time or now; none that has not closed.

        Args:
            since_ns: No bar begins before it.
            until_ns: No bar ends after it; None stands for now.

        Yields:
            Rows of time (nanoseconds), open, high, low, close and volume, each page later than the
            one before it.

        Raises:
            UnavailableError: The exchange did not answer, also when asked again.
            MarketDataError: It answered something else than bars.
        """
        now_ns = self._now_ns()
        end_ns = now_ns if until_ns is None else min(until_ns, now_ns)
        next_ns = -(-since_ns // _NS_PER_MS) * _NS_PER_MS
        while next_ns + self.interval_ns <= end_ns:
            answer = self._ask(
                self._client.fetch_ohlcv,
                self._wanted.symbol,
                self._wanted.interval,
                next_ns // _NS_PER_MS,
                _PAGE_ROWS,
            )
            rows = sorted({row[0]: row for row in map(self._row, answer)}.values())
            later = [row for row in rows if row[0] >= next_ns]
            closed = [row for row in later if row[0] + self.interval_ns <= end_ns]
            if closed:
                yield closed
            if len(closed) < len(later):
                return
            # A page without bars is one before a listing, or of an outage.
            next_ns = (
                later[-1][0] + self.interval_ns
                if later
                else next_ns + _PAGE_ROWS * self.interval_ns
            )

    def provenance(self) -> Provenance:
        """Where the bars come from."""
        return Provenance(
            name=self._wanted.name,
            source=f"{self._wanted.exchange} through ccxt {self._library.__version__}",
            digest="",
            member=f"{self._wanted.symbol}, {self._wanted.interval}",
            licence="",
            made="as the exchange answered; the bar that had not closed is left out",
        )

    def _interval_ns(self) -> int:
        offered = list(self._client.timeframes or ())
        interval = self._wanted.interval
        if interval not in offered or not _INTERVAL.fullmatch(interval):
            fitting = [name for name in offered if _INTERVAL.fullmatch(name)]
            raise InvalidInputError(
                f"{self._wanted.exchange} has no bars of {interval!r}; it has {', '.join(fitting)}"
            )
        return int(self._client.parse_timeframe(interval)) * 1_000 * _NS_PER_MS

    def _now_ns(self) -> int:
        """By the exchange's clock, where it tells: ours may be fast, and a bar open for it."""
        if self._client.has.get("fetchTime"):
            return int(self._ask(self._client.fetch_time)) * _NS_PER_MS
        return int(self._client.milliseconds()) * _NS_PER_MS

    def _row(self, cells: Any) -> Row:
        try:
            at, *numbers = cells[:6]
            opened, high, low, close, volume = map(float, numbers)
            return int(at) * _NS_PER_MS, opened, high, low, close, volume
        except (TypeError, ValueError):
            raise MarketDataError(
                f"{self._wanted.name}: the exchange answered {cells!r}, which is no bar"
            ) from None

    def _ask(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Calls the exchange; what a network or a limit refuses is asked again, ever later."""
        wait_s = _FIRST_WAIT_S
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return call(*arguments)
            except self._library.OperationFailed as problem:
                if attempt == _ATTEMPTS:
                    raise UnavailableError(
                        f"{self._wanted.exchange} did not answer, asked {attempt} times: "
                        f"{_short(problem)}"
                    ) from None
                self._wait(wait_s)
                wait_s *= 2
            except self._library.BaseError as problem:
                raise UnavailableError(
                    f"{self._wanted.exchange} refuses: {_short(problem)}"
                ) from None
        raise AssertionError("unreachable")


def joined_bars(
    symbol: str, interval_ns: int, before: Bars | None, pages: list[list[Row]]
) -> Bars | None:
    """The bars of pages, after those that were there; None where there are none at all.

    Raises:
        MarketDataError: A bar is impossible.
    """
    rows = [row for page in pages for row in page]
    if not rows:
        return before
    times, *columns = zip(*rows, strict=True)
    starts = np.array(times, dtype=np.int64)
    arrays = [np.array(column, dtype=np.float64) for column in columns]
    if before is not None:
        held = (before.open, before.high, before.low, before.close, before.volume)
        starts = np.concatenate([before.timestamps_ns, starts])
        arrays = [np.concatenate(pair) for pair in zip(held, arrays, strict=True)]
    opened, high, low, close, volume = arrays
    return Bars(symbol, starts, opened, high, low, close, volume, interval_ns, ALWAYS_OPEN)


def _ccxt() -> Any:
    try:
        # All exchanges at once, which takes seconds.
        return importlib.import_module("ccxt")
    except ModuleNotFoundError as missing:
        raise UnavailableError(
            f"bars from exchanges need {missing.name}: pip install 'tradewind[exchange]'"
        ) from None


def _like(name: str, known: list[str]) -> str:

    found = difflib.get_close_matches(name, known, n=_LIKE, cutoff=0.5)
    return f"; like it: {', '.join(found)}" if found else ""


def _short(problem: Exception) -> str:
    return " ".join(f"{type(problem).__name__}: {problem}".split())[:300]
