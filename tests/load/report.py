"""The tables that a load ends with, and what it is judged by."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from rich.table import Table

from tests.load.results import OK, Calls
from tradewind.rpc.clients import LatencyReport

__all__ = ["calls_per_second", "calls_table", "compute_table", "failures", "missed_objectives"]

_PERCENTAGES = (50.0, 90.0, 99.0, 99.9)
_HEADINGS = ("p50", "p90", "p99", "p99.9")


def calls_table(calls: Calls) -> Table:
    """Round trips of each method in milliseconds, with the calls that failed."""
    table = _table("Round trips in ms, as the callers saw them", "calls", "failed", *_HEADINGS)
    for name in sorted(set(calls.names.tolist())):
        some = calls.named(name)
        failed = len(some) - len(some.with_outcome(OK))
        percentiles = (f"{value:,.2f}" for value in some.percentiles_ms(_PERCENTAGES))
        table.add_row(name, f"{len(some):,}", f"{failed:,}", *percentiles)
    return table


def compute_table(reports: Sequence[LatencyReport]) -> Table:
    """Model compute of each worker in microseconds, as the server measured it."""
    table = _table("Model compute in µs, in the server", "calls", "over", *_HEADINGS)
    for number, report in enumerate(reports):
        values = (report.p50_us, report.p90_us, report.p99_us, report.p999_us)
        table.add_row(
            f"worker {number}",
            f"{report.call_count:,}",
            f"{report.slo_violation_count:,}",
            *(f"{value:,.1f}" for value in values),
        )
    return table


def missed_objectives(reports: Sequence[LatencyReport]) -> list[str]:
    """Where model compute exceeded its objective at p99 or p99.9; a worker without calls, too."""
    return [
        f"worker {number}: {heading} of the model compute {value:.1f} µs, "
        f"objective {report.slo_us:g} µs"
        for number, report in enumerate(reports)
        for heading, value in (("p99", report.p99_us), ("p99.9", report.p999_us))
        if not value <= report.slo_us
    ]


def failures(calls: Calls) -> list[str]:
    """What failed and how often: wrong answers, calls without one, or no call at all."""
    if not len(calls):
        return ["no call was made"]
    counted = Counter(zip(calls.names.tolist(), calls.outcomes.tolist(), strict=True))
    return [
        f"{name}: {count} × {outcome}"
        for (name, outcome), count in sorted(counted.items())
        if outcome != OK
    ]


def calls_per_second(calls: Calls) -> float:
    """How many calls began in a second, on average."""
    return len(calls) / float(np.ptp(calls.began_s)) if len(calls) > 1 else 0.0


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table
