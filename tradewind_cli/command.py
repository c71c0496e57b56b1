"""The commands of `tradewind`, and what becomes of their errors."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from tradewind.errors import TradewindError
from tradewind_cli import bundle, data, jobs, risk, routing, serve
from tradewind_cli.compare import compare
from tradewind_cli.connection import connection_options
from tradewind_cli.demo import demo
from tradewind_cli.doctor import doctor
from tradewind_cli.evaluate import evaluate, walk_forward
from tradewind_cli.init import init
from tradewind_cli.output import exit_code_of, print_error
from tradewind_cli.replay import replay
from tradewind_cli.schema import schema
from tradewind_cli.slo import slo
from tradewind_cli.tearsheet import tearsheet
from tradewind_cli.token import token
from tradewind_cli.train import train
from tradewind_cli.tune import tune
from tradewind_cli.up import up

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="""Risk-aware trading policies, from training to microsecond serving.

    Exit codes: 0 done, 1 failed or missed, 2 refused, 3 not found, 4 unavailable, 5 denied.""",
)
app.callback()(connection_options)
app.command()(init)
app.command()(doctor)
app.command()(up)
app.command()(train)
app.command()(evaluate)
app.command()(walk_forward)
app.command()(tune)
app.command()(compare)
app.command()(replay)
app.command()(tearsheet)
app.add_typer(data.app, name="data")
app.add_typer(jobs.app, name="jobs")
app.add_typer(bundle.app, name="bundle")
app.add_typer(routing.app, name="routing")
app.add_typer(risk.app, name="risk")
app.add_typer(serve.app, name="serve")
app.command()(slo)
app.command()(schema)
app.command()(token)
app.command()(demo)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line.

    Args:
        arguments: The command line; that of the process by default.

    Returns:
        The exit code; see `ExitCode`.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if sys.stdout is None:  # closed by whoever started it: as for a reader that goes away
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - for as long as the process
    try:
        app(given, prog_name="tradewind")
    except TradewindError as problem:
        print_error(problem, as_json="--json" in given)
        return exit_code_of(problem)
    except SystemExit as ended:  # how Typer ends, whatever the outcome
        return int(ended.code or 0)
    return 0
