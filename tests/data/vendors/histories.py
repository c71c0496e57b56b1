"""Files as sites of stock prices offer them, and as spreadsheets and programs save them."""

import io
from datetime import timedelta

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

from tests.data.vendors.series import DAYS, HALF_HOURS, Row, VendorFile, german, vendor_file, walk


def history_files() -> list[VendorFile]:
    date = "%Y-%m-%d"
    few = [row for row in DAYS if row.time.day <= 12]
    return [
        vendor_file(
            "yahoo.csv",
            "Date,Open,High,Low,Close,Adj Close,Volume",
            lambda r: f"{r.stamp(date)},{r.ohlc},{r.close * 0.97:.6f},{r.volume:.0f}.00",
            [_whole(row) for row in DAYS],
        ),
        vendor_file(
            "yfinance.csv",
            "Price,Close,High,Low,Open,Volume\nTicker,SPY,SPY,SPY,SPY,SPY\nDate,,,,,",
            lambda r: f"{r.stamp(date)},{r.close},{r.high},{r.low},{r.open},{r.volume}",
            DAYS,
        ),
        vendor_file(
            "yfinance_intraday.csv",
            "Datetime,Open,High,Low,Close,Adj Close,Volume",
            lambda r: f"{r.stamp('%Y-%m-%d %H:%M:%S+00:00')},{r.ohlc},{r.close},{r.volume}",
        ),
        vendor_file(
            "stooq.csv",
            "Date,Open,High,Low,Close,Volume",
            lambda r: f"{r.stamp(date)},{r.ohlcv}",
            DAYS,
        ),
        vendor_file(
            "stooq_bulk.txt",
            "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>",
            lambda r: f"SPY.US,30,{r.stamp('%Y%m%d,%H%M%S')},{r.ohlcv},0",
        ),
        vendor_file(
            "stooq_polish.csv",
            "Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen",
            lambda r: f"{r.stamp(date)},{r.ohlcv}",
            DAYS,
        ),
        vendor_file(
            "alpha_vantage.csv",
            "timestamp,open,high,low,close,volume",
            lambda r: f"{r.stamp(date)},{r.ohlcv}",
            DAYS,
            newest_first=True,
        ),
        vendor_file(
            "alpha_vantage_frame.csv",
            "date,1. open,2. high,3. low,4. close,5. volume",
            lambda r: f"{r.stamp(date)},{r.ohlcv}",
            DAYS,
        ),
        vendor_file(
            "investing.csv",
            '\ufeff"Date","Price","Open","High","Low","Vol.","Change %"',
            lambda r: (
                f'"{r.stamp("%b %d, %Y")}","{r.close:,.2f}","{r.open:,.2f}","{r.high:,.2f}",'
                f'"{r.low:,.2f}","{r.volume / 1e6:.8f}M","0.12%"'
            ),
            walk(300, timedelta(days=1)),
            newest_first=True,
        ),
        vendor_file(
            "nasdaq.csv",
            "Date,Close/Last,Volume,Open,High,Low",
            lambda r: (
                f"{r.stamp('%m/%d/%Y')},${r.close:.2f},{r.volume:.2f},"
                f"${r.open:.2f},${r.high:.2f},${r.low:.2f}"
            ),
            DAYS,
            newest_first=True,
        ),
        _with_footer(
            vendor_file(
                "barchart.csv",
                'Time,Open,High,Low,Last,Change,%Chg,Volume,"Open Int"',
                lambda r: f'"{r.stamp("%m/%d/%Y %H:%M")}",{r.ohlc},1.0,+0.1%,{r.volume},0',
            ),
            '"Downloaded from Barchart.com as of 03-13-2019 04:00pm CDT"\n',
        ),
        vendor_file(
            "german_latin1.csv",
            "Datum;Eröffnung;Hoch;Tief;Schlusskurs;Stücke;Volumen",
            lambda r: f"{r.stamp('%d.%m.%Y')};{_german(r)};1.000,00",
            walk(300, timedelta(days=1)),
            newest_first=True,
            encoding="latin-1",
        ),
        vendor_file(
            "excel_utf16.txt",
            "Date\tOpen\tHigh\tLow\tClose\tVolume",
            lambda r: f"{r.stamp('%m/%d/%Y %H:%M')}\t{r.ohlcv.replace(',', chr(9))}",
            encoding="utf-16",
        ),
        vendor_file(
            "excel_semicolons.csv",
            "sep=;\nDatum;Open;High;Low;Close;Volume",
            lambda r: f"{r.stamp('%d/%m/%Y %H:%M')};{_german(r)}",
        ),
        vendor_file(
            "french.csv",
            "date;ouv;haut;bas;clot;vol;devise",
            lambda r: f"{r.stamp('%d/%m/%Y')};{_german(r)};EUR",
            DAYS,
        ),
        vendor_file(
            "swiss.csv",
            "Datum;Eröffnung;Hoch;Tief;Schluss;Menge",
            lambda r: f"{r.stamp('%d.%m.%Y')};" + _german(r).translate({46: "'", 44: "."}),
            walk(300, timedelta(days=1), price=12_000.0),
        ),
        vendor_file(
            "japanese.csv",
            "日付,始値,高値,安値,終値,出来高",
            lambda r: f"{r.stamp('%Y/%m/%d')},{r.ohlcv}",
            DAYS,
        ),
        vendor_file(
            "chinese.csv",
            "日期,开盘,最高,最低,收盘,成交量,成交额,振幅,涨跌幅",
            lambda r: f"{r.stamp(date)},{r.ohlcv},1.5,0.2,0.1",
            DAYS,
        ),
        vendor_file(
            "chinese_traditional_gbk.csv",
            "交易日期,开盘价,最高价,最低价,收盘价,成交量",
            lambda r: f"{r.stamp('%Y%m%d')},{r.ohlcv}",
            DAYS,
            encoding="gbk",
            columns={"timestamp": 1, "open": 2, "high": 3, "low": 4, "close": 5, "volume": 6},
        ),
        vendor_file(
            "spanish.csv",
            "Fecha;Apertura;Máximo;Mínimo;Cierre;Volumen",
            lambda r: f"{r.stamp('%d/%m/%Y')};{_german(r)}",
            walk(300, timedelta(days=1)),
        ),
        vendor_file(
            "italian.csv",
            "Data;Apertura;Massimo;Minimo;Chiusura;Volume",
            lambda r: f"{r.stamp('%d/%m/%Y')};{_german(r)}",
            walk(300, timedelta(days=1)),
        ),
        vendor_file(
            "portuguese.csv",
            "Data;Abertura;Máxima;Mínima;Fechamento;Volume",
            lambda r: f"{r.stamp('%d/%m/%Y')};{_german(r)}",
            walk(300, timedelta(days=1)),
        ),
        vendor_file(
            "french_long.csv",
            "Date;Ouverture;Plus haut;Plus bas;Clôture;Volume",
            lambda r: f"{r.stamp('%d/%m/%Y')};{_german(r)}",
            walk(300, timedelta(days=1)),
        ),
        vendor_file(
            "yahoo_new.csv",
            "Date,Open,High,Low,Close,Adj Close,Volume",
            lambda r: (
                f'"{r.stamp("%b %d, %Y")}","{r.open:,.2f}","{r.high:,.2f}","{r.low:,.2f}",'
                f'"{r.close:,.2f}","{r.close:,.2f}","{r.volume:,.2f}"'
            ),
            walk(300, timedelta(days=1)),
            newest_first=True,
        ),
        vendor_file(
            "iso_offset_marked.csv",
            "timestamp,open,high,low,close,volume",
            lambda r: f"{r.stamp('%Y-%m-%dT%H:%M:%S+00:00')},{r.ohlcv}",
            encoding="utf-8-sig",
        ),
        vendor_file(
            "epochs_ns.csv",
            "ts,o,h,l,c,v",
            lambda r: f"{r.seconds}000000000,{r.ohlcv}",
        ),
        vendor_file(
            "utf16_semicolons.csv",
            "Datum;Eröffnung;Hoch;Tief;Schluss;Volumen",
            lambda r: f"{r.stamp('%d.%m.%Y %H:%M')};{_german(r)}",
            encoding="utf-16-le",
        ),
        vendor_file(
            "india.csv",
            "Date,Symbol,Open,High,Low,Close,Volume",
            lambda r: f"{r.stamp('%d-%b-%Y')},NIFTY,{r.ohlcv}",
            DAYS,
        ),
        vendor_file(
            "pandas_index.csv",
            ",Open,High,Low,Close,Volume",
            lambda r: f"{r.stamp('%Y-%m-%d %H:%M:%S')},{r.ohlcv}",
        ),
        vendor_file(
            "polygon.csv",
            "ticker,volume,open,close,high,low,window_start,transactions",
            lambda r: f"SPY,{r.volume},{r.open},{r.close},{r.high},{r.low},{r.seconds}000000000,9",
        ),
        vendor_file(
            "alpaca.csv",
            "t,o,h,l,c,v,n,vw",
            lambda r: f"{r.stamp('%Y-%m-%dT%H:%M:%SZ')},{r.ohlcv},9,1.5",
        ),
        vendor_file(
            "databento.csv",
            "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol",
            lambda r: f"{r.seconds}000000000,34,1,42,{_fixed(r)},{r.volume},ESH9",
        ),
        vendor_file(
            "databento_pretty.csv",
            "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol",
            lambda r: f"{r.stamp('%Y-%m-%dT%H:%M:%S.000000000Z')},34,1,42,{r.ohlcv},ESH9",
        ),
        _repeated(vendor_file("repeated_rows.csv", "Time|O|H|L|C|V", _pipes)),
        vendor_file(
            "compact_dates.csv",
            "date,open,high,low,close,volume",
            lambda r: f"{r.stamp('%Y%m%d')},{r.ohlcv}",
            DAYS,
        ),
        _parquet("frame.parquet", HALF_HOURS),
        _arrow("frame.feather", "uncompressed"),
        _arrow("frame.arrow", "zstd"),
        # One option each: nothing in these files says it.
        vendor_file(
            "us_dates_first_days.csv",
            "Date,Open,High,Low,Close,Volume",
            lambda r: f"{r.stamp('%m/%d/%Y')},{r.ohlcv}",
            few,
            dates="month_first",
        ),
        vendor_file(
            "two_symbols.csv",
            "date,open,high,low,close,volume,symbol",
            lambda r: f"{r.stamp(date)},{r.ohlcv},AAL\n{r.stamp(date)},1,1,1,1,1,AAPL",
            DAYS,
            symbol="AAL",
        ),
    ]


