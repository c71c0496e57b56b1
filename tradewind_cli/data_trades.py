"""`tradewind data convert --bars`: bars from a file of trades or quotes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tradewind_cli.output import print_fields, print_json, refusal

__all__ = ["convert_trades"]

_ONLY_BARS = ("decimal", "adjusted")


def convert_trades(
    file: Path, options: Mapping[str, Any], rule: str, of: str | None, out: Path, *, as_json: bool
) -> None:
    """Builds bars, writes them as Parquet and prints what was recognised.

    Args:
        file: Trades or quotes.
        options: As of a file of bars.
        rule: When a bar ends.
        of: Which of trades and quotes, where there are both.
        out: The file to write.
        as_json: Prints for programs.
    """
    # pyarrow comes with an extra, and takes a moment to import
    from tradewind.market.bars import format_time
    from tradewind.market.trades import load_trades

    for name in _ONLY_BARS:
        if options[name]:
            raise refusal(f"--{name}", "is for files of bars, not with --bars")
    taken = {name: value for name, value in options.items() if name not in _ONLY_BARS}
    built = load_trades(file, rule, of=of, **taken)
    built.save(out)
    bars, recognised = built.bars, built.bars.recognised
    assert recognised is not None, "they come from a file"
    summary: dict[str, Any] = {
        "symbol": bars.symbol,
        "bars": len(bars),
        "rule": rule,
        "events": int(built.counts.sum()),
        "first": format_time(bars.timestamps_ns[0]),
        "last": format_time(bars.timestamps_ns[-1]),
        "volume": float(bars.volume.sum()),
        "recognised": list(recognised.lines()),
        "written": str(out),
    }
    if built.spreads is not None:
        summary["mean_spread"] = float(built.spreads @ built.counts / built.counts.sum())
    if as_json:
        print_json(summary)
        return
    print_fields(
        {
            **{name.replace("_", " "): f"{value}" for name, value in summary.items()},
            "bars": f"{len(bars):,}",
            "events": f"{summary['events']:,}",
            "recognised": "\n".join(summary["recognised"]),
        }
    )
