"""`tradewind up`: the three services and the orchestrator over them, with one log."""

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from tradewind.reporting.progress import progress_console

__all__ = ["up"]


def up(
    config: Annotated[
        Path, typer.Option("--config", help="Folder of the settings; `tradewind init` writes one.")
    ] = Path("config"),
    live: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where the live view listens.")
    ] = "127.0.0.1:8050",
) -> None:
    """Starts the services, and the orchestrator over them once its policies are served.

    What they log comes here, each line with the name of its process. Ctrl-C or SIGTERM ends them,
    the orchestrator first; a service that ends by itself ends all, with exit code 1.
    """
    from tradewind_cli.compiling import compile_missing
    from tradewind_cli.processes import Stack

    def stop(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    with Stack(config, sys.stdout) as stack:
        try:
            compile_missing(progress_console())
            failed = stack.run(live)
        except KeyboardInterrupt:
            failed = False
    if failed:
        raise typer.Exit(1)