def _whole(row: Row) -> Row:
    return Row(row.time, row.open, row.high, row.low, row.close, float(round(row.volume)))


def _german(row: Row) -> str:
    numbers = (row.open, row.high, row.low, row.close, row.volume)
    return ";".join(german(number) for number in numbers)


def _fixed(row: Row) -> str:
    prices = (row.open, row.high, row.low, row.close)
    return ",".join(str(round(price * 100) * 10_000_000) for price in prices)


def _pipes(row: Row) -> str:
    return f"{row.stamp('%Y-%m-%d %H:%M')}|{row.ohlcv.replace(',', '|')}"


def _with_footer(file: VendorFile, footer: str) -> VendorFile:
    return VendorFile(file.name, file.content + footer.encode(), file.rows)


def _repeated(file: VendorFile) -> VendorFile:
    rows = file.content.splitlines(keepends=True)
    return VendorFile(file.name, b"".join([*rows[:9], rows[8], *rows[9:]]), file.rows)


def _arrow(name: str, compression: str) -> VendorFile:
    sink = io.BytesIO()
    columns = {
        name: [getattr(row, name.lower()) for row in HALF_HOURS]
        for name in ("Open", "High", "Low", "Close", "Volume")
    }
    times = pa.array([row.time for row in HALF_HOURS], pa.timestamp("us", "UTC"))
    table = pa.table({"Date": times, **columns})
    pyarrow.feather.write_feather(table, sink, compression=compression)
    return VendorFile(name, sink.getvalue(), HALF_HOURS)


def _parquet(name: str, rows: list[Row]) -> VendorFile:
    sink = io.BytesIO()
    columns = {
        name: [getattr(row, name.lower()) for row in rows]
        for name in ("Open", "High", "Low", "Close", "Volume")
    }
    times = pa.array([row.time for row in rows], pa.timestamp("ms", "UTC"))
    pyarrow.parquet.write_table(pa.table({**columns, "__index_level_0__": times}), sink)
    return VendorFile(name, sink.getvalue(), rows)
