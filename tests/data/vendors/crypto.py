"""Files as exchanges and collectors of their trades write them."""

import bz2
import gzip
import io
import zipfile
from collections.abc import Callable

import pyarrow as pa

from tests.data.vendors.series import DAYS, HALF_HOURS, Row, VendorFile, vendor_file


def crypto_files() -> list[VendorFile]:
    klines = vendor_file("BTCUSDT-30m-2019-03.csv", "", _kline(1000))
    kraken = vendor_file("XBTUSD_30.csv", "", lambda r: f"{r.seconds},{r.ohlcv},12")
    return [
        klines,
        _zipped(klines, "BTCUSDT-30m-2019-03.zip"),
        vendor_file("klines_microseconds.csv", "", _kline(1_000_000)),
        vendor_file(
            "klines_header.csv",
            "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
            "taker_buy_volume,taker_buy_quote_volume,ignore",
            _kline(1000),
        ),
        kraken,
        VendorFile("XBTUSD_30.csv.gz", gzip.compress(kraken.content), kraken.rows),
        vendor_file(
            "cdd_seconds.csv",
            "https://www.example.invalid\n"
            "unix,date,symbol,open,high,low,close,Volume BTC,Volume USD",
            lambda r: f"{r.seconds},{r.stamp('%Y-%m-%d %H:%M:%S')},BTC/USD,{r.ohlcv},1.0",
            newest_first=True,
        ),
        vendor_file(
            "cdd_milliseconds.csv",
            "https://www.example.invalid\n"
            "Unix,Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USDT,tradecount",
            lambda r: f"{r.seconds}000,{r.stamp('%Y-%m-%d %H:%M:%S')},BTCUSDT,{r.ohlcv},1.0,7",
            newest_first=True,
        ),
        vendor_file(
            "cdd_am_pm.csv",
            "https://www.example.invalid\nDate,Symbol,Open,High,Low,Close,Volume BTC,Volume USD",
            lambda r: f"{r.stamp('%Y-%m-%d %I-%p')},BTCUSD,{r.ohlcv},1.0",
            HALF_HOURS[::2],
            newest_first=True,
        ),
        vendor_file(
            "bitstamp_collected.csv",
            "Timestamp,Open,High,Low,Close,Volume_(BTC),Volume_(Currency),Weighted_Price",
            lambda r: f"{r.seconds},{r.ohlcv},1.0,{r.open:.2f}",
        ),
        vendor_file(
            "coinmarketcap.csv",
            "timeOpen;timeClose;timeHigh;timeLow;name;open;high;low;close;volume;marketCap;timestamp",
            lambda r: (
                f'"{r.stamp("%Y-%m-%dT00:00:00.000Z")}";"{r.stamp("%Y-%m-%dT23:59:59.999Z")}";'
                f'"{r.stamp("%Y-%m-%dT10:00:00.000Z")}";"{r.stamp("%Y-%m-%dT11:00:00.000Z")}";'
                f'"2781";{r.ohlcv.replace(",", ";")};1.5;"{r.stamp("%Y-%m-%dT23:59:59.999Z")}"'
            ),
            DAYS,
            newest_first=True,
        ),
        vendor_file(
            "tradingview_epochs.csv",
            "time,open,high,low,close,Volume,Volume MA",
            lambda r: f"{r.seconds},{r.ohlcv},99.5",
        ),
        vendor_file(
            "collector_floats.csv",
            "timestamp,open,high,low,close,volume",
            lambda r: f"{r.seconds}.0,{r.ohlcv}",
        ),
        VendorFile(
            "XBTUSD_30.csv.zst",
            pa.compress(kraken.content, codec="zstd", asbytes=True),
            kraken.rows,
        ),
        VendorFile("XBTUSD_30.csv.bz2", bz2.compress(kraken.content), kraken.rows),
        vendor_file(
            "coinbase_candles.csv",
            "time,low,high,open,close,volume",
            lambda r: f"{r.seconds},{r.low},{r.high},{r.open},{r.close},{r.volume}",
            newest_first=True,
        ),
        vendor_file(
            "coinbase_advanced.csv",
            "start,low,high,open,close,volume",
            lambda r: f'"{r.seconds}","{r.low}","{r.high}","{r.open}","{r.close}","{r.volume}"',
        ),
        vendor_file(
            "epochs_in_quotes.csv",
            '"timestamp","open","high","low","close","volume"',
            lambda r: f'"{r.seconds}000","{r.open}","{r.high}","{r.low}","{r.close}","{r.volume}"',
        ),
        vendor_file(
            "epochs_of_floats_ms.csv",
            "timestamp,open,high,low,close,volume",
            lambda r: f"{r.seconds}000.0,{r.ohlcv}",
        ),
        vendor_file(
            "candles_bitfinex_columns.csv",
            "time,open,close,high,low,volume",
            lambda r: f"{r.seconds}000,{r.open},{r.close},{r.high},{r.low},{r.volume}",
            newest_first=True,
        ),
    ]


def _kline(unit: int) -> Callable[[Row], str]:
    return lambda row: (
        f"{row.seconds * unit},{row.ohlcv},{(row.seconds + 1800) * unit - 1},99.5,12,0.5,0.5,0"
    )


def _zipped(file: VendorFile, name: str) -> VendorFile:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(file.name, file.content)
    return VendorFile(name, buffer.getvalue(), file.rows)
