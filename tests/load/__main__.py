"""Load on all three services: `python -m tests.load --seconds 60`.

Trains a policy, serves it from two workers, and has Locust ask like orchestrators do, well below
what the machine can answer. Exit code 1 when a call failed, an answer was wrong, or a worker's
model compute exceeded its objective at p99 or p99.9.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from tests.load.locust_process import LocustProcess
from tests.load.report import (
    calls_per_second,
    calls_table,
    compute_table,
    failures,
    missed_objectives,
)
from tests.load.results import OK
from tests.load.stage import POLICY, Stage
from tradewind.errors import TradewindError

# Locust starts, ends what is under way and writes its report.
_PATIENCE_S = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the load from the root of the repository; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the load lasts")
    parser.add_argument("--users", type=int, default=8, help="orchestrators at once")
    parser.add_argument("--rate", type=float, default=50.0, help="tasks of each per second")
    parser.add_argument("--workers", type=int, default=2, help="of the inference service")
    parser.add_argument(
        "--keep-awake",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="the workers' cores",
    )
    parser.add_argument("--output", type=Path, default=Path("runs/load"), help="where it writes")
    options = parser.parse_args(arguments)
    console = Console()
    folder = options.output / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    try:
        problems = run(console, folder, options)
    except TradewindError as error:
        problems = [str(error)]
    for problem in problems:
        console.print(f"[bold red]load failed:[/] {problem}", soft_wrap=True)
    return int(bool(problems))


def run(console: Console, folder: Path, options: argparse.Namespace) -> list[str]:
    """Prints what came of the load; gives what must not have been.

    Raises:
        TradewindError: The load could not be run.
    """
    awake = options.keep_awake
    with Stage(folder, workers=options.workers, pin_cpus=True, keep_awake=awake) as stage:
        job = stage.train()
        questions = stage.questions(POLICY, job.bundle_version, job.job_id)
        console.print(
            f"{POLICY} {job.bundle_version} serves from {options.workers} workers; "
            f"{options.users} orchestrators for {options.seconds:g} s"
        )
        html = folder / "locust.html"
        locust = LocustProcess(
            folder,
            stage.stack.addresses,
            questions,
            users=options.users,
            rate=options.rate,
            seconds=options.seconds,
            html=html,
        )
        calls = locust.wait(options.seconds + _PATIENCE_S)
        reports = stage.latency_reports(POLICY)
    wrong, missed = failures(calls), missed_objectives(reports)
    console.print(calls_table(calls))
    console.print(compute_table(reports))
    console.print(
        f"{len(calls):,} calls, {calls_per_second(calls):,.0f}/s; "
        f"failed or wrong: {len(calls) - len(calls.with_outcome(OK)):,}"
    )
    verdict = "[bold red]missed[/]" if missed else "[bold green]met[/]"
    console.print(f"SLO of {reports[0].slo_us:g} µs at p99 and p99.9, each worker: {verdict}")
    console.print(f"report    {html}", soft_wrap=True)
    return [*wrong, *missed]


if __name__ == "__main__":
    sys.exit(main())
