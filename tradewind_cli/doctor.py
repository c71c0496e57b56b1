"""`tradewind doctor`: whether machine and settings are fit to train, serve and trade."""

from pathlib import Path
from typing import Annotated

import typer

from tradewind.reporting.progress import progress_console
from tradewind_cli.output import JsonOption, print_json, print_table

__all__ = ["doctor"]


def doctor(
    config: Annotated[
        Path, typer.Option("--config", help="Folder of the settings of services and orchestrator.")
    ] = Path("config"),
    compile_kernels: Annotated[
        bool, typer.Option("--compile", help="Before that, compile the kernels that are not yet.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Looks at versions, kernels, protections, clock, ports, stores and databases.

    Exit code 1 where something would fail. But for `--compile` nothing is changed or started.
    """
    from tradewind_cli.examination import State, examine

    if compile_kernels:
        from tradewind_cli.compiling import compile_missing

        compile_missing(progress_console())
    findings = list(examine(config))
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        print_table(
            ("", "what", "found"),
            [(finding.state.value, finding.what, finding.found) for finding in findings],
        )
    if any(finding.state is State.BAD for finding in findings):
        raise typer.Exit(1)
