"""`tradewind data fetch EXCHANGE:MARKET`: the real ccxt, asking a Binance that answers here."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from tradewind.errors import MarketDataError
from tradewind.market import load_bars
from tradewind.market.fetching import exchanges
from tradewind.market.fetching.exchanges import Exchange, ExchangeBars
from tradewind.market.saving import previous_provenance

ROOT = Path(__file__).resolve().parents[3]
HOUR_MS = 3_600_000
LISTED_MS = 1_704_067_200_000  # 2024-01-01
SYMBOL = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "baseAsset": "BTC",
    "quoteAsset": "USDT",
    "baseAssetPrecision": 8,
    "quoteAssetPrecision": 8,
    "orderTypes": ["LIMIT"],
    "isSpotTradingAllowed": True,
    "isMarginTradingAllowed": False,
    "permissions": ["SPOT"],
    "filters": [],
}
Run = Callable[..., Any]


@dataclass
class Binance:
    """A market of 2,500 hours and half a one; what it was asked, and how often it refuses first."""

    now_ms: int = LISTED_MS + 2_500 * HOUR_MS + HOUR_MS // 2
    refusals: int = 0
    fails_after: int = 10_000
    asked: list[int] = field(default_factory=list)

    def candles(self, start_ms: int, limit: int) -> list[list[Any]]:
        first = max(0, -(-(start_ms - LISTED_MS) // HOUR_MS))
        last = (self.now_ms - LISTED_MS) // HOUR_MS  # the candle of now, which is open
        return [self.candle(number) for number in range(first, min(first + limit, last + 1))]

    def candle(self, number: int) -> list[Any]:
        at = LISTED_MS + number * HOUR_MS
        prices = [str(price + number) for price in (100.5, 101.25, 99.75, 100.125)]
        return [at, *prices, str(number), at + HOUR_MS - 1, "0", 1, "0", "0", "0"]

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        if path.endswith("/exchangeInfo"):
            return 200, {"symbols": [SYMBOL]}
        if path.endswith("/time"):
            return 200, {"serverTime": self.now_ms}
        assert path.endswith("/klines"), path
        self.asked.append(int(query["startTime"][0]))
        if self.refusals > 0:
            self.refusals -= 1
            return 429, {"code": -1003, "msg": "Too many requests"}
        if len(self.asked) > self.fails_after:
            return 503, {"msg": "gone"}
        return 200, self.candles(self.asked[-1], int(query["limit"][0]))


@pytest.fixture
def binance() -> Binance:
    return Binance()


@pytest.fixture
def settings(binance: Binance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Settings with which ccxt finds that market, and no other host."""
    command = [sys.executable, str(ROOT / "tools" / "side_environments.py"), "ccxt"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no environment with ccxt: {made.stderr.strip()[-300:]}")
    (packages,) = (ROOT / ".venv-ccxt" / "lib").glob("python*/site-packages")
    # Behind ours: of what it needs, ours is taken.
    monkeypatch.setattr(sys, "path", [*sys.path, str(packages)])
    monkeypatch.setattr(exchanges, "_FIRST_WAIT_S", 0.0)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            status, document = binance.answer(url.path, parse_qs(url.query))
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        here = f"http://127.0.0.1:{server.server_port}/api/v3"
        path = tmp_path / "ccxt.yaml"
        path.write_text(
            yaml.safe_dump(
                {
                    "urls": {"api": {"public": here, "private": here}},
                    "options": {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False},
                    "rateLimit": 1,
                }
            )
        )
        yield path
        server.shutdown()
        thread.join()


def test_fetch_from_an_exchange_pages_waits_and_goes_on_without_the_candle_of_now(
    run: Run, settings: Path, binance: Binance, tmp_path: Path
) -> None:
    out = tmp_path / "btc.parquet"
    binance.refusals = 2
    command = ("data", "fetch", "binance:BTC/USDT", "--settings", settings, "--output", out)
    answer = run(*command, "--since", "2023-12-31", "--json")
    assert answer.code == 0, answer.err
    assert answer.document["bars"] == 2_500
    assert answer.document["market"] == "always-open"
    assert 'figures="up to 2024-04-14T03:00:00+00:00"' in answer.err
    # Twice refused, and each page after the one before it.
    since = LISTED_MS - 24 * HOUR_MS
    assert binance.asked == [since] * 3 + [LISTED_MS + at * HOUR_MS for at in (1_000, 2_000)]
    bars = load_bars(out, "BTC/USDT")
    assert bars.timestamps_ns[-1] == (LISTED_MS + 2_499 * HOUR_MS) * 10**6
    assert bars.bar(7).high == 108.25
    assert bars.volume[2_499] == 2_499.0
    provenance = previous_provenance(out)
    assert provenance is not None
    assert provenance.name == "binance:BTC/USDT 1h"
    assert "binance through ccxt 4" in provenance.source

    binance.asked.clear()
    binance.now_ms += 3 * HOUR_MS
    assert run(*command, "--json").document["bars"] == 2_503
    assert binance.asked == [LISTED_MS + 2_500 * HOUR_MS]
    assert run(*command, "--since", "2020-01-01").code == 1
    other = run(*command, "--interval", "4h")
    assert "holds bars of binance:BTC/USDT 1h: name another --output" in other.err


def test_fetch_from_an_exchange_that_stops_answering_keeps_what_came_and_goes_on(
    run: Run, settings: Path, binance: Binance, tmp_path: Path
) -> None:
    out = tmp_path / "btc.parquet"
    binance.fails_after = 1
    command = ("data", "fetch", "binance:BTC/USDT", "--settings", settings, "--output", out)
    failed = run(*command, "--since", "2024-01-01", "--until", "2024-03-01")
    assert failed.code == 4
    assert "binance did not answer, asked 6 times" in failed.err
    assert "1,000 bars are in" in failed.err
    assert len(load_bars(out, "BTC/USDT")) == 1_000
    binance.fails_after = 10_000
    assert run(*command, "--until", "2024-03-01", "--json").document["bars"] == 60 * 24
    assert load_bars(out, "BTC/USDT").timestamps_ns[-1] == (LISTED_MS + 1_439 * HOUR_MS) * 10**6


def test_fetch_from_an_exchange_with_ctrl_c_keeps_what_came_and_says_how_to_go_on(
    run: Run,
    settings: Path,
    binance: Binance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "btc.parquet"
    pages = Exchange.pages

    def one(self: Exchange, *times: Any) -> Iterator[Any]:
        yield next(iter(pages(self, *times)))
        raise KeyboardInterrupt

    monkeypatch.setattr(Exchange, "pages", one)
    command = ("data", "fetch", "binance:BTC/USDT", "--settings", settings, "--output", out)
    stopped = run(*command, "--since", "2024-01-01")
    assert stopped.code == 130
    assert f"1,000 bars are in {out}; the same command goes on" in stopped.err
    again = f"tradewind data fetch binance:BTC/USDT --interval 1h --output {out} --settings"
    assert again in stopped.err
    assert len(load_bars(out, "BTC/USDT")) == 1_000


@pytest.mark.parametrize(
    ("name", "flags", "code", "said"),
    [
        ("binanse:BTC/USDT", (), 3, "knows no exchange 'binanse'; like it: binance"),
        ("binance:BTC/USTD", (), 3, "has no market 'BTC/USTD'; like it: BTC/USDT"),
        ("binance:BTC/USDT", ("--interval", "7h"), 2, "has no bars of '7h'; it has 1m, 3m"),
        ("binance:BTC/USDT", ("--interval", "1M"), 2, "has no bars of '1M'"),
        ("binance:BTC/USDT", ("--until", "2023-01-01"), 4, "fewer than two bars"),
        ("binance:BTC/USDT", ("--until", "soon"), 2, "must be a time such as"),
    ],
)
def test_fetch_from_an_exchange_of_what_it_has_not_is_refused(
    run: Run,
    settings: Path,
    name: str,
    flags: tuple[str, ...],
    code: int,
    said: str,
    tmp_path: Path,
) -> None:
    out = tmp_path / "x.parquet"
    command = ("data", "fetch", name, "--settings", settings, "--output", out)
    answer = run(*command, "--since", "2022-01-01", *flags)
    assert said in answer.err
    assert answer.code == code
    assert not out.exists()


def test_exchange_with_an_answer_that_is_no_bar_is_refused(
    settings: Path, binance: Binance, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = yaml.safe_load(settings.read_text())
    exchange = Exchange(ExchangeBars("binance", "BTC/USDT", "1h", told))
    monkeypatch.setattr(binance, "candle", lambda number: [LISTED_MS, "a", None, "1"])
    with pytest.raises(MarketDataError, match="which is no bar"):
        list(exchange.pages(LISTED_MS * 10**6))


def test_fetch_from_an_exchange_without_ccxt_says_what_to_install(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ccxt", None)
    answer = run("data", "fetch", "binance:BTC/USDT", "--since", "2024-01-01")
    assert answer.code == 4
    assert "pip install 'tradewind[exchange]'" in answer.err
