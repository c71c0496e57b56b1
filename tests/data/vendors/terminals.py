"""Files as trading terminals and brokers export them."""

from zoneinfo import ZoneInfo

from tests.data.vendors.series import DAYS, HALF_HOURS, Row, VendorFile, vendor_file

NEW_YORK = ZoneInfo("America/New_York")
BERLIN = ZoneInfo("Europe/Berlin")


def terminal_files() -> list[VendorFile]:
    return [
        vendor_file(
            "metatrader5.csv",
            "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>",
            lambda r: r.stamp("%Y.%m.%d\t%H:%M:%S") + f"\t{_tabs(r)}\t7\t{r.volume:.2f}\t1",
        ),
        vendor_file(
            "metatrader5_daily.csv",
            "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>",
            lambda r: f"{r.stamp('%Y.%m.%d')}\t{_tabs(r)}\t7\t0\t1",
            DAYS,
            has_volume=False,
        ),
        vendor_file("metatrader4.csv", "", lambda r: f"{r.stamp('%Y.%m.%d,%H:%M')},{r.ohlcv}"),
        vendor_file("histdata.csv", "", lambda r: f"{r.stamp('%Y%m%d %H%M%S')};{_semicolons(r)}"),
        vendor_file(
            "dukascopy_gmt.csv",
            "Gmt time,Open,High,Low,Close,Volume",
            lambda r: f"{r.stamp('%d.%m.%Y %H:%M:%S.000')},{r.ohlcv}",
        ),
        vendor_file(
            "dukascopy_local.csv",
            "Local time,Open,High,Low,Close,Volume",
            lambda r: f"{r.stamp('%d.%m.%Y %H:%M:%S.000 GMT%z', BERLIN)},{r.ohlcv}",
        ),
        vendor_file(
            "ibkr_frame.csv",
            ",date,open,high,low,close,volume,average,barCount",
            lambda r: (
                f"{HALF_HOURS.index(r)},{r.stamp('%Y-%m-%d %H:%M:%S%z', NEW_YORK)[:-2]}:00,"
                f"{r.ohlcv},1.5,9"
            ),
        ),
        vendor_file(
            "ibkr_utc.csv",
            "date,open,high,low,close,volume",
            lambda r: f"{r.stamp('%Y%m%d  %H:%M:%S')},{r.ohlcv}",
        ),
        vendor_file(
            "ibkr_zone.csv",
            "date,open,high,low,close,volume",
            lambda r: f"{r.stamp('%Y%m%d %H:%M:%S', NEW_YORK)} US/Eastern,{r.ohlcv}",
        ),
        vendor_file(
            "ibkr_midpoint.csv",
            "date,open,high,low,close,volume,average,barCount",
            lambda r: f"{r.stamp('%Y%m%d %H:%M:%S')},{r.ohlc},-1,-1,-1",
            has_volume=False,
        ),
        vendor_file(
            "tradingview_offset.csv",
            "time,open,high,low,close,Volume",
            lambda r: f"{r.stamp('%Y-%m-%dT%H:%M:%S-05:00', NEW_YORK)},{r.ohlcv}",
            HALF_HOURS[:400],  # before the clocks are set forward
        ),
        vendor_file(
            "sierra_chart.txt",
            "Date, Time, Open, High, Low, Last, Volume, NumberOfTrades, BidVolume, AskVolume",
            lambda r: (
                f"{r.time.year}/{r.time.month}/{r.time.day}, {r.stamp('%H:%M:%S')}, "
                f"{r.ohlcv.replace(',', ', ')}, 5, 2, 3"
            ),
        ),
        vendor_file(
            "ninjatrader.txt", "", lambda r: f"{r.stamp('%Y%m%d %H%M%S')};{_semicolons(r)}"
        ),
        vendor_file(
            "ninjatrader_daily.txt", "", lambda r: f"{r.stamp('%Y%m%d')};{_semicolons(r)}", DAYS
        ),
        vendor_file(
            "lean_crypto_hour.csv",
            "",
            lambda r: f"{r.stamp('%Y%m%d %H:%M')},{r.ohlcv}",
            HALF_HOURS[::2],
        ),
        vendor_file(
            "ibkr_tws_chart.csv",
            "Date,Time,Open,High,Low,Close,Volume",
            lambda r: f"{r.stamp('%Y%m%d,%H:%M:%S')},{r.ohlcv}",
        ),
        vendor_file("kibot.txt", "", lambda r: f"{r.stamp('%m/%d/%Y,%H:%M')},{r.ohlcv}"),
        vendor_file("firstrate.txt", "", lambda r: f"{r.stamp('%Y-%m-%d %H:%M:%S')},{r.ohlcv}"),
        vendor_file(
            "finam.csv",
            "<TICKER>;<PER>;<DATE>;<TIME>;<OPEN>;<HIGH>;<LOW>;<CLOSE>;<VOL>",
            lambda r: f"GAZP;30;{r.stamp('%Y%m%d;%H%M%S')};{_semicolons(r)}",
        ),
        vendor_file(
            "oanda.csv",
            "time,volume,mid.o,mid.h,mid.l,mid.c,complete",
            lambda r: f"{r.stamp('%Y-%m-%dT%H:%M:%S.000000000Z')},{r.volume},{r.ohlc},True",
        ),
        vendor_file(
            "no_volume.csv",
            "DateTime,Open,High,Low,Close",
            lambda r: f"{r.stamp('%Y-%m-%d %H:%M')},{r.ohlc}",
            has_volume=False,
        ),
        vendor_file(
            "us_dates_am_pm.csv",
            "Date,Time,Open,High,Low,Close,Volume",
            lambda r: f"{r.stamp('%m/%d/%Y,%I:%M:%S %p')},{r.ohlcv}",
        ),
        vendor_file(
            "us_dates_ten_days.csv",
            "timestamp,open,high,low,close,volume",
            lambda r: f"{r.stamp('%m/%d/%Y %H:%M')},{r.ohlcv}",
            [row for row in HALF_HOURS if row.time.month == 3],
        ),
    ]


def _tabs(row: Row) -> str:
    return row.ohlc.replace(",", "\t")


def _semicolons(row: Row) -> str:
    return row.ohlcv.replace(",", ";")
